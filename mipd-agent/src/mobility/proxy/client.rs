//! One client: what is known of it, what is in force, what is under way.

use std::{net::Ipv4Addr, time::Duration};

use mipd_common::mac::MacAddress;

use super::{
    Action, StationState,
    attachment::{FRESH, SILENCE, Watch},
    challenge::ClientChallenge,
    identification::Identifications,
    pace::{self, AddressChanges},
};
use crate::{
    mobility::{
        link::InterfaceIndex,
        pace::Pace,
        time::Instant,
        tunnel::{Delivery, TunnelMode},
    },
    wire::{
        authentication::Algorithm,
        nai::Nai,
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
    },
};

/// Shortest first wait for a reply; each further one is twice as long (RFC 5944 §3.6.3).
pub(super) const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The first wait is twice the round trip and this much more (RFC 5944 §3.6.3).
const ROUND_TRIP_MARGIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Client {
    pub mac: MacAddress,
    pub interface: InterfaceIndex,
    pub home_address: HomeAddress,
    /// The client has not been seen to use its address since it associated: it may have another one by now.
    pub is_address_assumed: bool,
    /// Another foreign address that it sent from, while it may still have its own.
    pub rival: Option<Rival>,
    /// From the subnet map, or from a denial with code 136. `None`: the map has none.
    pub home_agent: Option<HomeAgentAddress>,
    pub state: State,
    /// When `state` ends by itself, unless the registration's expiry does that.
    pub patience: Option<Instant>,
    /// What the data plane was told last.
    pub station: Option<(InterfaceIndex, StationState)>,
    /// The most recent request: the only one whose reply counts.
    pub exchange: Option<Exchange>,
    pub next: NextRequest,
    /// Wait after the next request.
    pub wait: Duration,
    /// From the last answered request to its reply.
    pub round_trip: Duration,
    pub pace: Pace,
    pub identifications: Identifications,
    pub challenge: ClientChallenge,
    /// No request can go out before its foreign agent has made a new challenge known.
    pub awaits_challenge: bool,
    pub amendments: Amendments,
    /// To be sent first of all.
    pub retraction: Option<Retraction>,
    /// What it calls itself in its requests.
    pub nai: Option<Nai>,
    /// The algorithm of the home agent's last valid reply.
    pub algorithm: Option<Algorithm>,
    /// The client may have been elsewhere since the last request.
    pub may_have_been_away: bool,
    pub watch: Watch,
    pub noticed: Instant,
    pub registered_in: Option<Duration>,
    pub last_code: Option<ReplyCode>,
    pub attempts: u32,
    pub address_changes: AddressChanges,
}

/// Where a client stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// A visitor, held: no foreign agent is known yet.
    AwaitingAgent,
    /// A visitor, held: a server is asked for its security association.
    AwaitingAssociation,
    /// A visitor, held: no registration is in force.
    Registering,
    /// A visitor, forwarded.
    Registered(Registration),
    /// A visitor that cannot be served.
    Unserved(Missing),
    /// At home, bridged: a server is asked for its security association. Whoever has none is nobody that returns.
    AwaitingAssociationAtHome,
    /// At home: the home agent does not know yet.
    ComingHome,
    /// At home: the home agent has confirmed it.
    AtHome,
    /// Was at home and has registered elsewhere. Kept for the pace of its requests only.
    Away,
}

/// A second address of a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rival {
    pub address: HomeAddress,
    /// When the visitor was asked for its own address because of this one.
    pub asked: Instant,
}

/// What is missing to serve a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    HomeAgent,
    Association,
    AssociationServer,
    ForeignAgent,
    ReverseTunnel,
    /// Another client has it.
    Address,
}

/// A registration in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registration {
    pub agent: Agent,
    pub care_of_address: CareOfAddress,
    pub home_agent: HomeAgentAddress,
    pub mode: TunnelMode,
    /// The lesser of what was asked for and what was granted.
    pub lifetime: Lifetime,
    /// `None`: never.
    pub expires: Option<Instant>,
}

/// Where a request goes on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Agent {
    pub address: Ipv4Addr,
    pub mac: MacAddress,
}

/// What is asked of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub agent: Agent,
    pub care_of_address: CareOfAddress,
    pub home_agent: HomeAgentAddress,
    pub mode: TunnelMode,
    pub lifetime: Lifetime,
}

/// A request that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exchange {
    pub plan: Plan,
    pub identification: Identification,
    pub sent: Instant,
    pub outcome: Outcome,
}

/// A deregistration of what a home agent has accepted and the foreign agent refused (RFC 4636 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Retraction {
    pub plan: Plan,
    /// When the client may be registered anew.
    pub then: Instant,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Pending,
    /// Unauthenticated: a valid reply still counts.
    DeniedByForeignAgent,
    Answered,
}

/// When the next request goes out. With timestamps a retransmission is a new request, so one timer does for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NextRequest {
    Never,
    At(Instant),
    /// As soon as the client proves that it is there.
    WhenHeard,
    /// As soon as an agent is known to send it to.
    WhenAgentKnown,
    /// As soon as there is a security association to sign it with.
    WhenAssociationKnown,
}

/// What denials taught about how to ask. Forgotten with the next acceptance: denials by a foreign agent can be forged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Amendments {
    pub lifetime: Option<Lifetime>,
    pub reverse_tunnel: Option<bool>,
    /// Neither GRE nor minimal encapsulation.
    pub plain_encapsulation: bool,
    /// Not the encapsulating delivery style.
    pub direct_delivery: bool,
    /// Index into the advertised care-of addresses.
    pub care_of_address: usize,
    /// A foreign agent that refused.
    pub avoid: Option<Ipv4Addr>,
    /// How often another foreign agent was tried.
    pub switches: u8,
    /// How many were made.
    pub count: u8,
}

impl Client {
    pub fn new(now: Instant, interface: InterfaceIndex, mac: MacAddress, home_address: HomeAddress) -> Self {
        Self {
            mac,
            interface,
            home_address,
            is_address_assumed: false,
            rival: None,
            home_agent: None,
            state: State::Away,
            patience: None,
            station: None,
            exchange: None,
            next: NextRequest::Never,
            wait: SHORTEST_WAIT,
            round_trip: Duration::ZERO,
            pace: pace::REQUESTS,
            identifications: Identifications::default(),
            challenge: ClientChallenge::default(),
            awaits_challenge: false,
            amendments: Amendments::default(),
            retraction: None,
            nai: None,
            algorithm: None,
            may_have_been_away: false,
            watch: Watch::new(now),
            noticed: now,
            registered_in: None,
            last_code: None,
            attempts: 0,
            address_changes: AddressChanges::default(),
        }
    }

    /// A client with a foreign address, as opposed to one at home.
    pub fn is_visitor(&self) -> bool {
        !matches!(self.state, State::AwaitingAssociationAtHome | State::ComingHome | State::AtHome | State::Away)
    }

    /// Whether the client is certainly here, so that a request for it hijacks nothing. A visitor is asked if in doubt,
    /// and answers within milliseconds; at home its answer shows only when the kernel's time stamps are read.
    pub fn is_confirmed(&self, now: Instant) -> bool {
        self.watch.was_heard(now, if self.is_visitor() { FRESH } else { SILENCE * 3 })
    }

    /// Whether it is worth to know at any time that the client is there.
    pub fn is_watched(&self) -> bool {
        matches!(self.state, State::Registering | State::Registered(_) | State::ComingHome)
    }

    /// Whether the record can be dropped without anybody noticing.
    pub fn is_expendable(&self) -> bool {
        matches!(self.state, State::Unserved(_) | State::AwaitingAssociationAtHome | State::Away)
    }

    pub fn registration(&self) -> Option<&Registration> {
        match &self.state {
            State::Registered(registration) => Some(registration),
            _ => None,
        }
    }

    /// How long to wait for the reply to a request that is no repetition.
    pub fn first_wait(&self) -> Duration {
        (self.round_trip * 2 + ROUND_TRIP_MARGIN).max(SHORTEST_WAIT)
    }

    /// Forgets what denials taught, and starts with short waits.
    pub fn start_afresh(&mut self) {
        self.amendments = Amendments::default();
        self.wait = self.first_wait();
    }

    /// When the client's earliest timer runs out.
    pub fn deadline(&self) -> Option<Instant> {
        let next = match self.next {
            NextRequest::At(at) => Some(at),
            _ => None,
        };
        let expires = self.registration().and_then(|registration| registration.expires);
        let watch = self.is_watched().then(|| self.watch.next());
        [self.patience, next, expires, watch].into_iter().flatten().min()
    }

    /// A request at `at` at the latest.
    pub fn request_by(&mut self, at: Instant) {
        self.next = NextRequest::At(match self.next {
            NextRequest::At(earlier) => earlier.min(at),
            _ => at,
        });
    }

    /// Changes how the data plane treats the station, if it does not do so already.
    pub fn set_station(&mut self, station: StationState, actions: &mut Vec<Action>) {
        let wanted = Some((self.interface, station));
        if self.station != wanted {
            self.station = wanted;
            actions.push(Action::SetStation { mac: self.mac, station, interface: self.interface });
        }
    }

    /// Sends the client's packets to the foreign agent of its registration.
    pub fn forward(&mut self, actions: &mut Vec<Action>) {
        let Some(Registration { agent, home_agent, mode, .. }) = self.registration().copied() else { return };
        let home_address = self.home_address;
        let wrapped_for = (mode.reverse == Some(Delivery::Encapsulating)).then_some(agent.address);
        self.set_station(
            StationState::Forward { home_address, agent_mac: agent.mac, wrapped_for, home_agent },
            actions,
        );
    }

    /// The client is on another radio of this access point.
    pub fn set_interface(&mut self, interface: InterfaceIndex, actions: &mut Vec<Action>) {
        self.interface = interface;
        if let Some((_, station)) = self.station {
            self.set_station(station, actions);
        }
    }

    /// Whether the client's record is worth keeping across a restart.
    pub fn is_recorded(&self) -> bool {
        matches!(self.state, State::Registered(_) | State::AtHome)
    }

    /// Undoes what the data plane was told, without a word to any agent.
    pub fn dismiss(&mut self, actions: &mut Vec<Action>) {
        let mac = self.mac;
        if self.station.take().is_some() {
            actions.push(Action::RemoveStation { mac });
        }
        actions.push(Action::ForgetSeen { mac });
        if self.is_recorded() {
            actions.push(Action::ClientChanged { mac });
        }
    }

    /// The client is here no longer: stop silently. A deregistration would end what it registers elsewhere.
    pub fn part(&mut self, actions: &mut Vec<Action>) {
        self.dismiss(actions);
        if self.is_visitor() {
            actions.push(Action::DropHeld { mac: self.mac });
        }
    }
}
