//! Each of the 256 codes has its action.

use super::*;

/// What becomes of a request with nothing in it that could be left out or asked for differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Becomes {
    Registered,
    /// Repeated at once, amended.
    Amended,
    /// Repeated when the time of a retransmission has come.
    Retried,
    /// Not repeated for a minute; a security event.
    Suspect,
    /// Reported, and not repeated for five minutes.
    Reported,
    /// Reported, and not repeated for an hour.
    Unwelcome,
}

fn expected(code: u8) -> Becomes {
    match code {
        0 | 1 => Becomes::Registered,
        // 69: the shorter lifetime. 75, 138: with T. 133: resynchronised. 136: the home agent named.
        69 | 75 | 133 | 136 | 138 => Becomes::Amended,
        // 77: no other care-of address is known.
        66 | 77 | 78 | 80..=95 | 130 => Becomes::Retried,
        67 | 68 | 131 | 132 => Becomes::Suspect,
        149 | 150 => Becomes::Unwelcome,
        // 72, 139, 142: neither G nor M was asked for. 74, 137, 70, 134: nor T. 79: nor encapsulating delivery. 76: the TTL
        // is the greatest. 104 to 106: there is nothing to authenticate a challenge with.
        _ => Becomes::Reported,
    }
}

fn outcome(code: ReplyCode, scene: &mut Scene) -> Becomes {
    match (scene.state(), scene.requests.len()) {
        ("registered", 1) => return Becomes::Registered,
        ("registering", 2) => return Becomes::Amended,
        ("denied", 1) => {}
        other => panic!("{code}: {other:?}"),
    }
    let suspicious = scene.counters().security_events == 1;
    assert_eq!(scene.status().reason, Some(code.meaning()));
    for (until, becomes) in
        [(1, Becomes::Retried), (60, Becomes::Suspect), (300, Becomes::Reported), (3600, Becomes::Unwelcome)]
    {
        let elapsed = scene.now.instant.since(Instant(seconds(1000)));
        scene.talk(seconds(until).saturating_sub(elapsed));
        if scene.requests.len() > 1 {
            assert_eq!(suspicious, becomes == Becomes::Suspect, "{code}");
            return becomes;
        }
    }
    panic!("{code}: never again");
}

#[test]
fn every_code_has_its_action() {
    for code in 0..=255 {
        let mut scene = Scene::new();
        scene.visit();
        let reply = RegistrationReply {
            lifetime: Lifetime(if code == 69 { 90 } else { 600 }),
            home_agent: if code == 136 { HomeAgentAddress([10, 1, 0, 2].into()) } else { HOME_AGENT },
            ..scene.reply(ReplyCode(code))
        };
        scene.deliver(&if reply.code.is_from_home_agent() { signed(&reply) } else { plain(&reply) });
        let counters = scene.counters();
        let (home, foreign) = (counters.denied_by_home_agent, counters.denied_by_foreign_agent);
        let counted = match code {
            0 | 1 => (0, 0),
            128..=192 => (1, 0),
            _ => (0, 1),
        };
        assert_eq!((home, foreign), counted, "{code}");
        assert_eq!(counters.denied.get(ReplyCode(code)), u64::from(code > 1));
        assert_eq!(outcome(ReplyCode(code), &mut scene), expected(code), "{code}");
    }
}

#[test]
fn no_code_of_a_foreign_agent_ends_a_registration_in_force() {
    for code in (2..=127).chain(193..=255).map(ReplyCode) {
        let mut scene = Scene::registered();
        scene.talk(seconds(540));
        assert_eq!(scene.state(), "renewing");
        scene.take();
        let before = scene.status();
        scene.deny(code);
        let after = scene.status();
        assert_eq!(effects(scene.take()), [], "{code}");
        assert_eq!((after.expires, after.foreign_agent), (before.expires, before.foreign_agent), "{code}");
        scene.talk(seconds(5));
        assert!(scene.requests.len() >= 3, "{code}: the renewal is repeated nevertheless");
        scene.accept();
        assert_eq!(scene.state(), "registered", "{code}");
    }
}
