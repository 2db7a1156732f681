//! The proxy on the bench: an access point in 10.2.0.0/24, whose client comes from 10.1.0.0/24.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use anyhow::{Context, Result};
use mipd_agent::{
    mobility::{
        discovery::Listener,
        link::Received,
        proxy::{
            Action, ClientNames, Config, Event, ForeignAgentInfo, HomeAgentOnLink, Proxy, ReverseTunnelPolicy,
            StationState,
        },
        security::ViolationLog,
        subnet_map::SubnetMap,
        time::{Instant, Now},
        tunnel::{Delivery, Encapsulation},
    },
    wire::{
        proxy_mode::AccessTechnology,
        types::{HomeAgentAddress, Lifetime},
    },
};
use serde::Deserialize;

use super::{
    client_keys,
    discovery::{ACCESS_POINT, Advertisement},
    peer_keys,
};
use crate::{
    describe,
    messages::Reply,
    run::Role,
    scene::{
        CARE_OF_ADDRESS, CLIENT, CLIENT_PORT, Datagram, FOREIGN_AGENT, HOME_ADDRESS, HOME_AGENT, REGISTRATION_PORT,
        Scene, Transcript, hexadecimal, interface, interface_name,
    },
};

const SEED: u64 = 7;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    registration_lifetime: u16,
    reverse_tunnel: ReverseTunnelPolicy,
    client_keys: Vec<String>,
    /// Replay protection by nonces instead of timestamps.
    nonces: bool,
    /// Foreign agents that share the key `client-foreign`.
    foreign_agents: Vec<Ipv4Addr>,
    /// Whether the client shares the key `aaa` with its AAA server.
    mobile_aaa: bool,
    nai: Option<String>,
    encapsulations: Vec<Encapsulation>,
    encapsulating_delivery: bool,
    broadcasts: bool,
    /// Whether to say whom the proxy stands for.
    proxy_extensions: bool,
    /// Whether the subnet map knows the client's home agent.
    home_agent_known: bool,
    /// Whether the client is at home here.
    at_home: bool,
    /// Whether the client answers when it is asked for.
    attached: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            registration_lifetime: 600,
            reverse_tunnel: ReverseTunnelPolicy::default(),
            client_keys: vec!["client".to_owned()],
            nonces: false,
            foreign_agents: Vec::new(),
            mobile_aaa: false,
            nai: None,
            encapsulations: vec![Encapsulation::IpInIp],
            encapsulating_delivery: false,
            broadcasts: false,
            proxy_extensions: false,
            home_agent_known: true,
            at_home: false,
            attached: true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Input {
    /// What the foreign agent advertises from now on; `lost`: it is gone.
    Agent(AgentNews),
    /// The client sends its first frame.
    Appears {},
    /// The client sends something.
    Speaks {},
    /// The client disassociates.
    Leaves {},
    /// The client is seen on the uplink.
    Moves {},
    /// The foreign agent advertises this challenge, in hexadecimal.
    Challenge(String),
    /// The foreign agent tells the client that its registration was revoked.
    Dismissed {
        busy: bool,
    },
    /// Somebody else announces the client's address on the uplink.
    Announced(String),
    Reply(Reply),
    Raw {
        payload: String,
        #[serde(default)]
        datagram: Datagram,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[derive(Default)]
pub struct AgentNews {
    advertisement: Advertisement,
    rebooted: bool,
    lost: bool,
}

pub struct AccessPoint {
    proxy: Proxy,
    attached: bool,
    at_home: bool,
    /// How often the foreign agent restarted so far.
    reboots: u64,
}

impl AccessPoint {
    fn drive(
        &mut self,
        scene: &mut Scene,
        transcript: &mut Transcript,
        run: impl FnOnce(&mut Proxy, Now, &mut Vec<Action>),
    ) {
        let mut actions = Vec::new();
        run(&mut self.proxy, scene.now, &mut actions);
        while !actions.is_empty() {
            let asked = actions.iter().any(asks_the_client) && self.attached;
            describe_all(scene, std::mem::take(&mut actions), transcript);
            if asked {
                self.proxy.handle_event(scene.now, Event::Attached { mac: CLIENT }, &mut actions);
            }
        }
    }

    fn meet(
        &mut self,
        scene: &mut Scene,
        transcript: &mut Transcript,
        foreign_agent: Option<ForeignAgentInfo>,
        rebooted: bool,
    ) {
        self.reboots += u64::from(rebooted);
        let reboots = self.reboots;
        let foreign_agents = foreign_agent.into_iter().map(|agent| ForeignAgentInfo { reboots, ..agent }).collect();
        let home_agents = if self.at_home {
            vec![HomeAgentOnLink { address: HomeAgentAddress(HOME_AGENT), mac: FOREIGN_AGENT }]
        } else {
            Vec::new()
        };
        self.drive(scene, transcript, |proxy, now, actions| {
            proxy.agents_changed(now, foreign_agents, home_agents, actions);
        });
    }
}

impl Role for AccessPoint {
    type Configuration = Configuration;
    type Input = Input;

    /// A foreign agent that offers what ours usually offer is known from the start.
    fn start(configuration: Configuration, now: Now) -> Result<Self> {
        let own = if configuration.at_home { "10.1.0.0/24" } else { "10.2.0.0/24" };
        let known = configuration.home_agent_known.then_some((HomeAgentAddress(HOME_AGENT), [255, 255, 255, 0].into()));
        let aaa = if configuration.mobile_aaa { vec!["aaa".to_owned()] } else { Vec::new() };
        let config = Config {
            subnet_map: SubnetMap::from_entries(known)?,
            associations: client_keys(&configuration.client_keys, configuration.nonces)?,
            mobile_foreign: peer_keys(&configuration.foreign_agents, "client-foreign")?,
            mobile_aaa: client_keys(&aaa, false)?,
            names: names(configuration.nai.as_deref())?,
            encapsulations: configuration.encapsulations,
            delivery: if configuration.encapsulating_delivery { Delivery::Encapsulating } else { Delivery::Direct },
            broadcasts: configuration.broadcasts,
            proxy_extensions: configuration.proxy_extensions.then_some(AccessTechnology::WirelessLan),
            registration_lifetime: Lifetime(configuration.registration_lifetime),
            reverse_tunnel: configuration.reverse_tunnel,
            ..Config::new(interface("uplink")?, vec![own.parse()?])
        };
        let Configuration { attached, at_home, .. } = configuration;
        let mut access_point = Self { proxy: Proxy::new(config, SEED), attached, at_home, reboots: 0 };
        let agent = foreign_agent(now, &Advertisement::default())?;
        let mut scene = Scene::new();
        access_point.meet(&mut scene, &mut Transcript::default(), Some(agent), false);
        Ok(access_point)
    }

    fn handle(&mut self, scene: &mut Scene, input: Input, transcript: &mut Transcript) -> Result<()> {
        let radio = interface("radio")?;
        let usual = Received {
            payload: &[],
            source: CARE_OF_ADDRESS,
            source_port: REGISTRATION_PORT,
            destination: HOME_ADDRESS,
            destination_port: CLIENT_PORT,
            ttl: 64,
            interface: interface("uplink")?,
            source_mac: Some(FOREIGN_AGENT),
        };
        let (mac, address) = (CLIENT, HOME_ADDRESS);
        let event = match input {
            Input::Appears {} if self.at_home => Event::Local { interface: radio, mac, address },
            Input::Appears {} => Event::Visitor { interface: radio, mac, address },
            Input::Leaves {} => Event::Left { mac },
            Input::Moves {} => Event::Moved { mac },
            Input::Dismissed { busy } => Event::Dismissed { address, agent: CARE_OF_ADDRESS, busy },
            Input::Challenge(text) => {
                let challenge = hexadecimal(&text)?;
                scene.challenges.push(challenge.clone());
                self.drive(scene, transcript, |proxy, now, actions| {
                    proxy.challenge_heard(now, CARE_OF_ADDRESS, &challenge, actions);
                });
                return Ok(());
            }
            Input::Announced(mac) => Event::Announced { mac: mac.parse()?, address },
            Input::Speaks {} => {
                let at = scene.now.instant;
                self.drive(scene, transcript, |proxy, now, actions| proxy.last_active(now, mac, at, actions));
                return Ok(());
            }
            Input::Agent(AgentNews { lost: true, .. }) => {
                self.meet(scene, transcript, None, false);
                return Ok(());
            }
            Input::Agent(AgentNews { advertisement, rebooted, .. }) => {
                let agent = foreign_agent(scene.now, &advertisement)?;
                self.meet(scene, transcript, Some(agent), rebooted);
                return Ok(());
            }
            Input::Reply(reply) => {
                let message = reply.build(scene)?;
                let received = reply.datagram.carrying(&message, &usual)?;
                self.drive(scene, transcript, |proxy, now, actions| proxy.handle_reply(now, &received, actions));
                return Ok(());
            }
            Input::Raw { payload, datagram } => {
                let message = hexadecimal(&payload)?;
                let received = datagram.carrying(&message, &usual)?;
                self.drive(scene, transcript, |proxy, now, actions| proxy.handle_reply(now, &received, actions));
                return Ok(());
            }
        };
        self.drive(scene, transcript, |proxy, now, actions| proxy.handle_event(now, event, actions));
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.proxy.poll_timeout()
    }

    fn handle_timeout(&mut self, scene: &mut Scene, transcript: &mut Transcript) {
        self.drive(scene, transcript, Proxy::handle_timeout);
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let counters = self.proxy.counters();
        let by_code = counters.denied.iter().map(|(code, count)| (format!("denied_{}", code.0), count));
        counters.iter().map(|count| (count.name.into_owned(), count.value)).chain(by_code).collect()
    }

    fn state(&self, scene: &Scene) -> Vec<String> {
        let client = |client: mipd_agent::mobility::proxy::ClientStatus| {
            let reason = client.reason.map_or(String::new(), |reason| format!(" ({reason})"));
            let place = client.care_of_address.map_or(String::new(), |care_of_address| {
                format!(" at {care_of_address} until {}", scene.until(client.expires))
            });
            format!("client {}: {}{reason}{place}", client.home_address, client.state)
        };
        self.proxy.clients().map(client).collect()
    }

    fn violations(&self) -> Option<&ViolationLog> {
        Some(self.proxy.violations())
    }
}

fn names(nai: Option<&str>) -> Result<Arc<ClientNames>> {
    let Some(nai) = nai else { return Ok(Arc::default()) };
    Ok(Arc::new(ClientNames::from_iter([("10.1.0.0/16".parse()?, nai.parse()?)])))
}

/// The agent as the proxy learns of it from its advertisement.
fn foreign_agent(now: Now, advertisement: &Advertisement) -> Result<ForeignAgentInfo> {
    let mut listener = Listener::new(ACCESS_POINT, SEED);
    let message = advertisement.build();
    listener.handle_advertisement(now.instant, FOREIGN_AGENT, &advertisement.packet(&message), &mut Vec::new());
    listener.foreign_agent().map(ForeignAgentInfo::from).context("the advertisement is none of a foreign agent")
}

/// The client's answer counts as one to the question.
fn asks_the_client(action: &Action) -> bool {
    matches!(action, Action::ProbeAttachment { .. })
}

fn describe_all(scene: &mut Scene, actions: Vec<Action>, transcript: &mut Transcript) {
    for action in actions {
        #[allow(
            unreachable_patterns,
            clippy::match_wildcard_for_single_variants,
            reason = "an action that nobody has described yet is shown as it is"
        )]
        match action {
            Action::Send(transmit) => describe::transmit(scene, &transmit, transcript),
            Action::SetStation { mac, station, interface, .. } => {
                transcript.push(format!("station {mac} on {}: {}", interface_name(interface), treatment(station)));
            }
            Action::RemoveStation { mac } => transcript.push(format!("station {mac}: none")),
            Action::ReleaseHeld { mac } => transcript.push(format!("release what {mac} sent")),
            Action::DropHeld { mac } => transcript.push(format!("drop what {mac} sent")),
            Action::ProbeAttachment { address, sender_address, .. } => {
                transcript.push(format!("ask by ARP who has {address}, as {sender_address}"));
            }
            Action::AnnounceOnUplink { mac, address } => {
                transcript.push(format!("gratuitous ARP on the uplink: {address} has {mac}"));
            }
            Action::TellClientGateway { client_address, gateway_address, gateway_mac, .. } => {
                transcript.push(format!("tell {client_address} by ARP that {gateway_address} has {gateway_mac}"));
            }
            Action::UpdateSwitches { mac } => transcript.push(format!("tell the switches where {mac} is")),
            Action::Solicit => transcript.push("solicit".to_owned()),
            Action::ForgetSeen { mac } => transcript.push(format!("report {mac} again when it speaks")),
            Action::ClientChanged { mac } => transcript.push(format!("persist {mac}")),
            other => transcript.push(format!("{other:?}")),
        }
    }
}

fn treatment(station: StationState) -> String {
    #[allow(
        unreachable_patterns,
        clippy::match_wildcard_for_single_variants,
        reason = "a treatment that nobody has described yet is shown as it is"
    )]
    match station {
        StationState::Local => "bridged".to_owned(),
        StationState::Awaited => "bridged and awaited".to_owned(),
        StationState::Hold { home_address } => format!("hold {home_address}"),
        StationState::Forward { home_address, agent_mac, .. } => format!("forward {home_address} to {agent_mac}"),
        other => format!("{other:?}"),
    }
}
