//! Whatever is sent in whatever order.

use std::collections::BTreeMap;

use super::*;
use crate::{
    mobility::{home_agent::UdpTunnelling, security::ReplayProtection, tunnel::Encapsulation},
    wire::{
        registration::RegistrationReply,
        revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
    },
};

const HOME_ADDRESSES: u8 = 4;
const PLACES: u8 = 3;

/// Everything switched on.
fn everything() -> Config {
    let clients = "10.0.0.0/8".parse().unwrap();
    let with_nonces = SecurityAssociation { replay: ReplayProtection::Nonces, ..association(300, 2) };
    let entries = [(clients, client_key()), (clients, with_nonces)];
    Config {
        encapsulations: Encapsulation::ALL.into_iter().collect(),
        broadcast: true,
        simultaneous_bindings: 2,
        maximum_bindings: 5,
        udp_tunnel: Some(UdpTunnelling { forced: true, keepalive: Duration::from_secs(110) }),
        proxies: Some(vec!["10.2.0.0/16".parse().unwrap()]),
        mobile_home: Arc::new(MobileHomeAssociations::new(entries).unwrap()),
        foreign_home: Arc::new(PeerAssociations::new([(Peer::Any, agents_key())]).unwrap()),
        ..config()
    }
}

fn place(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, number, 1)
}

fn client(number: u8) -> HomeAddress {
    HomeAddress(Ipv4Addr::new(10, 1, 0, 100 + number % HOME_ADDRESSES))
}

/// What may happen to a home agent.
#[derive(Clone, Copy, Debug)]
enum Step {
    Register { client: u8, place: u8, seconds: u16, flags: u8, supports_revocation: bool },
    ComeHome { client: u8 },
    Revoke { client: u8, place: u8 },
    Acknowledge { client: u8, place: u8 },
    Operator { client: u8 },
    Wait { milliseconds: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 0..PLACES, 0..60_u16, any::<u8>(), any::<bool>()).prop_map(
            |(client, place, seconds, flags, supports_revocation)| Step::Register {
                client,
                place,
                seconds,
                flags,
                supports_revocation,
            }
        ),
        1 => any::<u8>().prop_map(|client| Step::ComeHome { client }),
        1 => (any::<u8>(), 0..PLACES).prop_map(|(client, place)| Step::Revoke { client, place }),
        1 => (any::<u8>(), 0..PLACES).prop_map(|(client, place)| Step::Acknowledge { client, place }),
        1 => any::<u8>().prop_map(|client| Step::Operator { client }),
        2 => (0..30_000_u32).prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

/// A home agent, and what its data path was told.
struct Watched {
    bench: Bench,
    carried: BTreeMap<HomeAddress, Vec<Exit>>,
}

impl Watched {
    fn take(&mut self, step: Step) {
        self.bench.clock.advance(Duration::from_millis(1));
        let now = self.bench.now();
        let actions = match step {
            Step::Register { client: number, place: at, seconds, flags, supports_revocation } => {
                let request = RegistrationRequest {
                    flags: RequestFlags { co_located: false, ..RequestFlags::from_bits(flags) },
                    lifetime: Lifetime(seconds),
                    home_address: client(number),
                    care_of_address: CareOfAddress(place(at)),
                    ..request(now)
                };
                let mut message = signed(&request, &client_key());
                if supports_revocation {
                    RevocationSupport { inform: true, timestamp: now.wall.seconds() }.append(&mut message);
                }
                agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
                self.bench.receive(&Received { source: place(at), ..through_foreign_agent(&message) })
            }
            Step::ComeHome { client: number } => {
                let home_address = client(number);
                let care_of_address = CareOfAddress(home_address.0);
                let request = RegistrationRequest { home_address, care_of_address, ..deregistration(now) };
                let message = signed(&request, &client_key());
                self.bench.receive(&Received { source: home_address.0, ..from_home_link(&message) })
            }
            Step::Revoke { client: number, place: at } => {
                let mut message = Vec::new();
                Revocation {
                    from_home_agent: false,
                    inform: false,
                    home_address: client(number),
                    home_agent: HomeAgentAddress(HOME_AGENT),
                    foreign_agent: place(at),
                    identifier: now.wall.seconds() + 1,
                }
                .emit(&mut message);
                agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
                self.bench.receive(&Received { source: place(at), ..through_foreign_agent(&message) })
            }
            Step::Acknowledge { client: number, place: at } => {
                let mut message = Vec::new();
                let (home_address, identifier) = (client(number), now.wall.seconds());
                RevocationAcknowledgement { inform: false, home_address, identifier }.emit(&mut message);
                agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
                self.bench.receive(&Received { source: place(at), ..through_foreign_agent(&message) })
            }
            Step::Operator { client: number } => {
                let mut actions = Vec::new();
                self.bench.agent.deregister(now, client(number), &mut actions);
                actions
            }
            Step::Wait { milliseconds } => self.bench.run(Duration::from_millis(milliseconds.into())),
        };
        for action in actions {
            match action {
                Action::InstallBinding { home_address, exits } => {
                    self.carried.insert(home_address, exits);
                }
                Action::RemoveBinding { home_address } => {
                    self.carried.remove(&home_address).expect("only what is there is removed");
                }
                _ => {}
            }
        }
    }

    /// What the data path does is what the bindings say, and nothing is forgotten or late.
    fn is_consistent(&self) {
        let agent = &self.bench.agent;
        let mut expected = BTreeMap::<HomeAddress, Vec<Exit>>::new();
        for binding in agent.bindings() {
            expected.entry(binding.home_address).or_default().push(binding.exit());
            assert!(binding.expires.is_none_or(|expires| {
                expires > self.bench.now().instant || agent.poll_timeout().is_some_and(|at| at <= expires)
            }));
        }
        assert_eq!(self.carried, expected);
        assert_eq!(agent.bindings().count(), agent.binding_count());
        assert!(agent.binding_count() <= 5);
        assert!(expected.values().all(|exits| exits.len() <= 2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_data_path_always_does_what_the_bindings_say(steps in prop::collection::vec(step(), 1..80)) {
        let mut watched = Watched { bench: Bench::new(everything()), carried: BTreeMap::new() };
        for step in steps {
            watched.take(step);
            watched.is_consistent();
        }
        watched.take(Step::Wait { milliseconds: 200_000 });
        watched.is_consistent();
        prop_assert_eq!(watched.bench.agent.binding_count(), 0);
        prop_assert_eq!(watched.bench.agent.poll_timeout(), None);
    }

    #[test]
    fn an_authentic_request_gets_one_signed_answer_whatever_its_extensions(
        flags: u8,
        lifetime in 0_u16..3,
        nonces: bool,
        translated: bool,
        before in prop::collection::vec((prop::sample::select(&KINDS[..]), prop::collection::vec(any::<u8>(), 0..9)), 0..4),
        after in prop::collection::vec((prop::sample::select(&KINDS[..]), prop::collection::vec(any::<u8>(), 0..9)), 0..4),
    ) {
        let mut bench = Bench::new(everything());
        let key = if nonces { association(300, 2) } else { client_key() };
        let flags = RequestFlags::from_bits(flags);
        let mut message = unsigned(&RegistrationRequest { flags, lifetime: Lifetime(lifetime), ..request(bench.now()) });
        append(&mut message, &before);
        key.sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        append(&mut message, &after);
        if !flags.co_located {
            agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
        }
        let source = if translated { Ipv4Addr::new(198, 51, 100, 7) } else { CARE_OF };
        let actions = bench.receive(&Received { source, ..through_foreign_agent(&message) });
        if !actions.is_empty() {
            let (_, extensions) = RegistrationReply::parse(&sent(&actions).payload).unwrap();
            prop_assert_eq!(extensions.of_kind(kind::MOBILE_HOME_AUTHENTICATION).count(), 1);
            let last = extensions.iter().last().unwrap().kind;
            prop_assert!([kind::MOBILE_HOME_AUTHENTICATION, kind::FOREIGN_HOME_AUTHENTICATION, kind::CHALLENGE, kind::GRE_KEY, kind::UDP_TUNNEL_REPLY].contains(&last));
        }
        prop_assert!(bench.agent.binding_count() <= 1);
    }

    #[test]
    fn no_replay_ever_changes_anything(
        nonces: bool,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..PLACES, 0_u16..40, 0..9_000_u32), 1..40),
    ) {
        let mut bench = Bench::new(everything());
        let key = if nonces { association(300, 2) } else { client_key() };
        let mut nonce = 0;
        let mut history: Vec<(Ipv4Addr, Vec<u8>)> = Vec::new();
        let mut last_accepted = None;
        for (fresh, index, at, seconds, wait) in steps {
            bench.run(Duration::from_millis(u64::from(wait) + 1));
            let now = bench.now();
            let high = if nonces { nonce } else { now.wall.seconds() };
            let identification = Identification(u64::from(high) << 32 | u64::from(now.wall.low()));
            let lifetime = Lifetime(seconds);
            let request = RegistrationRequest {
                care_of_address: CareOfAddress(place(at)), lifetime, identification, ..request(now)
            };
            let mut message = signed(&request, &key);
            agents_key().sign(&mut message, kind::FOREIGN_HOME_AUTHENTICATION);
            let (source, message) = if history.is_empty() || fresh {
                (place(at), message)
            } else {
                history[index.index(history.len())].clone()
            };
            let is_replay = history.iter().any(|(_, known)| *known == message);
            let before: Vec<_> = bench.agent.bindings().copied().collect();
            let actions = bench.receive(&Received { source, ..through_foreign_agent(&message) });
            let reply = read_reply(sent(&actions));
            nonce = reply.identification.seconds();
            if is_replay {
                let after: Vec<_> = bench.agent.bindings().copied().collect();
                prop_assert_eq!(before, after);
                let is_last = nonces && last_accepted.as_ref() == Some(&message);
                prop_assert!(is_last || !reply.code.is_accepted(), "{:?}", reply);
            } else if reply.code.is_accepted() {
                last_accepted = Some(message.clone());
            }
            history.push((source, message));
        }
    }

    #[test]
    fn arbitrary_revocations_and_acknowledgements_change_nothing(
        mut bytes in prop::collection::vec(any::<u8>(), 1..80),
        acknowledges: bool,
        aimed: bool,
    ) {
        let mut watched = Watched { bench: Bench::new(everything()), carried: BTreeMap::new() };
        watched.take(Step::Register { client: 0, place: 0, seconds: 600, flags: 0, supports_revocation: true });
        bytes[0] = if acknowledges { 15 } else { 7 };
        if aimed && bytes.len() >= 20 {
            bytes[1..4].fill(0);
            bytes[4..8].copy_from_slice(&HOME.octets());
            bytes[8..12].copy_from_slice(&HOME_AGENT.octets());
            bytes[12..16].copy_from_slice(&place(0).octets());
        }
        let received = Received { source: place(0), ..through_foreign_agent(&bytes) };
        prop_assert_eq!(watched.bench.receive(&received), []);
        prop_assert_eq!(watched.bench.agent.binding_count(), 1);
    }
}

/// The types that the home agent acts upon, and one that nobody knows.
const KINDS: [u8; 10] = [
    kind::GENERALIZED_AUTHENTICATION,
    kind::GRE_KEY,
    kind::PROXY_NON_SKIPPABLE,
    kind::MOBILE_NODE_NAI,
    kind::CHALLENGE,
    kind::REVOCATION_SUPPORT,
    kind::UDP_TUNNEL_REQUEST,
    kind::PROXY_SKIPPABLE,
    kind::CRITICAL_VENDOR,
    200,
];

/// Mostly well-formed ones.
fn append(message: &mut Vec<u8>, extensions: &[(u8, Vec<u8>)]) {
    for (kind, data) in extensions {
        match *kind {
            kind::GRE_KEY => message.extend([48, 0, 0, 4, 1, 2, 3, data.len() as u8]),
            kind::PROXY_NON_SKIPPABLE => message.extend([47, 1, 0, 1, data.len() as u8]),
            kind::REVOCATION_SUPPORT => message.extend([137, 6, 0x80, 0, 1, 2, 3, 4]),
            kind::UDP_TUNNEL_REQUEST => {
                let flags = data.first().copied().unwrap_or(0) & 0xc0;
                message.extend([144, 6, 0, 0, flags, [0, 4, 47, 55, 6][data.len() % 5], 0, 0]);
            }
            kind => {
                message.extend([kind, data.len() as u8]);
                message.extend(data);
            }
        }
    }
}
