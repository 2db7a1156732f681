//! The access point's proxy.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::{
        discovery::Listener,
        link::{InterfaceIndex, Received},
        proxy::{Action, ClientRecord, Config, Event, ForeignAgentInfo, HomeAgentOnLink, Proxy, ReverseTunnelPolicy},
        security::{MobileHomeAssociations, Peer, PeerAssociations},
        subnet_map::SubnetMap,
        time::Instant,
        tunnel::Encapsulation,
    },
    wire::{
        advertisement::{ALL_SYSTEMS, AgentAdvertisement, AgentFlags},
        frame::IcmpPacket,
        proxy_mode::AccessTechnology,
        registration::RegistrationRequest,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime},
    },
};
use mipd_common::mac::MacAddress;

use super::{
    Clock, Counted, Pause,
    message::{FOREIGN_AGENT, HOME_AGENT, Reply, home_address, mac, mobile_foreign, mobile_home},
    steps,
};

const MAXIMUM_CLIENTS: usize = 3;
const RADIO: InterfaceIndex = InterfaceIndex(5);
const UPLINK: InterfaceIndex = InterfaceIndex(2);
const AGENT_MAC: MacAddress = MacAddress([2, 0, 10, 2, 0, 1]);
const REMEMBERED: usize = 8;

#[derive(Arbitrary, Debug)]
enum Step {
    Happens { what: Happening, client: u8, address: u8 },
    LastActive { client: u8, ago: u8 },
    Reply { to: u8, reply: Reply },
    Bytes(Vec<u8>),
    Agents { agents: [Option<Advertised>; 2], home_agent: bool },
    Challenge { agent: u8, challenge: [u8; 8] },
    Pass(Pause),
    Stop,
    Resume,
    Restart,
}

#[derive(Arbitrary, Debug)]
enum Happening {
    Associated { just_now: bool },
    Claimed,
    Visitor,
    Local,
    Returned,
    Attached,
    Moved,
    Left,
    Announced,
    Dismissed,
}

/// Any sequence of events, replies, agents, pauses and restarts.
pub fn check(data: &[u8]) {
    // The first byte is the setting that matters most.
    let [setting, rest @ ..] = data else { return };
    let policy = match setting % 3 {
        0 => ReverseTunnelPolicy::Never,
        1 => ReverseTunnelPolicy::WhenOffered,
        _ => ReverseTunnelPolicy::Require,
    };
    let mut world =
        World::new(Setting { policy, mobile_foreign: setting & 0x80 != 0, everything: setting & 0x40 != 0 });
    for step in steps(rest) {
        world.take(step);
    }
}

/// How the proxy is configured.
#[derive(Clone, Copy)]
struct Setting {
    policy: ReverseTunnelPolicy,
    /// Whether it shares a key with the foreign agent.
    mobile_foreign: bool,
    /// Whether it asks for whatever there is.
    everything: bool,
}

fn config(setting: Setting) -> Config {
    let clients = || MobileHomeAssociations::new([("10.1.0.0/24".parse().expect("a range"), mobile_home())]);
    let foreign = setting.mobile_foreign.then(|| (Peer::Address(FOREIGN_AGENT), mobile_foreign()));
    let home_agent = (HomeAgentAddress(HOME_AGENT), Ipv4Addr::new(255, 255, 255, 0));
    let plain = Config {
        subnet_map: SubnetMap::from_entries([home_agent]).expect("one entry"),
        associations: Arc::new(clients().expect("one range")),
        mobile_foreign: Arc::new(PeerAssociations::new(foreign).expect("at most one")),
        maximum_clients: MAXIMUM_CLIENTS,
        reverse_tunnel: setting.policy,
        ..Config::new(UPLINK, vec!["10.2.0.0/24".parse().expect("a prefix")])
    };
    if !setting.everything {
        return plain;
    }
    Config {
        mobile_aaa: Arc::new(clients().expect("one range")),
        encapsulations: Encapsulation::ALL.to_vec(),
        broadcasts: true,
        proxy_extensions: Some(AccessTechnology::WirelessLan),
        ..plain
    }
}

struct World {
    proxy: Proxy,
    setting: Setting,
    clock: Clock,
    counted: Counted,
    asked: Vec<(RegistrationRequest, u16)>,
    /// Whose registration was granted, by somebody with the key.
    granted: BTreeSet<HomeAddress>,
}

impl World {
    fn new(setting: Setting) -> Self {
        Self {
            proxy: Proxy::new(config(setting), 1),
            setting,
            clock: Clock::new(),
            counted: Counted::default(),
            asked: Vec::new(),
            granted: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let now = self.clock.0;
        let mut actions = Vec::new();
        match step {
            Step::Happens { what, client, address } => {
                let event = event(&what, mac(client), home_address(address).0);
                self.proxy.handle_event(now, event, &mut actions);
            }
            Step::LastActive { client, ago } => {
                let at = Instant(now.instant.0.saturating_sub(Duration::from_secs(ago.into())));
                self.proxy.last_active(now, mac(client), at, &mut actions);
            }
            Step::Reply { to, reply } => {
                if let Some((request, port)) = self.asked.get(usize::from(to) % REMEMBERED).copied() {
                    let (answer, message, authentic) = reply.build(&request);
                    if answer.code.is_accepted() && authentic.from_mobile_node {
                        self.granted.insert(answer.home_address);
                    }
                    self.proxy.handle_reply(now, &received(&message, port), &mut actions);
                }
            }
            Step::Bytes(bytes) => self.proxy.handle_reply(now, &received(&bytes, 40_434), &mut actions),
            Step::Agents { agents, home_agent } => {
                let agents = agents.into_iter().enumerate().filter_map(|(number, agent)| agent?.heard(number as u8));
                let on_link = HomeAgentOnLink { address: HomeAgentAddress(HOME_AGENT), mac: AGENT_MAC };
                let home_agents = if home_agent { vec![on_link] } else { Vec::new() };
                self.proxy.agents_changed(now, agents.collect(), home_agents, &mut actions);
            }
            Step::Challenge { agent, challenge } => {
                self.proxy.challenge_heard(now, [10, 2, 0, 1 + agent % 2].into(), &challenge, &mut actions);
            }
            Step::Pass(pause) => {
                let handle = |proxy: &mut Proxy, now| proxy.handle_timeout(now, &mut actions);
                self.clock.run(pause.duration(), &mut self.proxy, Proxy::poll_timeout, handle);
            }
            Step::Stop => {
                self.proxy.pause(now, &mut actions);
                assert!(self.proxy.is_idle());
            }
            Step::Resume => self.proxy.resume(),
            Step::Restart => self.restart(),
        }
        for action in &actions {
            if let Action::Send(transmit) = action {
                let (request, _) = RegistrationRequest::parse(&transmit.payload).expect("a well-formed request");
                self.asked.insert(0, (request, transmit.source_port));
                self.asked.truncate(REMEMBERED);
            }
        }
        self.check();
    }

    fn restart(&mut self) {
        let now = self.clock.0;
        let clients: Vec<_> = self.proxy.clients().collect();
        let records: Vec<ClientRecord> = clients
            .iter()
            .filter_map(|client| self.proxy.record(now, client.mac))
            .map(|record| {
                let text = serde_json::to_vec(&record).expect("a record can be written");
                serde_json::from_slice(&text).expect("and read")
            })
            .collect();
        self.proxy = Proxy::new(config(self.setting), 2);
        self.proxy.restore(now, records, &mut Vec::new());
        self.counted = Counted::default();
    }

    fn check(&mut self) {
        let now = self.clock.0.instant;
        let clients: Vec<_> = self.proxy.clients().collect();
        assert!(clients.len() <= MAXIMUM_CLIENTS, "{} clients", clients.len());
        for client in &clients {
            if matches!(client.state, "registered" | "renewing") {
                assert!(self.granted.contains(&client.home_address), "registered by nobody: {client:?}");
                assert!(client.expires.is_none_or(|at| at >= now), "stale: {client:?} at {now:?}");
            }
        }
        self.counted.check(self.proxy.counters().iter().map(|counter| (counter.name, counter.value)));
    }
}

fn event(what: &Happening, mac: MacAddress, address: Ipv4Addr) -> Event {
    match what {
        Happening::Associated { just_now } => Event::Associated { interface: RADIO, mac, address, just_now: *just_now },
        Happening::Claimed => Event::Claimed { interface: RADIO, mac, address },
        Happening::Visitor => Event::Visitor { interface: RADIO, mac, address },
        Happening::Local => {
            Event::Local { interface: RADIO, mac, address: Ipv4Addr::new(10, 2, 0, address.octets()[3]) }
        }
        Happening::Returned => Event::Returned { mac, interface: RADIO },
        Happening::Attached => Event::Attached { mac },
        Happening::Moved => Event::Moved { mac },
        Happening::Left => Event::Left { mac },
        Happening::Announced => Event::Announced { mac, address },
        Happening::Dismissed => Event::Dismissed { address, agent: FOREIGN_AGENT, busy: mac.0[5].is_multiple_of(2) },
    }
}

fn received(payload: &[u8], destination_port: u16) -> Received<'_> {
    Received {
        payload,
        source: FOREIGN_AGENT,
        source_port: 434,
        destination: home_address(0).0,
        destination_port,
        ttl: 255,
        interface: UPLINK,
        source_mac: Some(AGENT_MAC),
    }
}

/// What a foreign agent advertises.
#[derive(Arbitrary, Debug)]
struct Advertised {
    flags: u16,
    lifetime: u16,
    care_of_addresses: u8,
    challenge: Option<[u8; 8]>,
    reboots: u8,
}

impl Advertised {
    /// As discovery hands it on; `None` if it is no foreign agent.
    fn heard(self, number: u8) -> Option<ForeignAgentInfo> {
        let care_of_addresses = (0..self.care_of_addresses % 4).map(|last| CareOfAddress([10, 2, number, last].into()));
        let advertisement = AgentAdvertisement {
            code: 0,
            lifetime: 9000,
            routers: Vec::new(),
            sequence: 0,
            registration_lifetime: Lifetime(self.lifetime),
            flags: AgentFlags::from_bits(self.flags),
            care_of_addresses: care_of_addresses.collect(),
            prefix_lengths: Vec::new(),
            challenge: self.challenge.map(|challenge| challenge.to_vec()),
        };
        let mut listener = Listener::new([10, 2, 0, 11].into(), 1);
        let message = advertisement.emit();
        let source = Ipv4Addr::new(10, 2, 0, 1 + number);
        let packet = IcmpPacket { source, destination: ALL_SYSTEMS, ttl: 1, message: &message };
        listener.handle_advertisement(Clock::new().0.instant, AGENT_MAC, &packet, &mut Vec::new());
        let agent = listener.foreign_agent().map(ForeignAgentInfo::from);
        agent.map(|agent| ForeignAgentInfo { reboots: self.reboots.into(), ..agent })
    }
}

/// Something of each length.
pub fn seeds() -> Vec<Vec<u8>> {
    super::home_agent::seeds()
}
