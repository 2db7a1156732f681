//! The agents' side of discovery.

use std::time::Duration;

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::{
        discovery::{Advertiser, AdvertiserConfig, advertiser::Action},
        link::InterfaceIndex,
        time::Now,
    },
    wire::{advertisement::AgentAdvertisement, types::CareOfAddress},
};
use mipd_common::mac::MacAddress;

use super::{Clock, Counted, Pause, message::Place, steps};

/// Hours of advertisements teach nothing that minutes do not.
const LONGEST_PAUSE: Duration = Duration::from_secs(100);

#[derive(Arbitrary, Debug)]
enum Step {
    Solicitation { source: Place, mac: [u8; 6] },
    Busy(bool),
    Challenge(Option<[u8; 8]>),
    Pass(Pause),
    Shutdown,
}

/// Any sequence of solicitations, pauses and changes.
pub fn check(data: &[u8]) {
    let [setting, interval, rest @ ..] = data else { return };
    let config = AdvertiserConfig {
        foreign_agent: setting & 1 != 0,
        home_agent: setting & 2 != 0 || setting & 1 == 0,
        care_of_addresses: if setting & 1 != 0 { vec![CareOfAddress([10, 2, 0, 1].into())] } else { Vec::new() },
        only_when_solicited: setting & 4 != 0,
        interval: Duration::from_secs(1 + u64::from(interval % 32)),
        ..AdvertiserConfig::new(InterfaceIndex(5), [10, 2, 0, 1].into(), 24)
    };
    let mut advertiser = Advertiser::new(config, 1);
    let mut clock = Clock::new();
    let mut counted = Counted::default();
    let start = clock.0.instant;
    let (mut sent, mut sequence, mut stopped) = (0, None, 0);
    for step in steps(rest) {
        let mut actions = Vec::new();
        let now = clock.0.instant;
        match step {
            Step::Solicitation { source, mac } => {
                let source = source.address(super::message::home_address(0));
                advertiser.handle_solicitation(now, source, MacAddress(mac), &mut actions);
            }
            Step::Busy(busy) => advertiser.set_busy(now, busy),
            Step::Challenge(challenge) => advertiser.set_challenge(challenge.map(|bytes| bytes.to_vec())),
            Step::Pass(pause) => {
                let handle =
                    |advertiser: &mut Advertiser, now: Now| advertiser.handle_timeout(now.instant, &mut actions);
                clock.run(pause.duration().min(LONGEST_PAUSE), &mut advertiser, Advertiser::poll_timeout, handle);
            }
            Step::Shutdown => {
                advertiser.shutdown(&mut actions);
                stopped += 1;
            }
        }
        for Action::Send { icmp, .. } in &actions {
            let advertisement = AgentAdvertisement::parse(icmp).expect("well-formed").expect("of a mobility agent");
            // RFC 5944 §2.1.1: counts up, and goes on with 256 after the last number.
            let expected = sequence.map_or(0, |last: u16| last.checked_add(1).unwrap_or(256));
            assert_eq!(advertisement.sequence, expected);
            sequence = Some(advertisement.sequence);
            sent += 1;
        }
        // Ten unicasts and one multicast a second, and a little at the start and at each end.
        let seconds = clock.0.instant.since(start).as_secs();
        assert!(sent <= 3 + stopped + 11 * (seconds + 1), "{sent} advertisements in {seconds} s");
        counted.check(advertiser.counters().iter().map(|counter| (counter.name, counter.value)));
    }
}

/// Something of each length.
pub fn seeds() -> Vec<Vec<u8>> {
    super::home_agent::seeds()
}
