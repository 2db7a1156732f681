use super::*;

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_make_a_visitor(
        mut bytes in prop::collection::vec(any::<u8>(), 1..120),
        aimed in any::<bool>(),
    ) {
        let mut bench = Bench::new(with_home_association());
        let request = bench.ask(|_| {});
        let mut reply = bytes.clone();
        if aimed && bytes.len() >= 24 {
            bytes[..24].copy_from_slice(&unsigned(&bench.fresh()));
            reply[..20].copy_from_slice(&signed_reply(&reply_to(&request))[..20]);
        }
        bench.receive(&from_client(&bytes));
        let actions = bench.answer(&reply);
        prop_assert!(matches!(actions[..], [] | [Action::Send(_)]));
        prop_assert_eq!(bench.agent.visitors().count(), 0);
        prop_assert!(bench.agent.pending().count() <= 2);
    }

    #[test]
    fn no_altered_reply_of_an_associated_home_agent_is_accepted(byte in 0_usize..64, mask in 1_u8..) {
        let mut bench = Bench::new(with_home_association());
        let request = bench.ask(|_| {});
        let mut reply = signed_reply(&reply_to(&request));
        agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
        reply[byte] ^= mask;
        bench.answer(&reply);
        prop_assert!(bench.visitor().is_none());
    }

    #[test]
    fn a_flood_of_requests_takes_bounded_memory_and_leaves_nothing_behind(
        floods in prop::collection::vec((any::<u32>(), any::<u8>(), 0_u16..3), 1..200),
    ) {
        let mut bench = Bench::new(config());
        for (home, mac, lifetime) in floods {
            let mut request = bench.fresh();
            request.home_address = HomeAddress(home.into());
            request.lifetime = Lifetime(lifetime);
            let message = signed(&request, &client_key());
            let mac = MacAddress([2, 0, 0, 0, 0, mac]);
            bench.receive(&Received { source_mac: Some(mac), ..from_client(&message) });
            prop_assert!(bench.agent.pending().count() <= 20);
        }
        bench.run(7 * SECOND);
        prop_assert_eq!(bench.agent.pending().count(), 0);
        prop_assert_eq!(bench.agent.poll_timeout(), None);
    }
}

#[test]
fn a_request_repeated_at_any_rate_has_one_timer() {
    let mut bench = Bench::new(config());
    let message = signed(&bench.fresh(), &client_key());
    for _ in 0..100 {
        bench.receive(&from_client(&message));
    }
    assert_eq!(bench.agent.sizes(), (0, 1, 1));
}
