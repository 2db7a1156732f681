//! The order of GRE packets with sequence numbers (RFC 2890 §2.2): what comes late is dropped, a gap is accepted.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

/// Tunnels remembered; of further ones, the one silent for longest is forgotten.
const CAPACITY: usize = 4096;
/// After so much silence whatever comes is taken: a peer that has started anew counts from 0.
const MEMORY: Duration = Duration::from_mins(1);

/// What makes the packets of a tunnel one sequence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    pub entry: Ipv4Addr,
    pub exit: Ipv4Addr,
    pub key: Option<u32>,
    pub udp: Option<SocketAddrV4>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    number: u32,
    at: Instant,
}

/// The last number of each tunnel.
#[derive(Debug, Default)]
pub struct Sequences(HashMap<Flow, Last>);

impl Sequences {
    /// Whether a packet is in order. One that is becomes the last one.
    pub fn admit(&mut self, now: Instant, flow: Flow, number: u32) -> bool {
        let last = self.0.get(&flow).filter(|last| now.saturating_duration_since(last.at) < MEMORY);
        // Serial number arithmetic: the half of all numbers that lies behind is late, the last one itself too.
        if last.is_some_and(|last| number.wrapping_sub(last.number).wrapping_sub(1) >= 1 << 31) {
            return false;
        }
        if self.0.len() >= CAPACITY && !self.0.contains_key(&flow) {
            let oldest = self.0.iter().min_by_key(|(_, last)| last.at).map(|(flow, _)| *flow);
            self.0.remove(&oldest.unwrap_or(flow));
        }
        self.0.insert(flow, Last { number, at: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(key: u32) -> Flow {
        Flow { entry: Ipv4Addr::new(10, 1, 0, 1), exit: Ipv4Addr::new(10, 2, 0, 1), key: Some(key), udp: None }
    }

    proptest! {
        #[test]
        fn a_number_is_in_order_if_it_lies_in_the_half_ahead(last: u32, step: u32) {
            let (mut sequences, now) = (Sequences::default(), Instant::now());
            prop_assert!(sequences.admit(now, flow(1), last));
            let ahead = step != 0 && step <= 1 << 31;
            prop_assert_eq!(sequences.admit(now, flow(1), last.wrapping_add(step)), ahead);
            // What was late has changed nothing.
            prop_assert_eq!(sequences.admit(now, flow(1), last.wrapping_add(1)), !ahead);
        }
    }

    #[test]
    fn tunnels_do_not_disturb_each_other_and_silence_is_a_new_beginning() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        assert!(sequences.admit(now, flow(1), 100) && sequences.admit(now, flow(2), 5));
        assert!(!sequences.admit(now, flow(1), 100) && !sequences.admit(now, flow(1), 99));
        assert!(sequences.admit(now, flow(1), 101) && sequences.admit(now, flow(1), 105), "a gap is accepted");
        assert!(!sequences.admit(now + MEMORY / 2, flow(1), 0), "late packets do not prolong the memory");
        assert!(sequences.admit(now + MEMORY, flow(1), 0), "the peer has started anew");
    }

    #[test]
    fn memory_is_bounded_and_the_longest_silent_tunnel_goes_first() {
        let (mut sequences, now) = (Sequences::default(), Instant::now());
        for key in 0..CAPACITY as u32 + 10 {
            assert!(sequences.admit(now + Duration::from_micros(key.into()), flow(key), 7));
        }
        assert_eq!(sequences.0.len(), CAPACITY);
        let later = now + Duration::from_secs(1);
        assert!(!sequences.admit(later, flow(10), 7), "this one is still known");
        assert!(sequences.admit(later, flow(9), 7), "this one is not");
        assert_eq!(sequences.0.len(), CAPACITY);
    }
}
