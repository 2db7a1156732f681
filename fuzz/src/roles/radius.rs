//! The client that downloads security associations.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use arbitrary::Arbitrary;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use mipd_agent::{
    mobility::{
        security::radius::{Action, Config, RadiusClient, Server, ServerIndex},
        time::Now,
    },
    wire::{
        authentication::Key,
        radius::{NasIdentifier, UserPassword},
        types::HomeAddress,
    },
};

use super::{Clock, Counted, Pause, steps};

const SECRETS: [[u8; 16]; 2] = [[21; 16], [22; 16]];
const MAXIMUM_CACHED: usize = 4;
const MAXIMUM_WAITING: usize = 4;
const PER_SECOND: u32 = 5;
const REMEMBERED: usize = 8;
const TEXT: &[u8] = b"mobileip:spi#0=spi 100 key hex 000102030405060708090a0b0c0d0e0f";

#[derive(Arbitrary, Debug)]
enum Step {
    LookUp(u8),
    Answer {
        to: u8,
        code: Answer,
        good_secret: bool,
        message_authenticator: bool,
        lifetime: Option<u16>,
        from_other: bool,
    },
    Bytes {
        bytes: Vec<u8>,
        server: bool,
    },
    Pass(Pause),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Answer {
    Accept,
    AcceptWithoutText,
    AcceptWithRubbish([u8; 12]),
    Reject,
    Challenge,
}

/// Any sequence of look-ups, answers and pauses.
pub fn check(data: &[u8]) {
    let servers = SECRETS.map(|secret| Server { secret: Key::from_bytes(secret.to_vec()).expect("a key") });
    let password = UserPassword::new(b"secret".to_vec()).expect("a password");
    let name = NasIdentifier::new("mipd".to_owned()).expect("a name");
    let config = Config {
        maximum_cached: MAXIMUM_CACHED,
        maximum_outstanding: 3,
        maximum_waiting: MAXIMUM_WAITING,
        requests_per_second: PER_SECOND,
        ..Config::new(servers.to_vec(), password, name)
    };
    let mut client = RadiusClient::new(config, [1; 32]);
    let mut clock = Clock::new();
    let mut counted = Counted::default();
    let start = clock.0.instant;
    let mut asked: Vec<(ServerIndex, Vec<u8>)> = Vec::new();
    let mut sent = 0;
    // Look-ups without an outcome, by client.
    let mut open: BTreeMap<HomeAddress, u32> = BTreeMap::new();
    let mut trusted = false;
    for step in steps(data) {
        let mut actions = Vec::new();
        let now = clock.0.instant;
        match step {
            Step::LookUp(number) => {
                let home_address = HomeAddress(Ipv4Addr::new(10, 1, 0, number % 12));
                *open.entry(home_address).or_default() += 1;
                client.look_up(now, home_address, &mut actions);
            }
            Step::Answer { to, code, good_secret, message_authenticator, lifetime, from_other } => {
                if let Some((server, request)) = asked.get(usize::from(to) % REMEMBERED) {
                    let from = if from_other { ServerIndex(1 - server.0) } else { *server };
                    let secret = if good_secret { SECRETS[server.0] } else { [99; 16] };
                    let packet = answer(request, code, &secret, message_authenticator, lifetime);
                    trusted |= good_secret && matches!(code, Answer::Accept);
                    client.handle_datagram(now, from, &packet, &mut actions);
                }
            }
            Step::Bytes { bytes, server } => {
                client.handle_datagram(now, ServerIndex(server.into()), &bytes, &mut actions);
            }
            Step::Pass(pause) => {
                let handle = |client: &mut RadiusClient, now: Now| client.handle_timeout(now.instant, &mut actions);
                clock.run(pause.duration(), &mut client, RadiusClient::poll_timeout, handle);
            }
        }
        for action in actions {
            match action {
                Action::Send { server, packet } => {
                    assert!((20..=4096).contains(&packet.len()));
                    sent += 1;
                    asked.insert(0, (server, packet));
                    asked.truncate(REMEMBERED);
                }
                Action::Resolved { home_address, outcome } => {
                    open.remove(&home_address);
                    assert!(outcome.is_err() || trusted, "associations from nobody");
                    assert!(outcome.is_err() || outcome.is_ok_and(|associations| !associations.is_empty()));
                }
                _ => {}
            }
        }
        let seconds = clock.0.instant.since(start).as_secs();
        // Retransmissions, and the same question to the other server, count once more each.
        assert!(sent <= 4 * u64::from(PER_SECOND) * (seconds + 2), "{sent} requests in {seconds} s");
        assert!(client.downloaded().count() <= MAXIMUM_CACHED);
        assert!(open.is_empty() || client.poll_timeout().is_some(), "{open:?} will never be resolved");
        counted.check(client.counters().iter().map(|counter| (counter.name, counter.value)));
    }
    // Whoever waits is told, at the latest when all servers have had their time.
    let mut told = Vec::new();
    let handle = |client: &mut RadiusClient, now: Now| client.handle_timeout(now.instant, &mut told);
    clock.run(Duration::from_mins(10), &mut client, RadiusClient::poll_timeout, handle);
    for action in told {
        if let Action::Resolved { home_address, .. } = action {
            open.remove(&home_address);
        }
    }
    assert!(open.is_empty(), "{open:?} was never resolved");
}

fn answer(
    request: &[u8],
    code: Answer,
    secret: &[u8],
    with_message_authenticator: bool,
    lifetime: Option<u16>,
) -> Vec<u8> {
    let number = match code {
        Answer::Reject => 3,
        Answer::Challenge => 11,
        _ => 2,
    };
    let mut list = Vec::new();
    if with_message_authenticator {
        list.extend([80, 18]);
        list.extend([0; 16]);
    }
    let text: &[u8] = match &code {
        Answer::Accept => TEXT,
        Answer::AcceptWithRubbish(bytes) => bytes,
        _ => &[],
    };
    if !text.is_empty() {
        list.extend([26, 8 + text.len() as u8, 0, 0, 0, 9, 1, 2 + text.len() as u8]);
        list.extend(text);
    }
    if let Some(lifetime) = lifetime {
        list.extend([27, 6, 0, 0]);
        list.extend(lifetime.to_be_bytes());
    }
    let mut packet = vec![number, request[1]];
    packet.extend((20 + list.len() as u16).to_be_bytes());
    // RFC 2869 §5.14: computed with the request's authenticator in place.
    packet.extend(&request[4..20]);
    packet.extend(&list);
    if with_message_authenticator {
        let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(secret).expect("any length will do");
        mac.update(&packet);
        packet[22..38].copy_from_slice(&mac.finalize().into_bytes());
    }
    let mut digest = Md5::new();
    digest.update(&packet);
    digest.update(secret);
    let authenticator = digest.finalize();
    packet[4..20].copy_from_slice(&authenticator);
    packet
}

/// Something of each length.
pub fn seeds() -> Vec<Vec<u8>> {
    super::home_agent::seeds()
}
