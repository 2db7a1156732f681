//! How large a packet the path of a tunnel takes, learned from routers on it (RFC 1191, RFC 2003 §5.1).
//!
//! Soft state: nothing is remembered for longer than ten minutes, and only of paths that a tunnel of ours takes. Pure
//! decisions; the caller has the sockets, the clock and the tunnels.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use crate::mobility::{pace::Pace, time::Instant};

/// The smallest MTU that IPv4 allows (RFC 791); no estimate is ever smaller (RFC 1191 §3).
pub(super) const MINIMUM_MTU: u16 = 68;
/// How long a learned MTU counts (RFC 1191 §6.3).
const LIFETIME: Duration = Duration::from_mins(10);
/// MTUs that occur (RFC 1191 §7), for routers that do not tell theirs.
const PLATEAUS: [u16; 11] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, MINIMUM_MTU];
/// How many paths are remembered at most.
const CAPACITY: usize = 65_536;
/// How often the estimate of one path may sink: each time costs a route per client.
const PATH_PACE: (Duration, u32) = (Duration::from_secs(1), 3);
/// The same, of all paths together.
const TOTAL_PACE: (Duration, u32) = (Duration::from_millis(50), 20);

/// The way that the packets of a tunnel take. Tunnels that differ in encapsulation only share it; those over UDP do not,
/// since the boxes behind one address translator need not be behind the same links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Path {
    /// Our end.
    pub local: Ipv4Addr,
    /// The other end.
    pub remote: Ipv4Addr,
    /// Our UDP port and theirs.
    pub ports: Option<(u16, u16)>,
}

/// An MTU that a router told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Learned {
    /// Largest outer packet, bytes.
    pub mtu: u16,
    /// Who told.
    pub router: Ipv4Addr,
    /// When it is forgotten.
    pub expires: Instant,
}

/// What a router says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Report {
    /// Who says so.
    pub router: Ipv4Addr,
    /// The MTU of its link; 0 = it does not tell.
    pub mtu: u16,
    /// Total length of the packet that was too large, as quoted.
    pub length: u16,
    /// Length of that packet's header.
    pub header_length: u16,
}

/// What became of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The estimate is smaller now.
    Lowered,
    /// The estimate was this already, and counts for longer now.
    Confirmed,
    /// It cannot be true, or says nothing new.
    Refused,
    /// Too many of them.
    Limited,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    learned: Learned,
    pace: Pace,
}

/// What is known of the paths of our tunnels.
#[derive(Debug)]
pub(super) struct PathMtus {
    estimates: HashMap<Path, Estimate>,
    pace: Pace,
    deadline: Option<Instant>,
}

impl PathMtus {
    /// Nothing is known.
    pub fn new() -> Self {
        Self { estimates: HashMap::new(), pace: Pace::new(TOTAL_PACE.0, TOTAL_PACE.1), deadline: None }
    }

    /// What was learned of a path.
    pub fn get(&self, path: &Path) -> Option<Learned> {
        self.estimates.get(path).map(|estimate| estimate.learned)
    }

    /// Takes note of a report about a path that a tunnel of ours takes, whose packets have had at most `current` bytes.
    pub fn report(&mut self, now: Instant, path: Path, current: u16, report: Report) -> Outcome {
        let known = self.estimates.get(&path).copied();
        let current = known.map_or(current, |estimate| estimate.learned.mtu.min(current));
        // A router complains only of what is larger than its MTU, and larger packets than this never left here. (Those
        // that do not tell their MTU may have added the header's length to that of the packet, RFC 1191 §5.)
        let mtu = match report.mtu {
            0 => plateau_below(if report.length > current {
                report.length.saturating_sub(report.header_length).min(current)
            } else {
                report.length
            }),
            mtu if mtu < MINIMUM_MTU || mtu >= report.length => return Outcome::Refused,
            mtu => mtu,
        };
        let learned = Learned { mtu, router: report.router, expires: now + LIFETIME };
        match known {
            Some(mut estimate) if mtu == estimate.learned.mtu => {
                estimate.learned = learned;
                self.insert(path, estimate);
                return Outcome::Confirmed;
            }
            // RFC 1191 §3: nobody may raise an estimate by telling so; only time does.
            _ if mtu >= current => return Outcome::Refused,
            None if self.estimates.len() >= CAPACITY => return Outcome::Limited,
            _ => {}
        }
        let mut pace = known.map_or(Pace::new(PATH_PACE.0, PATH_PACE.1), |estimate| estimate.pace);
        if pace.earliest() > now || !self.pace.admit(now) {
            return Outcome::Limited;
        }
        pace.take(now);
        self.insert(path, Estimate { learned, pace });
        Outcome::Lowered
    }

    /// When [`expire`](Self::expire) wants to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Forgets what has become too old, and says of which paths.
    pub fn expire(&mut self, now: Instant) -> Vec<Path> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        let old: Vec<_> = self.estimates.extract_if(|_, estimate| estimate.learned.expires <= now).collect();
        self.deadline = self.estimates.values().map(|estimate| estimate.learned.expires).min();
        old.into_iter().map(|(path, _)| path).collect()
    }

    fn insert(&mut self, path: Path, estimate: Estimate) {
        let expires = estimate.learned.expires;
        self.estimates.insert(path, estimate);
        // Possibly that of an estimate which counts for longer by now: then nothing is found to be old.
        self.deadline = Some(self.deadline.map_or(expires, |deadline| deadline.min(expires)));
    }
}

/// The largest common MTU that a packet of this length does not fit.
fn plateau_below(length: u16) -> u16 {
    PLATEAUS.into_iter().find(|plateau| *plateau < length).unwrap_or(MINIMUM_MTU)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATH: Path = Path { local: Ipv4Addr::new(10, 1, 0, 1), remote: Ipv4Addr::new(10, 2, 0, 1), ports: None };
    const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(10_000 + seconds))
    }

    fn says(mtu: u16, length: u16) -> Report {
        Report { router: ROUTER, mtu, length, header_length: 20 }
    }

    #[test]
    fn a_smaller_mtu_counts_for_ten_minutes_after_the_last_time_it_was_told() {
        let mut paths = PathMtus::new();
        assert_eq!(paths.report(at(0), PATH, 1500, says(1400, 1500)), Outcome::Lowered);
        assert_eq!(paths.get(&PATH), Some(Learned { mtu: 1400, router: ROUTER, expires: at(600) }));
        assert_eq!(paths.report(at(500), PATH, 1400, says(1400, 1500)), Outcome::Confirmed);
        assert_eq!(paths.expire(at(600)), []);
        assert_eq!(paths.deadline(), Some(at(1100)));
        assert_eq!(paths.get(&PATH).unwrap().mtu, 1400);
        assert_eq!(paths.expire(at(1100)), [PATH]);
        assert_eq!((paths.get(&PATH), paths.deadline()), (None, None));
    }

    #[test]
    fn an_mtu_only_sinks_by_what_routers_say() {
        let mut paths = PathMtus::new();
        assert_eq!(paths.report(at(0), PATH, 1500, says(1400, 1500)), Outcome::Lowered);
        for mtu in [1401, 1499, 1500, 9000] {
            assert_eq!(paths.report(at(1), PATH, 1500, says(mtu, 9001)), Outcome::Refused, "{mtu}");
        }
        assert_eq!(paths.report(at(1), PATH, 1400, says(1300, 1400)), Outcome::Lowered);
        assert_eq!(paths.get(&PATH).unwrap().mtu, 1300);
    }

    #[test]
    fn nothing_below_the_smallest_mtu_of_ipv4_and_no_contradiction_is_believed() {
        let mut paths = PathMtus::new();
        for (mtu, length) in [(1, 1500), (67, 1500), (1400, 1400), (1400, 600), (1500, 1501), (68, 68)] {
            assert_eq!(paths.report(at(0), PATH, 1500, says(mtu, length)), Outcome::Refused, "{mtu} {length}");
        }
        assert_eq!((paths.get(&PATH), paths.deadline()), (None, None));
        assert_eq!(paths.report(at(0), PATH, 1500, says(68, 1500)), Outcome::Lowered);
    }

    #[test]
    fn a_router_that_tells_no_mtu_is_taken_to_have_the_next_common_one() {
        for (current, length, expected) in [
            (1500, 1500, 1492),
            (1500, 1400, 1006),
            (9000, 8192, 8166),
            // 4.2BSD: the quoted length is the header's too large.
            (1500, 1520, 1492),
            (1006, 1026, 508),
        ] {
            let mut paths = PathMtus::new();
            assert_eq!(paths.report(at(0), PATH, current, says(0, length)), Outcome::Lowered);
            assert_eq!(paths.get(&PATH).unwrap().mtu, expected, "{current} {length}");
        }
        let mut paths = PathMtus::new();
        assert_eq!(paths.report(at(0), PATH, 1500, says(0, 60)), Outcome::Lowered);
        assert_eq!(paths.get(&PATH).unwrap().mtu, 68);
    }

    #[test]
    fn a_path_sinks_three_times_at_once_and_then_once_per_second() {
        let mut paths = PathMtus::new();
        let mut lowered = |at, range: std::ops::Range<u16>| {
            let reports = range.rev().map(|mtu| paths.report(at, PATH, 1500, says(mtu, 1500)));
            reports.filter(|outcome| *outcome == Outcome::Lowered).count()
        };
        assert_eq!(lowered(at(0), 1300..1400), 3);
        assert_eq!(lowered(at(1), 1200..1300), 1);
        assert_eq!(lowered(at(2), 1100..1200), 1);
    }

    #[test]
    fn all_paths_together_sink_no_faster_than_twenty_times_per_second() {
        let mut paths = PathMtus::new();
        let other = |number: u32| Path { remote: number.into(), ..PATH };
        let lowered =
            (0..1000).filter(|number| paths.report(at(0), other(*number), 1500, says(1400, 1500)) == Outcome::Lowered);
        assert_eq!(lowered.count(), 20);
    }

    #[test]
    fn tunnels_through_different_ports_of_a_translator_have_paths_of_their_own() {
        let mut paths = PathMtus::new();
        let through = |port| Path { ports: Some((434, port)), ..PATH };
        assert_eq!(paths.report(at(0), through(4000), 1500, says(1400, 1500)), Outcome::Lowered);
        assert_eq!((paths.get(&through(4001)), paths.get(&PATH)), (None, None));
    }

    proptest! {
        #[test]
        fn whatever_is_told_no_estimate_grows_or_leaves_its_bounds(
            current in MINIMUM_MTU.., reports in prop::collection::vec((any::<u16>(), any::<u16>(), 20_u16..=60, 0_u64..300), 1..50),
        ) {
            let mut paths = PathMtus::new();
            let (mut now, mut smallest) = (0, current);
            for (mtu, length, header_length, pause) in reports {
                now += pause;
                if !paths.expire(at(now)).is_empty() {
                    smallest = current;
                }
                let outcome = paths.report(at(now), PATH, current, Report { router: ROUTER, mtu, length, header_length });
                let estimate = paths.get(&PATH).map_or(current, |learned| learned.mtu);
                prop_assert!(estimate >= MINIMUM_MTU && estimate <= smallest);
                prop_assert_eq!(outcome == Outcome::Lowered, estimate < smallest);
                smallest = estimate;
            }
        }
    }
}
