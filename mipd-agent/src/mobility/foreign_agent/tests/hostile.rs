use super::*;
use crate::{
    mobility::{
        foreign_agent::{GreKeyPolicy, RevocationPolicy, UdpTunnelling},
        tunnel::Encapsulation,
    },
    wire::{
        authentication::{MOBILE_AAA, append_generalized},
        challenge::append_challenge,
        gre_key::GreKey,
        revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
        udp_tunnel::UdpTunnelReply,
    },
};

fn everything_on() -> Config {
    Config {
        encapsulations: Encapsulation::ALL.into_iter().collect(),
        gre_key: GreKeyPolicy::Always,
        udp_tunnel: Some(UdpTunnelling { forced: true, everything_translated: false }),
        encapsulating_delivery: true,
        revocation: Some(RevocationPolicy { inform: true }),
        challenge_window: Some(2),
        ..with_home_association()
    }
}

/// One of the things that can happen, with bytes in it that are right, but for those that are changed.
#[derive(Clone, Debug)]
struct Blow {
    what: u8,
    host: u8,
    flags: u8,
    lifetime: u16,
    at: prop::sample::Index,
    mask: Option<u8>,
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let mask = prop::option::weighted(0.3, 1_u8..);
    let one = (0_u8..9, 100_u8..104, any::<u8>(), 0_u16..2000, any::<prop::sample::Index>(), mask);
    let one = one.prop_map(|(what, host, flags, lifetime, at, mask)| Blow { what, host, flags, lifetime, at, mask });
    prop::collection::vec(one, 1..80)
}

impl Bench {
    fn suffer(&mut self, blow: &Blow) -> Vec<Action> {
        let home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, blow.host));
        let change = |mut message: Vec<u8>| {
            if let Some(mask) = blow.mask {
                let at = blow.at.index(message.len());
                message[at] ^= mask;
            }
            message
        };
        let (now, mut actions) = (self.now(), Vec::new());
        match blow.what {
            0 => drop(self.agent.renew_challenge(ACCESS_LINK)),
            1 | 2 => {
                let flags = RequestFlags::from_bits(blow.flags);
                let request =
                    RegistrationRequest { flags, lifetime: Lifetime(blow.lifetime), home_address, ..self.fresh() };
                let mut message = signed(&request, &client_key());
                append_challenge(&mut message, &self.agent.renew_challenge(ACCESS_LINK).unwrap());
                append_generalized(
                    &mut message,
                    MOBILE_AAA,
                    client_key().spi,
                    client_key().algorithm,
                    &client_key().key,
                );
                if flags.reverse_tunnel {
                    message.extend([130, 0]);
                }
                actions = self.receive(&from_client(&change(message)));
            }
            3 | 4 => {
                let Some(pending) = self.agent.pending().nth(blow.at.index(8)).cloned() else { return actions };
                let code = ReplyCode(if blow.what == 3 { 0 } else { blow.flags });
                let mut reply = signed_reply(&RegistrationReply { code, ..reply_to(&pending.request) });
                GreKey(blow.flags.into()).append(&mut reply);
                UdpTunnelReply { code: blow.flags & 64, forced: true, keepalive_interval: blow.lifetime }
                    .append(&mut reply);
                RevocationSupport { inform: true, timestamp: blow.lifetime.into() }.append(&mut reply);
                agents_key().sign(&mut reply, kind::FOREIGN_HOME_AUTHENTICATION);
                actions = self.answer(&change(reply));
            }
            5 => {
                let mut message = Vec::new();
                Revocation {
                    from_home_agent: true,
                    inform: blow.flags & 1 != 0,
                    home_address,
                    home_agent: HomeAgentAddress(HOME_AGENT),
                    foreign_agent: CARE_OF,
                    identifier: 3000 + u32::from(blow.lifetime),
                }
                .emit(&mut message);
                agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
                self.agent.handle_revocation(now, &from_home_agent(&change(message)), &mut actions);
            }
            6 => {
                let mut message = Vec::new();
                RevocationAcknowledgement { inform: true, home_address, identifier: now.wall.seconds() }
                    .emit(&mut message);
                agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
                self.agent.handle_revocation(now, &from_home_agent(&change(message)), &mut actions);
            }
            7 => drop(self.agent.remove_visitor(now, HomeAgentAddress(HOME_AGENT), home_address, &mut actions)),
            _ => actions = self.run(SECOND * u32::from(blow.lifetime % 400)),
        }
        actions
    }
}

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

    #[test]
    fn whatever_comes_in_any_order_nothing_panics_grows_or_stays_behind(blows in blows()) {
        let mut bench = Bench::new(everything_on());
        for blow in &blows {
            bench.suffer(blow);
            prop_assert!(bench.agent.pending().count() <= 20);
            prop_assert!(bench.agent.visitors().count() <= 4);
        }
        bench.run(Duration::from_secs(70_000));
        prop_assert_eq!(bench.agent.pending().count() + bench.agent.visitors().count(), 0);
        prop_assert_eq!(bench.agent.poll_timeout(), None, "no timer without a reason");
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
