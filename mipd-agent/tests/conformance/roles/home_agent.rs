//! The home agent on the bench: 10.1.0.1, for 10.1.0.0/24 on interface `home`.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use mipd_agent::{
    mobility::{
        home_agent::{Action, Config, HomeAgent, HomeSubnet, Keepalive, UdpTunnelling},
        link::Received,
        reverse_tunnel::ReverseTunnel,
        security::{AddressRange, ViolationLog},
        time::{Instant, Now},
        tunnel::Encapsulation,
    },
    wire::{
        nai::Nai,
        types::{HomeAddress, HomeAgentAddress, Lifetime},
    },
};
use serde::Deserialize;

use super::{client_keys, peer_keys};
use crate::{
    describe,
    messages::{AcknowledgementMessage, Request, RevocationMessage},
    run::Role,
    scene::{
        CARE_OF_ADDRESS, CLIENT, CLIENT_PORT, Datagram, HOME_ADDRESS, HOME_AGENT, REGISTRATION_PORT, Scene, Transcript,
        hexadecimal, interface, interface_name,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    other_addresses: Vec<Ipv4Addr>,
    maximum_lifetime: u16,
    #[serde(with = "humantime_text")]
    replay_window: Duration,
    encapsulations: Vec<Encapsulation>,
    reverse_tunnel: ReverseTunnel,
    broadcast: bool,
    simultaneous_bindings: usize,
    maximum_bindings: usize,
    /// Tunnels over UDP, also where the request forces them.
    udp_tunnel: bool,
    revocation: bool,
    /// Proxies that may register clients; none at all unless given.
    proxies: Option<Vec<Ipv4Addr>>,
    /// Whose home address is 10.1.0.100.
    nai: Option<String>,
    client_keys: Vec<String>,
    /// Replay protection by nonces instead of timestamps.
    nonces: bool,
    /// Foreign agents that share the key `agents`.
    foreign_agents: Vec<Ipv4Addr>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            other_addresses: Vec::new(),
            maximum_lifetime: 36_000,
            replay_window: Duration::from_secs(7),
            encapsulations: vec![Encapsulation::IpInIp],
            reverse_tunnel: ReverseTunnel::Offered,
            broadcast: false,
            simultaneous_bindings: 1,
            maximum_bindings: 100,
            udp_tunnel: false,
            revocation: false,
            proxies: None,
            nai: None,
            client_keys: vec!["client".to_owned()],
            nonces: false,
            foreign_agents: Vec::new(),
        }
    }
}

mod humantime_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        humantime::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Input {
    Request(Request),
    Revocation(RevocationMessage),
    RevocationAcknowledgement(AcknowledgementMessage),
    Raw {
        payload: String,
        #[serde(default)]
        datagram: Datagram,
    },
    /// An ICMP echo request out of a tunnel over UDP, from this address and port.
    Keepalive(SocketAddrV4),
    /// The operator's order.
    Deregister(Ipv4Addr),
}

pub struct Home(HomeAgent);

impl Role for Home {
    type Configuration = Configuration;
    type Input = Input;

    fn start(configuration: Configuration, _: Now) -> Result<Self> {
        let subnet = HomeSubnet { prefix: "10.1.0.0/24".parse()?, interface: interface("home")? };
        let identities = configuration.nai.as_deref().map(|nai| Nai::new(nai).context("no NAI")).transpose()?;
        let addresses = configuration.other_addresses.into_iter().map(HomeAgentAddress);
        Ok(Self(HomeAgent::new(Config {
            other_addresses: addresses.collect(),
            maximum_lifetime: Lifetime(configuration.maximum_lifetime),
            replay_window: configuration.replay_window,
            encapsulations: configuration.encapsulations.into_iter().collect(),
            reverse_tunnel: configuration.reverse_tunnel,
            broadcast: configuration.broadcast,
            simultaneous_bindings: configuration.simultaneous_bindings,
            maximum_bindings: configuration.maximum_bindings,
            udp_tunnel: configuration
                .udp_tunnel
                .then_some(UdpTunnelling { forced: true, keepalive: Duration::from_secs(110) }),
            revocation: configuration.revocation,
            proxies: configuration.proxies.map(|list| list.into_iter().map(AddressRange::from).collect()),
            identities: identities.into_iter().map(|nai| (nai, HomeAddress(HOME_ADDRESS))).collect(),
            mobile_home: client_keys(&configuration.client_keys, configuration.nonces)?,
            foreign_home: peer_keys(&configuration.foreign_agents, "agents")?,
            ..Config::new(HomeAgentAddress(HOME_AGENT), vec![subnet])
        })))
    }

    fn handle(&mut self, scene: &mut Scene, input: Input, transcript: &mut Transcript) -> Result<()> {
        let foreign_agent = Received {
            payload: &[],
            source: CARE_OF_ADDRESS,
            source_port: REGISTRATION_PORT,
            destination: HOME_AGENT,
            destination_port: REGISTRATION_PORT,
            ttl: 62,
            interface: interface("core")?,
            source_mac: None,
        };
        let home_link = Received {
            source: HOME_ADDRESS,
            source_port: CLIENT_PORT,
            ttl: 255,
            interface: interface("home")?,
            source_mac: Some(CLIENT),
            ..foreign_agent
        };
        let (payload, datagram, usual) = match input {
            Input::Request(request) => {
                let usual = match request.via.as_deref() {
                    None | Some("foreign-agent") => foreign_agent,
                    Some("home-link") => home_link,
                    Some(other) => bail!("no way is called `{other}`"),
                };
                (request.build(scene)?, request.datagram, usual)
            }
            Input::Revocation(revocation) => (revocation.build(scene)?, revocation.datagram, foreign_agent),
            Input::RevocationAcknowledgement(acknowledgement) => {
                (acknowledgement.build(scene)?, acknowledgement.datagram, foreign_agent)
            }
            Input::Raw { payload, datagram } => (hexadecimal(&payload)?, datagram, foreign_agent),
            Input::Keepalive(source) => {
                let (home_agent, home_address) = (HomeAgentAddress(HOME_AGENT), HomeAddress(HOME_ADDRESS));
                let mut actions = Vec::new();
                self.0.handle_keepalive(Keepalive { source, home_agent, home_address }, &mut actions);
                describe_all(scene, actions, transcript);
                return Ok(());
            }
            Input::Deregister(address) => {
                let mut actions = Vec::new();
                self.0.deregister(scene.now, HomeAddress(address), &mut actions);
                describe_all(scene, actions, transcript);
                return Ok(());
            }
        };
        let mut actions = Vec::new();
        self.0.handle_datagram(scene.now, &datagram.carrying(&payload, &usual)?, &mut actions);
        describe_all(scene, actions, transcript);
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn handle_timeout(&mut self, scene: &mut Scene, transcript: &mut Transcript) {
        let mut actions = Vec::new();
        self.0.handle_timeout(scene.now, &mut actions);
        describe_all(scene, actions, transcript);
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.0.counters().entries().into_iter().collect()
    }

    fn state(&self, scene: &Scene) -> Vec<String> {
        let binding = |binding: &mipd_agent::mobility::home_agent::MobilityBinding| {
            format!(
                "binding {} at {} until {}",
                binding.home_address,
                binding.care_of_address,
                scene.until(binding.expires)
            )
        };
        self.0.bindings().map(binding).collect()
    }

    fn violations(&self) -> Option<&ViolationLog> {
        Some(self.0.violations())
    }
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
            Action::InstallBinding { home_address, exits, .. } => {
                if exits.is_empty() {
                    transcript.push(format!("drop what comes for {home_address}"));
                }
                for exit in exits {
                    let (home_agent, care_of_address) = (exit.home_agent, exit.care_of_address);
                    let tunnel = describe::tunnel(&exit.tunnel);
                    let broadcasts = exit.broadcasts.map_or(String::new(), |how| format!(", broadcasts {how:?}"));
                    transcript.push(format!(
                        "tunnel {home_address} from {home_agent} to {care_of_address}{tunnel}{broadcasts}"
                    ));
                }
            }
            Action::RemoveBinding { home_address } => transcript.push(format!("no tunnel for {home_address}")),
            Action::GratuitousArp { interface, address, mac } => {
                let mac = mac.map_or("our own address".to_owned(), |mac| mac.to_string());
                transcript.push(format!("gratuitous ARP on {}: {address} has {mac}", interface_name(interface)));
            }
            Action::AlgorithmMatched { home_address, algorithm } => {
                transcript.push(format!("log that {home_address} uses {algorithm:?}"));
            }
            Action::ClientMac { home_address, mac } => transcript.push(format!("learn {home_address} has {mac}")),
            Action::BindingChanged { home_address } => transcript.push(format!("persist {home_address}")),
            other => transcript.push(format!("{other:?}")),
        }
    }
}
