//! Whatever arrives, the proxy neither panics nor gives up what is in force.

use proptest::prelude::*;

use super::*;

/// What somebody on the link can send: noise, or a reply that fits the latest request but for its authenticator.
fn hostile_reply() -> impl Strategy<Value = (Option<u8>, Vec<u8>)> {
    (prop::option::weighted(0.7, any::<u8>()), prop::collection::vec(any::<u8>(), 0..80))
}

fn any_event() -> impl Strategy<Value = Event> {
    let mac = (0u8..4).prop_map(|last| MacAddress([2, 0, 0, 0, 0, 0x10 + last]));
    let address =
        (prop::sample::select(vec![1u8, 2, 7, 9]), 99u8..103).prop_map(|(net, host)| Ipv4Addr::new(10, net, 0, host));
    (0u8..11, mac, address, 3u32..5).prop_map(|(kind, mac, address, interface)| {
        let interface = InterfaceIndex(interface);
        match kind {
            0 => Event::Visitor { interface, mac, address },
            1 => Event::Local { interface, mac, address },
            2 => Event::Returned { mac, interface },
            3 => Event::Moved { mac },
            4 => Event::Left { mac },
            5 => Event::Announced { mac: MacAddress([2, 0, 0, 0, 0, mac.0[5] + 1]), address },
            6 => Event::Dismissed { address, agent: LOCAL_AGENT.0, busy: mac.0[5] % 2 == 0 },
            9 => Event::Claimed { interface, mac, address },
            7 | 8 => Event::Associated { interface, mac, address, just_now: kind == 7 },
            _ => Event::Attached { mac },
        }
    })
}

proptest! {
    #[test]
    fn arbitrary_replies_do_not_change_a_registration_in_force(replies in prop::collection::vec(hostile_reply(), 1..20)) {
        let mut scene = Scene::registered();
        scene.talk(seconds(540));
        scene.take();
        let before = scene.status();
        for (code, bytes) in replies {
            let payload = match code {
                Some(code) => [plain(&scene.reply(ReplyCode(code))), bytes].concat(),
                None => bytes,
            };
            scene.deliver(&payload);
        }
        let after = scene.status();
        prop_assert_eq!(effects(scene.take()), []);
        prop_assert_eq!(after.expires, before.expires);
        prop_assert_eq!(after.lifetime_granted, before.lifetime_granted);
        prop_assert_eq!(after.care_of_address, before.care_of_address);
        prop_assert_eq!(after.foreign_agent, before.foreign_agent);
        scene.talk(seconds(10));
        scene.accept();
        prop_assert_eq!(scene.state(), "registered");
    }

    #[test]
    fn whoever_can_forge_everything_but_authenticators_registers_nobody_anywhere(
        steps in prop::collection::vec((hostile_reply(), any::<bool>(), 0u64..3000), 1..40),
    ) {
        let mut scene = Scene::with(with_foreign_key(config()));
        let challenge = Some(vec![1; 8]);
        scene.agent(Some(ForeignAgentInfo { challenge, ..tunnelling_agent() }));
        scene.visit();
        for ((code, bytes), busy, pause) in steps {
            let code = ReplyCode(code.unwrap_or(0));
            let mut payload = if code.is_from_home_agent() { plain(&scene.reply(code)) } else { signed(&scene.reply(code)) };
            payload.extend(&bytes);
            scene.deliver(&payload);
            scene.event(Event::Dismissed { address: HOME, agent: LOCAL_AGENT.0, busy });
            scene.drive(|proxy, now, actions| proxy.challenge_heard(now, LOCAL_AGENT.0, &bytes, actions));
            scene.talk(milliseconds(pause));
            prop_assert_eq!(scene.status().foreign_agent, None);
            prop_assert_eq!(scene.status().home_agent, Some(HOME_AGENT));
        }
        let elapsed = scene.now.instant.since(Instant(seconds(1000))).as_secs();
        prop_assert!(scene.requests.len() as u64 <= elapsed + 3);
        prop_assert_eq!(scene.last_request().lifetime, Lifetime(600), "nor talks us out of anything");
    }

    #[test]
    fn refused_acceptances_cost_no_more_than_one_request_per_second(
        steps in prop::collection::vec((any::<u8>(), 0u64..1500), 1..60),
    ) {
        let mut scene = Scene::new();
        scene.visit();
        for (status, pause) in steps {
            let mut payload = signed(&scene.reply(ReplyCode::ACCEPTED));
            payload.extend([kind::FOREIGN_AGENT_ERROR, 2, 0, status]);
            scene.deliver(&payload);
            scene.talk(milliseconds(pause));
            prop_assert_eq!(scene.status().foreign_agent, None);
        }
        let elapsed = scene.now.instant.since(Instant(seconds(1000))).as_secs();
        prop_assert!(scene.requests.len() as u64 <= elapsed + 3);
    }

    #[test]
    fn any_order_of_events_keeps_the_limits(
        steps in prop::collection::vec((any_event(), 0u64..4000, prop::option::weighted(0.4, any::<u8>())), 1..120),
    ) {
        let mut scene = Scene::with(Config { maximum_clients: 3, ..config() });
        for (event, pause, code) in steps {
            scene.event(event);
            if let Some(code) = code.filter(|_| !scene.requests.is_empty()) {
                scene.deny(ReplyCode(code % 140));
            }
            scene.advance(milliseconds(pause));
            prop_assert!(scene.proxy.clients().count() <= 3);
        }
        scene.attached = false;
        scene.advance(seconds(2000));
        prop_assert_eq!(scene.proxy.clients().count(), 0, "everybody has gone in the end");
        prop_assert_eq!(scene.proxy.poll_timeout(), None);
    }

    #[test]
    fn no_client_is_registered_more_than_once_per_second_on_average(
        steps in prop::collection::vec((any_event(), 0u64..700, any::<u8>()), 1..150),
    ) {
        let mut scene = Scene::new();
        for (event, pause, code) in steps {
            if !matches!(event, Event::Moved { .. } | Event::Left { .. }) {
                scene.event(event);
            }
            if !scene.requests.is_empty() {
                scene.deny(ReplyCode(code % 140));
            }
            scene.advance(milliseconds(pause));
        }
        let elapsed = scene.now.instant.since(Instant(seconds(1000))).as_secs();
        prop_assert!(scene.requests.len() as u64 <= 4 * (elapsed + 3), "{} in {elapsed} s", scene.requests.len());
    }
}
