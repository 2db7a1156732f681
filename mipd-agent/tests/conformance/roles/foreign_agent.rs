//! The foreign agent on the bench: 10.2.0.1 on interface `access`.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, bail};
use mipd_agent::{
    mobility::{
        foreign_agent::{
            AccessInterface, Action, Config, ForeignAgent, GreKeyPolicy, PendingRegistration, RevocationPolicy,
            UdpTunnelling, Unreachable, VisitorEntry,
        },
        link::Received,
        reverse_tunnel::ReverseTunnel,
        security::ViolationLog,
        time::{Instant, Now},
        tunnel::Encapsulation,
    },
    wire::echo,
    wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime},
};
use serde::Deserialize;

use super::peer_keys;
use crate::{
    describe,
    messages::{AcknowledgementMessage, Reply, Request, RevocationMessage},
    run::Role,
    scene::{
        CARE_OF_ADDRESS, CLIENT, CLIENT_PORT, Datagram, HOME_ADDRESS, HOME_AGENT, REGISTRATION_PORT, Scene, Transcript,
        hexadecimal, interface, interface_name,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    care_of_addresses: Vec<Ipv4Addr>,
    own_addresses: Vec<Ipv4Addr>,
    own_home_agents: Vec<Ipv4Addr>,
    maximum_lifetime: u16,
    encapsulations: Vec<Encapsulation>,
    reverse_tunnel: ReverseTunnel,
    encapsulating_delivery: bool,
    strict_flags: bool,
    maximum_pending: usize,
    maximum_visitors: usize,
    /// Challenges (RFC 4721), so many of which are accepted.
    challenge_window: Option<usize>,
    /// Revocation, and whether clients are informed.
    revocation: bool,
    inform: bool,
    /// GRE keys in all sessions.
    gre_keys: bool,
    /// Tunnels over UDP, if there is a NAT.
    udp_tunnel: bool,
    /// Clients that share the key `client-foreign`.
    clients: Vec<Ipv4Addr>,
    /// Home agents that share the key `agents`.
    home_agents: Vec<Ipv4Addr>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            care_of_addresses: vec![CARE_OF_ADDRESS],
            own_addresses: vec![CARE_OF_ADDRESS],
            own_home_agents: Vec::new(),
            maximum_lifetime: 36_000,
            encapsulations: vec![Encapsulation::IpInIp],
            reverse_tunnel: ReverseTunnel::Offered,
            encapsulating_delivery: false,
            strict_flags: false,
            maximum_pending: 100,
            maximum_visitors: 100,
            challenge_window: None,
            revocation: false,
            inform: false,
            gre_keys: false,
            udp_tunnel: false,
            clients: Vec::new(),
            home_agents: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Input {
    Request(Request),
    Reply(Reply),
    RawRequest {
        payload: String,
        #[serde(default)]
        datagram: Datagram,
    },
    RawReply {
        payload: String,
        #[serde(default)]
        datagram: Datagram,
    },
    Revocation(RevocationMessage),
    RevocationAcknowledgement(AcknowledgementMessage),
    /// A new challenge is advertised; cases call it the latest.
    Advertise {},
    /// The answer to a keepalive through a tunnel over UDP, with the sequence number of that.
    KeepaliveAnswer {
        sequence: u16,
        #[serde(default)]
        datagram: Datagram,
    },
    /// An ICMP error about the home agent: `network`, `host`, `port` or `other`.
    Unreachable(String),
    /// The operator's order: a home address of the usual home agent.
    RemoveVisitor(Ipv4Addr),
}

pub struct Foreign(ForeignAgent);

impl Role for Foreign {
    type Configuration = Configuration;
    type Input = Input;

    fn start(configuration: Configuration, _: Now) -> Result<Self> {
        let access = AccessInterface { interface: interface("access")?, address: CARE_OF_ADDRESS };
        Ok(Self(ForeignAgent::new(
            Config {
                care_of_addresses: configuration.care_of_addresses.into_iter().map(CareOfAddress).collect(),
                own_addresses: configuration.own_addresses,
                own_home_agents: configuration.own_home_agents,
                maximum_lifetime: Lifetime(configuration.maximum_lifetime),
                encapsulations: configuration.encapsulations.into_iter().collect(),
                reverse_tunnel: configuration.reverse_tunnel,
                encapsulating_delivery: configuration.encapsulating_delivery,
                strict_flags: configuration.strict_flags,
                pending_timeout: Duration::from_secs(7),
                maximum_pending: configuration.maximum_pending,
                maximum_visitors: configuration.maximum_visitors,
                challenge_window: configuration.challenge_window,
                revocation: configuration.revocation.then_some(RevocationPolicy { inform: configuration.inform }),
                gre_key: if configuration.gre_keys { GreKeyPolicy::Always } else { GreKeyPolicy::Never },
                udp_tunnel: configuration
                    .udp_tunnel
                    .then_some(UdpTunnelling { forced: false, everything_translated: false }),
                mobile_foreign: peer_keys(&configuration.clients, "client-foreign")?,
                foreign_home: peer_keys(&configuration.home_agents, "agents")?,
                ..Config::new(CareOfAddress(CARE_OF_ADDRESS), vec![access])
            },
            1,
        )))
    }

    fn handle(&mut self, scene: &mut Scene, input: Input, transcript: &mut Transcript) -> Result<()> {
        let client = Received {
            payload: &[],
            source: HOME_ADDRESS,
            source_port: CLIENT_PORT,
            destination: CARE_OF_ADDRESS,
            destination_port: REGISTRATION_PORT,
            ttl: 255,
            interface: interface("access")?,
            source_mac: Some(CLIENT),
        };
        let home_agent = Received {
            source: HOME_AGENT,
            source_port: REGISTRATION_PORT,
            ttl: 62,
            interface: interface("core")?,
            source_mac: None,
            ..client
        };
        let now = scene.now;
        let mut actions = Vec::new();
        match input {
            Input::Request(request) => {
                let message = request.build(scene)?;
                self.0.handle_request(now, &request.datagram.carrying(&message, &client)?, &mut actions);
            }
            Input::Reply(reply) => {
                let message = reply.build(scene)?;
                self.0.handle_reply(now, &reply.datagram.carrying(&message, &home_agent)?, &mut actions);
            }
            Input::RawRequest { payload, datagram } => {
                let message = hexadecimal(&payload)?;
                self.0.handle_request(now, &datagram.carrying(&message, &client)?, &mut actions);
            }
            Input::RawReply { payload, datagram } => {
                let message = hexadecimal(&payload)?;
                self.0.handle_reply(now, &datagram.carrying(&message, &home_agent)?, &mut actions);
            }
            Input::Revocation(revocation) => {
                let message = revocation.build(scene)?;
                self.0.handle_revocation(now, &revocation.datagram.carrying(&message, &home_agent)?, &mut actions);
            }
            Input::RevocationAcknowledgement(acknowledgement) => {
                let message = acknowledgement.build(scene)?;
                self.0.handle_revocation(now, &acknowledgement.datagram.carrying(&message, &home_agent)?, &mut actions);
            }
            Input::Advertise {} => {
                let challenge = self.0.renew_challenge(interface("access")?).context("there are no challenges")?;
                scene.challenges.push(challenge.to_vec());
            }
            Input::KeepaliveAnswer { sequence, datagram } => {
                let through = echo::Through { next_header: 4, gre_key: None };
                let mut message = echo::request(through, HOME_AGENT, CARE_OF_ADDRESS, sequence);
                // An echo reply: the sum of all words stays the same.
                message[24] = 0;
                message[26] += 8;
                self.0.handle_tunnel_data(now, &datagram.carrying(&message, &home_agent)?);
            }
            Input::Unreachable(what) => {
                let kind = match what.as_str() {
                    "network" => Unreachable::Network,
                    "host" => Unreachable::Host,
                    "port" => Unreachable::Port,
                    "other" => Unreachable::Other,
                    _ => bail!("`{what}` is not unreachable"),
                };
                self.0.handle_unreachable(now, HOME_AGENT, kind, &[], &mut actions);
            }
            Input::RemoveVisitor(address) => {
                self.0.remove_visitor(now, HomeAgentAddress(HOME_AGENT), HomeAddress(address), &mut actions);
            }
        }
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
        let visitor = |visitor: &VisitorEntry| {
            format!("visitor {} of {} until {}", visitor.home_address, visitor.home_agent, scene.until(visitor.expires))
        };
        let pending = |pending: &PendingRegistration| {
            let nai = pending.nai.as_ref().map_or(String::new(), |nai| format!(" ({nai})"));
            format!("pending {}{nai} of {}", pending.request.home_address, pending.relayed_to)
        };
        self.0.visitors().map(visitor).chain(self.0.pending().map(pending)).collect()
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
            Action::InstallVisitor { home_address, home_agent, care_of_address, mac, interface, tunnel, .. } => {
                let tunnel = describe::tunnel(&tunnel);
                let interface = interface_name(interface);
                transcript.push(format!(
                    "serve {home_address} of {home_agent} at {care_of_address}: {mac} on {interface}{tunnel}"
                ));
            }
            Action::RemoveVisitor { home_address, home_agent, .. } => {
                transcript.push(format!("serve {home_address} of {home_agent} no more"));
            }
            Action::VisitorChanged { home_agent, home_address, .. } => {
                transcript.push(format!("persist {home_address} of {home_agent}"));
            }
            Action::Inform { mac, home_address, elsewhere, .. } => {
                let elsewhere = if elsewhere { ", elsewhere" } else { "" };
                transcript.push(format!("inform {mac} that {home_address} must register again{elsewhere}"));
            }
            other => transcript.push(format!("{other:?}")),
        }
    }
}
