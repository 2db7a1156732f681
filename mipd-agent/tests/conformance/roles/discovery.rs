//! Discovery on the bench: the advertiser of the foreign agent 10.2.0.1, or the listener of an access point beside it.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use anyhow::{Result, bail};
use mipd_agent::{
    mobility::{
        discovery::{Advertiser, AdvertiserConfig, Listener, ListenerAction, advertiser::Action},
        security::ViolationLog,
        time::{Instant, Now},
    },
    wire::{
        advertisement::{ALL_SYSTEMS, AgentAdvertisement, AgentFlags},
        frame::IcmpPacket,
        types::{CareOfAddress, Lifetime},
    },
};
use serde::Deserialize;

use crate::{
    run::Role,
    scene::{CARE_OF_ADDRESS, FOREIGN_AGENT, Scene, Transcript, hexadecimal, interface, interface_name},
};

const SEED: u64 = 7;
/// Who listens.
pub const ACCESS_POINT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Configuration {
    Advertiser(Settings),
    Listener {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    home_agent: bool,
    foreign_agent: bool,
    reverse_tunnel: bool,
    gre: bool,
    minimal_encapsulation: bool,
    registration_required: bool,
    udp_tunnelling: bool,
    revocation: bool,
    routes_common_traffic: bool,
    /// Seconds.
    interval: u64,
    registration_lifetime: u16,
    only_when_solicited: bool,
    limited_broadcast: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            home_agent: false,
            foreign_agent: true,
            reverse_tunnel: false,
            gre: false,
            minimal_encapsulation: false,
            registration_required: false,
            udp_tunnelling: false,
            revocation: false,
            routes_common_traffic: false,
            interval: 600,
            registration_lifetime: 36_000,
            only_when_solicited: false,
            limited_broadcast: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Input {
    /// To the advertiser, from this address.
    Solicitation {
        source: Ipv4Addr,
    },
    Busy(bool),
    /// The foreign agent's newest challenge, in hexadecimal.
    NewChallenge(String),
    Shutdown {},
    /// To the listener.
    Advertisement(Advertisement),
    /// To the listener: an ICMP message.
    Raw(String),
    /// A client waits for an agent.
    Solicit {},
    /// The uplink may be on another link now.
    LinkChanged {},
}

/// An agent advertisement, by default of a foreign agent with ten hours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Advertisement {
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
    mac: String,
    ttl: u8,
    code: u8,
    lifetime: u16,
    sequence: u16,
    registration_lifetime: u16,
    /// Letters of R, B, H, F, M, G, T, U, X and I.
    flags: String,
    care_of_addresses: Vec<Ipv4Addr>,
    prefix_lengths: Vec<u8>,
    challenge: Option<String>,
}

impl Default for Advertisement {
    fn default() -> Self {
        Self {
            source: CARE_OF_ADDRESS,
            destination: None,
            mac: FOREIGN_AGENT.to_string(),
            ttl: 1,
            code: 16,
            lifetime: 9,
            sequence: 1000,
            registration_lifetime: 36_000,
            flags: "F".to_owned(),
            care_of_addresses: vec![CARE_OF_ADDRESS],
            prefix_lengths: vec![24],
            challenge: None,
        }
    }
}

impl Advertisement {
    pub fn packet<'a>(&self, message: &'a [u8]) -> IcmpPacket<'a> {
        let destination = self.destination.unwrap_or(ALL_SYSTEMS);
        IcmpPacket { source: self.source, destination, ttl: self.ttl, message }
    }

    pub fn build(&self) -> Vec<u8> {
        let has = |letter| self.flags.contains(letter);
        AgentAdvertisement {
            code: self.code,
            lifetime: self.lifetime,
            routers: vec![(self.source, 0)],
            sequence: self.sequence,
            registration_lifetime: Lifetime(self.registration_lifetime),
            flags: AgentFlags {
                registration_required: has('R'),
                busy: has('B'),
                home_agent: has('H'),
                foreign_agent: has('F'),
                minimal_encapsulation: has('M'),
                gre: has('G'),
                reverse_tunnel: has('T'),
                udp_tunnelling: has('U'),
                revocation: has('X'),
                regional: has('I'),
            },
            care_of_addresses: self.care_of_addresses.iter().copied().map(CareOfAddress).collect(),
            prefix_lengths: self.prefix_lengths.clone(),
            challenge: self.challenge.as_deref().and_then(|text| hexadecimal(text).ok()),
        }
        .emit()
    }
}

pub enum Discovery {
    Advertiser(Box<Advertiser>),
    Listener(Box<Listener>),
}

impl Role for Discovery {
    type Configuration = Configuration;
    type Input = Input;

    fn start(configuration: Configuration, _: Now) -> Result<Self> {
        Ok(match configuration {
            Configuration::Listener {} => Self::Listener(Box::new(Listener::new(ACCESS_POINT, SEED))),
            Configuration::Advertiser(settings) => {
                let config = AdvertiserConfig {
                    home_agent: settings.home_agent,
                    foreign_agent: settings.foreign_agent,
                    care_of_addresses: vec![CareOfAddress(CARE_OF_ADDRESS)],
                    reverse_tunnel: settings.reverse_tunnel,
                    gre: settings.gre,
                    minimal_encapsulation: settings.minimal_encapsulation,
                    registration_required: settings.registration_required,
                    udp_tunnelling: settings.udp_tunnelling,
                    revocation: settings.revocation,
                    routes_common_traffic: settings.routes_common_traffic,
                    registration_lifetime: Lifetime(settings.registration_lifetime),
                    interval: Duration::from_secs(settings.interval),
                    limited_broadcast: settings.limited_broadcast,
                    only_when_solicited: settings.only_when_solicited,
                    ..AdvertiserConfig::new(interface("access")?, CARE_OF_ADDRESS, 24)
                };
                Self::Advertiser(Box::new(Advertiser::new(config, SEED)))
            }
        })
    }

    fn handle(&mut self, scene: &mut Scene, input: Input, transcript: &mut Transcript) -> Result<()> {
        let now = scene.now.instant;
        match self {
            Self::Advertiser(advertiser) => {
                let mut actions = Vec::new();
                match input {
                    Input::Solicitation { source } => {
                        advertiser.handle_solicitation(now, source, "02:00:00:00:00:11".parse()?, &mut actions);
                    }
                    Input::Busy(busy) => advertiser.set_busy(now, busy),
                    Input::NewChallenge(text) => advertiser.set_challenge(Some(hexadecimal(&text)?)),
                    Input::Shutdown {} => advertiser.shutdown(&mut actions),
                    _ => bail!("this is nothing for an advertiser"),
                }
                show_advertisements(scene, actions, transcript);
            }
            Self::Listener(listener) => {
                let mut actions = Vec::new();
                match input {
                    Input::Advertisement(spec) => {
                        let (message, mac) = (spec.build(), spec.mac.parse()?);
                        listener.handle_advertisement(now, mac, &spec.packet(&message), &mut actions);
                    }
                    Input::Raw(icmp) => {
                        let message = hexadecimal(&icmp)?;
                        let packet = Advertisement::default().packet(&message);
                        listener.handle_advertisement(now, FOREIGN_AGENT, &packet, &mut actions);
                    }
                    Input::Solicit {} => listener.solicit(now),
                    Input::LinkChanged {} => listener.link_changed(now),
                    _ => bail!("this is nothing for a listener"),
                }
                show_news(actions, transcript);
            }
        }
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Advertiser(advertiser) => advertiser.poll_timeout(),
            Self::Listener(listener) => listener.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, scene: &mut Scene, transcript: &mut Transcript) {
        match self {
            Self::Advertiser(advertiser) => {
                let mut actions = Vec::new();
                advertiser.handle_timeout(scene.now.instant, &mut actions);
                show_advertisements(scene, actions, transcript);
            }
            Self::Listener(listener) => {
                let mut actions = Vec::new();
                listener.handle_timeout(scene.now.instant, &mut actions);
                show_news(actions, transcript);
            }
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        match self {
            Self::Advertiser(advertiser) => {
                advertiser.counters().iter().map(|count| (count.name.to_string(), count.value)).collect()
            }
            Self::Listener(listener) => {
                listener.counters().iter().map(|count| (count.name.to_string(), count.value)).collect()
            }
        }
    }

    fn state(&self, scene: &Scene) -> Vec<String> {
        let Self::Listener(listener) = self else { return Vec::new() };
        let known = listener.agents().iter();
        let known = known.map(|agent| format!("agent {} until {}", agent.address, scene.at(agent.expires)));
        let current = listener.foreign_agent().map(|agent| format!("foreign agent in use: {}", agent.address));
        known.chain(current).collect()
    }

    fn violations(&self) -> Option<&ViolationLog> {
        None
    }
}

fn show_advertisements(scene: &mut Scene, actions: Vec<Action>, transcript: &mut Transcript) {
    for action in actions {
        #[allow(
            unreachable_patterns,
            clippy::match_wildcard_for_single_variants,
            reason = "an action that nobody has described yet is shown as it is"
        )]
        match action {
            Action::Send { interface, icmp, source, destination, destination_mac, .. } => {
                let mac = destination_mac.map_or(String::new(), |mac| format!(" by {mac}"));
                transcript.push(format!("advertise {source} -> {destination}{mac} on {}", interface_name(interface)));
                show_advertisement(scene, &icmp, transcript);
            }
            other => transcript.push(format!("{other:?}")),
        }
    }
}

fn show_advertisement(scene: &mut Scene, icmp: &[u8], transcript: &mut Transcript) {
    let Ok(Some(advertisement)) = AgentAdvertisement::parse(icmp) else {
        transcript.detail("not an agent advertisement that parses");
        return;
    };
    let AgentAdvertisement { code, lifetime, sequence, flags, registration_lifetime, .. } = &advertisement;
    let letters = [
        (flags.registration_required, 'R'),
        (flags.busy, 'B'),
        (flags.home_agent, 'H'),
        (flags.foreign_agent, 'F'),
        (flags.minimal_encapsulation, 'M'),
        (flags.gre, 'G'),
        (flags.reverse_tunnel, 'T'),
        (flags.udp_tunnelling, 'U'),
        (flags.revocation, 'X'),
        (flags.regional, 'I'),
    ];
    let flags: String = letters.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
    transcript.detail(format!("code {code}, lifetime {lifetime}, sequence {sequence}, flags {flags}"));
    transcript.detail(format!(
        "registration lifetime {}, care-of {:?}, routers {:?}, prefixes {:?}",
        registration_lifetime.0, advertisement.care_of_addresses, advertisement.routers, advertisement.prefix_lengths
    ));
    if let Some(challenge) = advertisement.challenge {
        let is_new = !scene.challenges.contains(&challenge);
        transcript.detail(if is_new { "a new challenge" } else { "a challenge that was there before" });
        if is_new {
            scene.challenges.push(challenge);
        }
    }
}

fn show_news(actions: Vec<ListenerAction>, transcript: &mut Transcript) {
    for action in actions {
        #[allow(
            unreachable_patterns,
            clippy::match_wildcard_for_single_variants,
            reason = "an action that nobody has described yet is shown as it is"
        )]
        match action {
            ListenerAction::Solicit { destination, .. } => transcript.push(format!("solicit at {destination}")),
            ListenerAction::AgentFound(agent) => transcript.push(format!("found {agent}")),
            ListenerAction::AgentChanged(agent) => transcript.push(format!("changed {agent}")),
            ListenerAction::AgentRebooted(agent) => transcript.push(format!("rebooted {agent}")),
            ListenerAction::AgentLost(agent) => transcript.push(format!("lost {agent}")),
            ListenerAction::RegistrationRevoked { agent, home_address, busy, .. } => {
                let busy = if busy { ", register elsewhere" } else { "" };
                transcript.push(format!("{agent} revoked the registration of {home_address}{busy}"));
            }
            other => transcript.push(format!("{other:?}")),
        }
    }
}
