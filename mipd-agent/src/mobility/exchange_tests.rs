//! Both agents at once: a client's bytes through foreign agent and home agent and back, without a network.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use super::{
    fixtures::*,
    foreign_agent::{self, ForeignAgent, GreKeyPolicy},
    home_agent::{self, HomeAgent},
    link::{Received, Transmit},
    security::{MobileHomeAssociations, Peer, PeerAssociations, SecurityAssociation},
    tunnel::{Encapsulation, GreKeys},
};
use crate::wire::{
    extension::kind,
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime, ReplyCode},
};

/// A home agent, a foreign agent, and the wire between them.
struct Campus {
    home_agent: HomeAgent,
    foreign_agent: ForeignAgent,
    clock: Clock,
}

impl Campus {
    /// `shared` is the key between the agents.
    fn new(shared: Option<&SecurityAssociation>) -> Self {
        Self::with(shared, |_| {}, |_| {})
    }

    /// The same with other settings.
    fn with(
        shared: Option<&SecurityAssociation>,
        at_home: impl FnOnce(&mut home_agent::Config),
        abroad: impl FnOnce(&mut foreign_agent::Config),
    ) -> Self {
        let peers = |peer| {
            let entries = shared.map(|association| (Peer::Address(peer), association.clone()));
            Arc::new(PeerAssociations::new(entries).unwrap())
        };
        let clients = [("10.1.0.0/24".parse().unwrap(), client_key())];
        let subnet = home_agent::HomeSubnet { prefix: "10.1.0.0/24".parse().unwrap(), interface: HOME_LINK };
        let access = foreign_agent::AccessInterface { interface: ACCESS_LINK, address: CARE_OF };
        let mut home = home_agent::Config {
            maximum_lifetime: Lifetime(300),
            mobile_home: Arc::new(MobileHomeAssociations::new(clients).unwrap()),
            foreign_home: peers(CARE_OF),
            ..home_agent::Config::new(HomeAgentAddress(HOME_AGENT), vec![subnet])
        };
        at_home(&mut home);
        let mut foreign = foreign_agent::Config {
            foreign_home: peers(HOME_AGENT),
            ..foreign_agent::Config::new(CareOfAddress(CARE_OF), vec![access])
        };
        abroad(&mut foreign);
        Self { home_agent: HomeAgent::new(home), foreign_agent: ForeignAgent::new(foreign, 1), clock: Clock::new() }
    }

    /// The client's request through both agents, and the datagram that comes back to it.
    fn exchange(&mut self, message: &[u8]) -> Option<Transmit> {
        let relayed = self.at_foreign_agent(&from_client(message))?;
        let answered = self.at_home_agent(&arriving(&relayed, CORE_LINK))?;
        let mut actions = Vec::new();
        self.foreign_agent.handle_reply(self.clock.0, &arriving(&answered, CORE_LINK), &mut actions);
        actions.into_iter().find_map(|action| match action {
            foreign_agent::Action::Send(transmit) => Some(transmit),
            _ => None,
        })
    }

    fn at_foreign_agent(&mut self, received: &Received<'_>) -> Option<Transmit> {
        let mut actions = Vec::new();
        self.foreign_agent.handle_request(self.clock.0, received, &mut actions);
        actions.into_iter().find_map(|action| match action {
            foreign_agent::Action::Send(transmit) => Some(transmit),
            _ => None,
        })
    }

    fn at_home_agent(&mut self, received: &Received<'_>) -> Option<Transmit> {
        let mut actions = Vec::new();
        self.home_agent.handle_datagram(self.clock.0, received, &mut actions);
        actions.into_iter().find_map(|action| match action {
            home_agent::Action::Send(transmit) => Some(transmit),
            _ => None,
        })
    }

    fn is_consistent(&self) -> bool {
        let binding = self.home_agent.binding(HomeAddress(HOME));
        let visitor = self.foreign_agent.visitor(HomeAgentAddress(HOME_AGENT), HomeAddress(HOME));
        match (binding, visitor) {
            (None, None) => true,
            (Some(binding), Some(visitor)) => {
                let (home, abroad) = (&binding.tunnel, &visitor.tunnel);
                let crosswise = |keys: GreKeys| GreKeys { send: keys.receive, receive: keys.send };
                (binding.care_of_address, home.is_reverse(), binding.expires)
                    == (visitor.care_of_address, abroad.is_reverse(), visitor.expires)
                    && home.encapsulation == abroad.encapsulation
                    && home.gre_keys == abroad.gre_keys.map(crosswise)
            }
            _ => false,
        }
    }

    fn run(&mut self, duration: Duration) {
        self.clock.advance(duration);
        self.home_agent.handle_timeout(self.clock.0, &mut Vec::new());
        self.foreign_agent.handle_timeout(self.clock.0, &mut Vec::new());
    }
}

/// What the client makes of a datagram: the reply, if it is one to this request that its home agent signed.
fn trusted_by_client(transmit: &Transmit, request: &RegistrationRequest) -> Option<RegistrationReply> {
    let reply = read_reply(transmit);
    let authentic = is_signed(transmit, kind::MOBILE_HOME_AUTHENTICATION, &client_key());
    (authentic && reply.identification.low() == request.identification.low()).then_some(reply)
}

#[test]
fn a_registration_goes_all_the_way_and_back_with_and_without_a_key_between_the_agents() {
    for shared in [None, Some(agents_key())] {
        let mut campus = Campus::new(shared.as_ref());
        let mut request = request(campus.clock.0);
        request.flags.reverse_tunnel = true;
        let reply = campus.exchange(&signed(&request, &client_key())).unwrap();
        assert_eq!((reply.destination, reply.destination_port), (HOME, CLIENT_PORT));
        let reply = trusted_by_client(&reply, &request).unwrap();
        assert!(reply.code.is_accepted());
        assert_eq!(reply.lifetime, Lifetime(300));
        assert_eq!(campus.home_agent.binding_count(), 1);
        assert!(campus.is_consistent());
    }
}

#[test]
fn both_agents_forget_an_unrenewed_registration_at_the_same_moment() {
    let mut campus = Campus::new(None);
    let message = signed(&request(campus.clock.0), &client_key());
    campus.exchange(&message).unwrap();
    campus.run(Duration::from_millis(299_999));
    assert!(campus.home_agent.binding_count() == 1 && campus.is_consistent());
    campus.run(Duration::from_millis(1));
    assert!(campus.home_agent.binding_count() == 0 && campus.is_consistent());
}

#[test]
fn a_deregistration_through_the_foreign_agent_clears_both() {
    for shared in [None, Some(agents_key())] {
        let mut campus = Campus::new(shared.as_ref());
        let message = signed(&request(campus.clock.0), &client_key());
        campus.exchange(&message).unwrap();
        campus.run(Duration::from_secs(1));
        let farewell = RegistrationRequest { lifetime: Lifetime::DEREGISTER, ..request(campus.clock.0) };
        let reply = campus.exchange(&signed(&farewell, &client_key())).unwrap();
        assert_eq!(trusted_by_client(&reply, &farewell).unwrap().code, ReplyCode::ACCEPTED);
        assert!(campus.home_agent.binding_count() == 0 && campus.is_consistent());
    }
}

#[test]
fn a_client_with_a_wrong_clock_registers_at_the_second_try() {
    let mut campus = Campus::new(Some(&agents_key()));
    let clock = Clock::at_seconds(77);
    let mut request = request(clock.0);
    let reply = campus.exchange(&signed(&request, &client_key())).unwrap();
    let reply = trusted_by_client(&reply, &request).unwrap();
    assert_eq!(reply.code, ReplyCode::HA_IDENTIFICATION);
    request.identification = reply.identification;
    let reply = campus.exchange(&signed(&request, &client_key())).unwrap();
    assert!(trusted_by_client(&reply, &request).unwrap().code.is_accepted());
    assert!(campus.is_consistent());
}

#[test]
fn a_client_with_a_wrong_key_learns_so_and_nobody_keeps_anything() {
    let mut campus = Campus::new(None);
    let request = request(campus.clock.0);
    let reply = campus.exchange(&signed(&request, &association(256, 66))).unwrap();
    assert_eq!(read_reply(&reply).code, ReplyCode::HA_MOBILE_AUTHENTICATION);
    assert!(campus.home_agent.binding_count() == 0 && campus.is_consistent());
    assert_eq!(campus.foreign_agent.pending().count(), 0);
}

#[test]
fn a_replay_on_the_visited_link_cannot_take_a_registration_over() {
    let mut campus = Campus::new(None);
    let message = signed(&request(campus.clock.0), &client_key());
    campus.exchange(&message).unwrap();
    let before: Vec<_> = campus.foreign_agent.visitors().copied().collect();
    let thief = mipd_common::mac::MacAddress([2, 0, 0, 0, 6, 6]);
    let replay = Received { source_mac: Some(thief), ..from_client(&message) };
    let relayed = campus.at_foreign_agent(&replay).unwrap();
    let answered = campus.at_home_agent(&arriving(&relayed, CORE_LINK)).unwrap();
    assert_eq!(read_reply(&answered).code, ReplyCode::HA_IDENTIFICATION);
    campus.foreign_agent.handle_reply(campus.clock.0, &arriving(&answered, CORE_LINK), &mut Vec::new());
    assert!(campus.foreign_agent.visitors().eq(before.iter()));
}

#[test]
fn a_client_without_an_association_is_told_of_the_timeout() {
    let mut campus = Campus::new(None);
    let mut request = request(campus.clock.0);
    request.home_address = HomeAddress(Ipv4Addr::new(192, 0, 2, 9));
    assert_eq!(campus.exchange(&signed(&request, &client_key())), None);
    campus.clock.advance(Duration::from_secs(7));
    let mut actions = Vec::new();
    campus.foreign_agent.handle_timeout(campus.clock.0, &mut actions);
    let [foreign_agent::Action::Send(transmit)] = &actions[..] else { panic!("one denial: {actions:?}") };
    assert_eq!(read_reply(transmit).code, ReplyCode::FA_TIMEOUT);
}

#[test]
fn both_agents_agree_on_the_encapsulation_and_use_each_others_keys() {
    let none = RequestFlags::default();
    let gre = RequestFlags { gre: true, ..none };
    let minimal = RequestFlags { minimal_encapsulation: true, ..none };
    for (flags, policy, encapsulation, keys) in [
        (none, GreKeyPolicy::WithGre, Encapsulation::IpInIp, false),
        (none, GreKeyPolicy::Always, Encapsulation::Gre, true),
        (gre, GreKeyPolicy::Never, Encapsulation::Gre, false),
        (gre, GreKeyPolicy::WithGre, Encapsulation::Gre, true),
        (minimal, GreKeyPolicy::Always, Encapsulation::Minimal, false),
    ] {
        let mut campus = Campus::with(
            Some(&agents_key()),
            |home| home.encapsulations = Encapsulation::ALL.into_iter().collect(),
            |foreign| (foreign.encapsulations, foreign.gre_key) = (Encapsulation::ALL.into_iter().collect(), policy),
        );
        for _ in 0..2 {
            campus.clock.advance(Duration::from_secs(2));
            let request = RegistrationRequest { flags, ..request(campus.clock.0) };
            let reply = campus.exchange(&signed(&request, &client_key())).unwrap();
            assert!(trusted_by_client(&reply, &request).unwrap().code.is_accepted());
            let visitor = campus.foreign_agent.visitors().next().unwrap();
            assert_eq!(visitor.tunnel.encapsulation, encapsulation);
            assert_eq!(visitor.tunnel.gre_keys.is_some(), keys, "{flags:?} {policy:?}");
            assert!(campus.is_consistent());
        }
    }
}

#[test]
fn a_home_agent_without_gre_is_not_asked_for_keys_twice() {
    let mut campus = Campus::with(
        None,
        |_| {},
        |foreign| {
            foreign.encapsulations = Encapsulation::ALL.into_iter().collect();
            foreign.gre_key = GreKeyPolicy::Always;
        },
    );
    for expected in [ReplyCode::HA_ENCAPSULATION, ReplyCode::ACCEPTED_NO_SIMULTANEOUS] {
        campus.clock.advance(Duration::from_secs(2));
        let request = request(campus.clock.0);
        let reply = campus.exchange(&signed(&request, &client_key())).unwrap();
        assert_eq!(trusted_by_client(&reply, &request).unwrap().code, expected);
        assert!(campus.is_consistent());
    }
}

/// A datagram of the foreign agent's arrives at the home agent, and what that answers comes back.
fn between_the_agents(campus: &mut Campus, actions: Vec<foreign_agent::Action>) {
    for action in actions {
        let foreign_agent::Action::Send(transmit) = action else { continue };
        if let Some(answer) = campus.at_home_agent(&arriving(&transmit, CORE_LINK)) {
            let received = arriving(&answer, CORE_LINK);
            assert!(campus.foreign_agent.awaits_acknowledgement(&received));
            campus.foreign_agent.handle_revocation(campus.clock.0, &received, &mut Vec::new());
        }
    }
}

fn revocable() -> Campus {
    let offered = foreign_agent::RevocationPolicy { inform: true };
    let mut campus = Campus::with(Some(&agents_key()), |_| {}, |foreign| foreign.revocation = Some(offered));
    let message = signed(&request(campus.clock.0), &client_key());
    campus.exchange(&message).unwrap();
    assert!(campus.foreign_agent.visitors().all(|visitor| visitor.revocation.is_some()));
    assert!(campus.home_agent.binding_count() == 1 && campus.is_consistent());
    campus.clock.advance(Duration::from_secs(2));
    campus
}

#[test]
fn a_visitor_that_the_foreign_agent_drops_is_no_longer_bound_within_a_second() {
    let mut campus = revocable();
    let (now, mut actions) = (campus.clock.0, Vec::new());
    let home_agent = HomeAgentAddress(HOME_AGENT);
    assert!(campus.foreign_agent.remove_visitor(now, home_agent, HomeAddress(HOME), &mut actions));
    campus.foreign_agent.handle_timeout(now, &mut actions);
    between_the_agents(&mut campus, actions);
    assert!(campus.home_agent.binding_count() == 0 && campus.is_consistent());
    assert_eq!(campus.foreign_agent.counters().revocations_confirmed, 1);
    assert_eq!(campus.foreign_agent.poll_timeout(), None);
}

#[test]
fn a_binding_that_the_home_agent_drops_is_no_visitor_within_a_second() {
    let mut campus = revocable();
    let (now, mut actions) = (campus.clock.0, Vec::new());
    assert!(campus.home_agent.deregister(now, HomeAddress(HOME), &mut actions));
    campus.home_agent.handle_timeout(now, &mut actions);
    let mut acknowledgements = Vec::new();
    for action in actions {
        let home_agent::Action::Send(transmit) = action else { continue };
        campus.foreign_agent.handle_revocation(now, &arriving(&transmit, CORE_LINK), &mut acknowledgements);
    }
    assert_eq!(campus.foreign_agent.counters().revocations_acknowledged, 1);
    between_the_agents(&mut campus, acknowledgements);
    assert!(campus.home_agent.binding_count() == 0 && campus.is_consistent());
    campus.run(Duration::from_mins(10));
    assert_eq!(campus.foreign_agent.counters().revocations_received, 1, "acknowledged, so not repeated");
}
