use super::*;
use crate::mobility::tunnel::Encapsulation;

#[test]
fn an_accepted_reply_installs_the_visitor_and_then_reaches_the_client() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|request| request.flags.reverse_tunnel = true);
    let reply = signed_reply(&reply_to(&request));
    let actions = bench.answer(&reply);
    let transmit = sent(&actions).clone();
    assert_eq!(actions, [install(CLIENT_MAC, ACCESS_LINK, true), CHANGED, Action::Send(transmit.clone())]);
    assert_eq!(transmit.payload, reply);
    assert_eq!(transmit.path, to_client());
    assert_eq!((transmit.source, transmit.destination), (CARE_OF, HOME));
    assert_eq!((transmit.source_port, transmit.destination_port), (434, CLIENT_PORT));
    assert_eq!(bench.agent.pending().count(), 0);
}

#[test]
fn the_visitor_stays_for_the_least_of_all_lifetimes_and_leaves_in_silence() {
    for (asked, granted, stays) in [(600, 600, 600), (600, 300, 300), (600, 900, 600)] {
        let mut bench = Bench::new(config());
        let request = bench.ask(|request| request.lifetime = Lifetime(asked));
        bench.answer(&signed_reply(&RegistrationReply { lifetime: Lifetime(granted), ..reply_to(&request) }));
        assert_eq!(bench.run(Duration::from_millis(stays * 1000 - 1)), []);
        assert_eq!(bench.run(Duration::from_millis(1)), [REMOVED, CHANGED]);
        assert_eq!(bench.agent.poll_timeout(), None);
    }
}

#[test]
fn a_renewal_moves_the_expiry_and_leaves_the_data_path_alone() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.run(300 * SECOND);
    let request = bench.ask(|_| {});
    let actions = bench.accept(&request);
    assert_eq!(actions, [CHANGED, Action::Send(sent(&actions).clone())]);
    assert_eq!(bench.run(599 * SECOND), []);
    assert_eq!(bench.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn a_visitor_that_reappears_with_another_address_is_moved_only_by_an_accepted_reply() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    let request = bench.fresh();
    let message = signed(&request, &client_key());
    bench.receive(&Received { source_mac: Some(OTHER_MAC), ..from_client(&message) });
    assert_eq!(bench.visitor(), Some(&before));
    let actions = bench.accept(&request);
    assert_eq!(actions[0], install(OTHER_MAC, ACCESS_LINK, false));
}

#[test]
fn denied_renewal_keeps_the_visitor() {
    let mut bench = Bench::new(config());
    bench.register();
    let before = *bench.visitor().unwrap();
    let request = bench.ask(|_| {});
    let denial = RegistrationReply { code: ReplyCode::HA_IDENTIFICATION, ..reply_to(&request) };
    assert_eq!(told(&bench.answer(&signed_reply(&denial))), ReplyCode::HA_IDENTIFICATION);
    assert_eq!(bench.visitor(), Some(&before));
    assert_eq!(bench.agent.pending().count(), 0);
}

#[test]
fn an_accepted_deregistration_removes_the_visitor_and_nothing_else_does() {
    let mut bench = Bench::new(config());
    bench.register();
    let request = bench.ask(|request| request.lifetime = Lifetime::DEREGISTER);
    assert!(bench.visitor().is_some());
    let actions = bench.accept(&request);
    assert_eq!(actions, [REMOVED, CHANGED, Action::Send(sent(&actions).clone())]);
    assert_eq!(bench.agent.counters().deregistrations_accepted, 1);
}

#[test]
fn a_deregistration_of_a_former_care_of_address_is_relayed_from_ours_and_leaves_the_visitor() {
    let mut bench = Bench::new(config());
    bench.register();
    let mut request = bench.fresh();
    request.lifetime = Lifetime::DEREGISTER;
    request.care_of_address = CareOfAddress(Ipv4Addr::new(10, 3, 0, 1));
    let actions = bench.receive(&from_client(&signed(&request, &client_key())));
    assert_eq!(sent(&actions).source, CARE_OF);
    bench.accept(&request);
    assert!(bench.visitor().is_some());
}

#[test]
fn equal_home_addresses_of_two_home_networks_are_two_visitors() {
    let mut bench = Bench::new(config());
    bench.register();
    let elsewhere = HomeAgentAddress(Ipv4Addr::new(172, 16, 0, 1));
    let request = bench.ask(|request| request.home_agent = elsewhere);
    bench.accept(&request);
    assert_eq!(bench.agent.visitors().count(), 2);
    let (now, mut actions) = (bench.now(), Vec::new());
    assert!(bench.agent.remove_visitor(now, elsewhere, HomeAddress(HOME), &mut actions));
    assert!(!bench.agent.remove_visitor(now, elsewhere, HomeAddress(HOME), &mut actions));
    assert!(bench.visitor().is_some());
}

/// A successor of the agent, with the record as it comes back from disk.
pub(super) fn restarted(bench: &Bench, config: Config, after: Duration) -> (Bench, Vec<Action>) {
    let record = bench.agent.record(bench.now(), HomeAgentAddress(HOME_AGENT), HomeAddress(HOME)).unwrap();
    let record: VisitorRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let mut successor = Bench::new(config);
    successor.clock.0 = bench.now();
    successor.clock.advance(after);
    successor.clock.0.instant.0 = Duration::from_secs(5);
    let mut actions = Vec::new();
    successor.agent.restore(successor.clock.0, [record], &mut actions);
    (successor, actions)
}

#[test]
fn a_restart_keeps_visitors_and_their_expiry() {
    let mut bench = Bench::new(config());
    bench.register();
    let (mut successor, actions) = restarted(&bench, config(), 100 * SECOND);
    assert_eq!(actions, [install(CLIENT_MAC, ACCESS_LINK, false), CHANGED]);
    assert_eq!(successor.run(499 * SECOND), []);
    assert_eq!(successor.run(SECOND), [REMOVED, CHANGED]);
}

#[test]
fn visitors_that_expired_or_lost_their_place_during_a_restart_are_removed_from_the_data_path() {
    let mut bench = Bench::new(config());
    bench.register();
    for (config, after) in [
        (config(), 600 * SECOND),
        (Config { interfaces: Vec::new(), ..config() }, SECOND),
        (Config { care_of_addresses: Vec::new(), ..config() }, SECOND),
        (Config { maximum_visitors: 0, ..config() }, SECOND),
        (Config { encapsulations: [Encapsulation::Gre].into_iter().collect(), ..config() }, SECOND),
        (Config { reverse_tunnel: ReverseTunnel::Required, ..config() }, SECOND),
    ] {
        let (successor, actions) = restarted(&bench, config, after);
        assert_eq!(actions, [REMOVED, CHANGED]);
        assert!(successor.visitor().is_none());
    }
}

#[test]
fn a_record_of_an_older_version_still_loads() {
    let mut bench = Bench::new(config());
    let request = bench.ask(|request| request.flags.reverse_tunnel = true);
    bench.accept(&request);
    let record = bench.agent.record(bench.now(), HomeAgentAddress(HOME_AGENT), HomeAddress(HOME)).unwrap();
    let mut json = serde_json::to_value(&record).unwrap();
    let fields = json.as_object_mut().unwrap();
    for newer in ["interface_name", "tunnel"] {
        fields.remove(newer).expect(newer);
    }
    let record: VisitorRecord = serde_json::from_value(json).unwrap();
    let mut successor = Bench::new(config());
    let mut actions = Vec::new();
    successor.agent.restore(bench.now(), [record], &mut actions);
    assert_eq!(actions[0], install(CLIENT_MAC, ACCESS_LINK, true));
}

#[test]
fn after_a_boot_a_visitor_is_found_by_the_name_of_its_interface() {
    let mut bench = Bench::new(config());
    bench.register();
    let record = bench.agent.record(bench.now(), HomeAgentAddress(HOME_AGENT), HomeAddress(HOME)).unwrap();
    let renumbered = InterfaceIndex(99);
    let moved = Config { interfaces: vec![AccessInterface { interface: renumbered, address: CARE_OF }], ..config() };
    let restore = |name: &str| {
        let mut record = VisitorRecord { interface_name: name.to_owned(), ..record.clone() };
        record.find_interface(|name| (name == "lan0").then_some(renumbered));
        let mut successor = Bench::new(moved.clone());
        let mut actions = Vec::new();
        successor.agent.restore(bench.now(), [record], &mut actions);
        actions
    };
    assert_eq!(restore("lan0"), [install(CLIENT_MAC, renumbered, false), CHANGED]);
    assert_eq!(restore("lan1"), [REMOVED, CHANGED], "gone");
    assert_eq!(restore(""), [REMOVED, CHANGED], "an old record has an old index");
}
