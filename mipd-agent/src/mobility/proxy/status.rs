//! What `mipd show clients` tells, and what outlives a restart.

use std::{net::Ipv4Addr, time::Duration};

use mipd_common::mac::MacAddress;
use serde::{Deserialize, Serialize};

use super::{
    attachment::Watch,
    client::{Agent, Client, Exchange, Missing, NextRequest, Outcome, Registration, State},
    identification::Identifications,
};
use crate::{
    mobility::{
        link::InterfaceIndex,
        time::{Instant, Now},
        tunnel::{Delivery, Encapsulation, TunnelMode},
    },
    wire::{
        authentication::Algorithm,
        nai::Nai,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

/// Where a visitor stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stay {
    /// It is not known yet whether it can be served.
    Waiting,
    /// It is registered or about to be, with this home agent.
    Served(HomeAgentAddress),
    /// It cannot be served.
    Unserved,
}

/// One client as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientStatus {
    /// The station.
    pub mac: MacAddress,
    /// The radio.
    pub interface: InterfaceIndex,
    /// Its address.
    pub home_address: HomeAddress,
    /// `awaiting_agent`, `awaiting_association`, `registering`, `registered`, `renewing`, `denied`, `unserved`, `returning`, `at_home`, `away`.
    pub state: &'static str,
    /// Why it is unserved or denied.
    pub reason: Option<&'static str>,
    /// Its home agent, if the subnet map has one.
    pub home_agent: Option<HomeAgentAddress>,
    /// The foreign agent of the registration in force.
    pub foreign_agent: Option<Ipv4Addr>,
    /// The care-of address of the registration in force.
    pub care_of_address: Option<CareOfAddress>,
    /// The lifetime in force.
    pub lifetime_granted: Option<Lifetime>,
    /// When the registration in force runs out; `None` without one, or if it never does.
    pub expires: Option<Instant>,
    /// What was agreed on about the tunnel of the registration in force.
    pub mode: Option<TunnelMode>,
    /// What the client calls itself in its requests.
    pub nai: Option<Nai>,
    /// The algorithm of the home agent's last valid reply.
    pub algorithm: Option<Algorithm>,
    /// The code of the last valid reply.
    pub last_code: Option<ReplyCode>,
    /// Requests sent so far.
    pub attempts: u32,
    /// From the first frame noticed to the first packet forwarded (at home: to the home agent's acceptance).
    pub registered_in: Option<Duration>,
    /// When it was noticed here.
    pub noticed: Instant,
    /// When the client was last heard.
    pub last_heard: Option<Instant>,
}

impl Missing {
    /// In words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::HomeAgent => "no home agent in the subnet map",
            Self::Association => "no security association",
            Self::AssociationServer => "no RADIUS server answers",
            Self::ForeignAgent => "no foreign agent that takes visitors",
            Self::ReverseTunnel => "foreign agent offers no reverse tunnel",
            Self::Address => "another client here has its address",
        }
    }
}

impl Client {
    pub(super) fn status(&self) -> ClientStatus {
        let registration = self.registration();
        let is_retraction = |exchange: &Exchange| self.is_visitor() && exchange.plan.lifetime == Lifetime::DEREGISTER;
        let is_pending =
            self.exchange.is_some_and(|exchange| exchange.outcome == Outcome::Pending && !is_retraction(&exchange));
        let denial = self.last_code.filter(|code| !code.is_accepted());
        let state = match self.state {
            State::AwaitingAgent => "awaiting_agent",
            State::AwaitingAssociation | State::AwaitingAssociationAtHome => "awaiting_association",
            State::Registering | State::ComingHome if denial.is_some() && !is_pending => "denied",
            State::Registering => "registering",
            State::Registered(_) if is_pending => "renewing",
            State::Registered(_) => "registered",
            State::Unserved(_) => "unserved",
            State::ComingHome => "returning",
            State::AtHome => "at_home",
            State::Away => "away",
        };
        let reason = match self.state {
            State::Unserved(reason) => Some(reason.reason()),
            _ => denial.map(ReplyCode::meaning),
        };
        ClientStatus {
            mac: self.mac,
            interface: self.interface,
            home_address: self.home_address,
            state,
            reason,
            home_agent: self.home_agent,
            foreign_agent: registration.map(|registration| registration.agent.address),
            care_of_address: registration.map(|registration| registration.care_of_address),
            lifetime_granted: registration.map(|registration| registration.lifetime),
            expires: registration.and_then(|registration| registration.expires),
            mode: registration.map(|registration| registration.mode),
            nai: self.nai.clone(),
            algorithm: self.algorithm,
            last_code: self.last_code,
            attempts: self.attempts,
            registered_in: self.registered_in,
            noticed: self.noticed,
            last_heard: self.watch.last_heard(),
        }
    }
}

/// What of a client outlives a restart of the agent: its registration in force, or that it is at home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientRecord {
    /// The station.
    pub mac: [u8; 6],
    /// Index of the radio, which a reboot may change.
    pub interface: u32,
    /// Name of the radio, to find it again by; for whoever keeps the record to fill in.
    #[serde(default)]
    pub interface_name: Option<String>,
    /// Its address.
    pub home_address: Ipv4Addr,
    /// Its home agent.
    pub home_agent: Ipv4Addr,
    /// The last Identification accepted.
    pub identification: Option<u64>,
    /// With nonces: what the home agent wants to see next.
    #[serde(default)]
    pub nonce: Option<u32>,
    /// The registration in force; `None`: at home.
    pub registration: Option<RegistrationRecord>,
}

impl ClientRecord {
    /// Finds the radio again by its name. A client whose radio is no more is not taken up: it will be noticed anew.
    #[must_use]
    pub fn relocated(mut self, radio: impl FnOnce(&str) -> Option<InterfaceIndex>) -> Self {
        if let Some(name) = &self.interface_name {
            match radio(name) {
                Some(InterfaceIndex(index)) => self.interface = index,
                None => self.registration = None,
            }
        }
        self
    }
}

/// A registration in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegistrationRecord {
    /// The foreign agent's address.
    pub foreign_agent: Ipv4Addr,
    /// The foreign agent's MAC.
    pub foreign_agent_mac: [u8; 6],
    /// The care-of address.
    pub care_of_address: Ipv4Addr,
    /// How packets are wrapped.
    #[serde(default)]
    pub encapsulation: Encapsulation,
    /// Whether packets go back through the tunnel.
    pub reverse_tunnel: bool,
    /// How they reach the foreign agent then.
    #[serde(default)]
    pub delivery: Delivery,
    /// Lifetime granted, seconds; 65535 = infinite.
    pub lifetime: u16,
    /// When it runs out by the wall clock, NTP format; `None` = never.
    pub expires: Option<u64>,
}

impl Client {
    pub(super) fn record(&self, now: Now) -> Option<ClientRecord> {
        if !self.is_recorded() {
            return None;
        }
        Some(ClientRecord {
            mac: self.mac.0,
            interface: self.interface.0,
            interface_name: None,
            home_address: self.home_address.0,
            home_agent: self.home_agent?.0,
            identification: self.identifications.timestamps.last_accepted().map(|identification| identification.0),
            nonce: self.identifications.nonce,
            registration: self.registration().map(|registration| RegistrationRecord {
                foreign_agent: registration.agent.address,
                foreign_agent_mac: registration.agent.mac.0,
                care_of_address: registration.care_of_address.0,
                encapsulation: registration.mode.encapsulation,
                reverse_tunnel: registration.mode.is_reverse(),
                delivery: registration.mode.reverse.unwrap_or_default(),
                lifetime: registration.lifetime.0,
                expires: registration.expires.map(|at| now.wall_at(at).0),
            }),
        })
    }

    /// The visitor of a record, which may have left meanwhile: nothing is sent for it before it is heard. `None` if its
    /// registration has run out, or if it was at home: it may have registered elsewhere unnoticed.
    pub(super) fn restore(now: Now, record: &ClientRecord) -> Option<Self> {
        let mac = MacAddress(record.mac);
        let mut client =
            Self::new(now.instant, InterfaceIndex(record.interface), mac, HomeAddress(record.home_address));
        client.home_agent = Some(HomeAgentAddress(record.home_agent));
        client.identifications = Identifications::resume(record.identification.map(Identification), record.nonce);
        client.watch = Watch::unheard(now.instant);
        let registration = record.registration.as_ref()?;
        let lifetime = Lifetime(registration.lifetime);
        client.state = State::Registered(Registration {
            agent: Agent { address: registration.foreign_agent, mac: MacAddress(registration.foreign_agent_mac) },
            care_of_address: CareOfAddress(registration.care_of_address),
            home_agent: HomeAgentAddress(record.home_agent),
            mode: TunnelMode {
                encapsulation: registration.encapsulation,
                reverse: registration.reverse_tunnel.then_some(registration.delivery),
                ..TunnelMode::default()
            },
            lifetime,
            expires: now.revived_expiry(lifetime, registration.expires.map(Identification))?,
        });
        client.next = NextRequest::WhenHeard;
        Some(client)
    }
}
