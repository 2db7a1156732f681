//! First packets of visitors, held until the registration is through: delayed, not lost, and bounded.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use mipd_common::mac::MacAddress;

use crate::{mobility::time::Instant, wire::frame::ETHERTYPE_ARP};

/// Frames held per client.
pub const FRAMES_PER_CLIENT: usize = 32;
/// Bytes held per client.
pub const BYTES_PER_CLIENT: usize = 64 * 1024;
/// Bytes held in all.
pub const BYTES_IN_ALL: usize = 4 * 1024 * 1024;
/// Longest time a frame is held.
pub const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// What became of held frames, for `mipd show counters`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames taken in.
    pub held: u64,
    /// Frames handed back after the registration.
    pub released: u64,
    /// Frames refused or displaced because a bound was reached.
    pub overflowed: u64,
    /// Frames that waited too long, or whose client was given up.
    pub expired: u64,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

/// All held frames, by client.
#[derive(Debug, Default)]
pub struct Hold {
    queues: HashMap<MacAddress, Queue>,
    bytes: usize,
    counters: Counters,
}

impl Hold {
    /// Takes a frame in. At the client's bound the oldest frame goes: a newer one is worth more to a live session.
    /// At the bound for all clients the new frame is refused, so that one station cannot empty another's queue. Says how many
    /// of the client's frames are lost by that.
    pub fn push(&mut self, now: Instant, client: MacAddress, frame: Vec<u8>) -> usize {
        let size = frame.len();
        let before = self.counters.overflowed;
        let mut queue = self.queues.remove(&client).unwrap_or_default();
        while queue.frames.len() >= FRAMES_PER_CLIENT || queue.bytes + size > BYTES_PER_CLIENT {
            let Some((_, oldest)) = queue.frames.pop_front() else { break };
            queue.bytes -= oldest.len();
            self.bytes -= oldest.len();
            self.counters.overflowed += 1;
        }
        if size > BYTES_PER_CLIENT || self.bytes + size > BYTES_IN_ALL {
            self.counters.overflowed += 1;
        } else {
            queue.bytes += size;
            self.bytes += size;
            queue.frames.push_back((now, frame));
            self.counters.held += 1;
        }
        if !queue.frames.is_empty() {
            self.queues.insert(client, queue);
        }
        (self.counters.overflowed - before) as usize
    }

    /// Hands a client's frames back, oldest first.
    pub fn release(&mut self, client: MacAddress) -> impl ExactSizeIterator<Item = Vec<u8>> + use<> {
        let queue = self.queues.remove(&client).unwrap_or_default();
        self.bytes -= queue.bytes;
        self.counters.released += queue.frames.len() as u64;
        queue.frames.into_iter().map(|(_, frame)| frame)
    }

    /// Hands a client's ARP frames back, oldest first, and keeps the others.
    pub fn release_arp(&mut self, client: MacAddress) -> Vec<Vec<u8>> {
        let Some(queue) = self.queues.remove(&client) else { return Vec::new() };
        let is_arp = |frame: &[u8]| frame.get(12..14) == Some(&ETHERTYPE_ARP.to_be_bytes());
        let (arp, others): (VecDeque<_>, VecDeque<_>) = queue.frames.into_iter().partition(|(_, frame)| is_arp(frame));
        let released: Vec<_> = arp.into_iter().map(|(_, frame)| frame).collect();
        let bytes: usize = released.iter().map(Vec::len).sum();
        self.bytes -= bytes;
        self.counters.released += released.len() as u64;
        if !others.is_empty() {
            self.queues.insert(client, Queue { frames: others, bytes: queue.bytes - bytes });
        }
        released
    }

    /// Gives a client's frames up; says how many.
    pub fn discard(&mut self, client: MacAddress) -> usize {
        let queue = self.queues.remove(&client).unwrap_or_default();
        self.bytes -= queue.bytes;
        self.counters.expired += queue.frames.len() as u64;
        queue.frames.len()
    }

    /// Gives up every frame held for longer than [`LONGEST_HOLD`]; says how many of whom.
    pub fn expire(&mut self, now: Instant) -> Vec<(MacAddress, usize)> {
        let mut expired = Vec::new();
        for (client, queue) in &mut self.queues {
            let before = queue.frames.len();
            while let Some((since, frame)) = queue.frames.front()
                && now.since(*since) >= LONGEST_HOLD
            {
                queue.bytes -= frame.len();
                self.bytes -= frame.len();
                self.counters.expired += 1;
                queue.frames.pop_front();
            }
            if queue.frames.len() < before {
                expired.push((*client, before - queue.frames.len()));
            }
        }
        self.queues.retain(|_, queue| !queue.frames.is_empty());
        expired
    }

    /// When [`expire`](Self::expire) next has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.frames.front()).map(|(since, _)| *since + LONGEST_HOLD).min()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn at(milliseconds: u64) -> Instant {
        Instant(Duration::from_millis(milliseconds))
    }

    #[test]
    fn frames_come_back_in_order() {
        let mut hold = Hold::default();
        for number in 0..3 {
            hold.push(at(0), CLIENT, vec![number]);
        }
        assert_eq!(hold.release(CLIENT).collect::<Vec<_>>(), [[0], [1], [2]]);
        assert_eq!(hold.release(CLIENT).count(), 0);
        assert_eq!(hold.bytes, 0);
    }

    #[test]
    fn arp_is_released_before_the_rest() {
        let mut hold = Hold::default();
        let frame = |kind: [u8; 2]| [&[0; 12][..], &kind].concat();
        let (arp, ipv4) = (frame([0x08, 0x06]), frame([0x08, 0x00]));
        for bytes in [&ipv4, &arp, &ipv4] {
            hold.push(at(0), CLIENT, bytes.clone());
        }
        assert_eq!(hold.release_arp(CLIENT), [arp]);
        assert_eq!(hold.release(CLIENT).collect::<Vec<_>>(), [ipv4.clone(), ipv4]);
        assert_eq!((hold.bytes, hold.counters().released), (0, 3));
    }

    #[test]
    fn the_oldest_frame_makes_room_for_the_newest() {
        let mut hold = Hold::default();
        for number in 0..=FRAMES_PER_CLIENT as u8 {
            hold.push(at(0), CLIENT, vec![number]);
        }
        let frames: Vec<_> = hold.release(CLIENT).collect();
        assert_eq!((frames.len(), frames[0][0]), (FRAMES_PER_CLIENT, 1));
        assert_eq!(hold.counters().overflowed, 1);
    }

    #[test]
    fn a_client_never_holds_more_than_its_bytes() {
        let mut hold = Hold::default();
        for _ in 0..10 {
            hold.push(at(0), CLIENT, vec![0; 9000]);
        }
        assert!(hold.bytes <= BYTES_PER_CLIENT);
        hold.push(at(0), CLIENT, vec![0; BYTES_PER_CLIENT + 1]);
        assert!(hold.bytes <= BYTES_PER_CLIENT);
    }

    #[test]
    fn ten_thousand_stations_stay_within_the_bound_for_all() {
        let mut hold = Hold::default();
        for number in 0..10_000_u16 {
            let [a, b] = number.to_be_bytes();
            hold.push(at(0), MacAddress([2, 0, 0, 0, a, b]), vec![0; 1500]);
        }
        assert!(hold.bytes <= BYTES_IN_ALL);
        assert_eq!(hold.counters().held + hold.counters().overflowed, 10_000);
        assert!(hold.queues.len() <= BYTES_IN_ALL / 1500);
    }

    #[test]
    fn a_frame_is_given_up_after_two_seconds() {
        let mut hold = Hold::default();
        hold.push(at(0), CLIENT, vec![1]);
        hold.push(at(1500), CLIENT, vec![2]);
        assert_eq!(hold.poll_timeout(), Some(at(2000)));
        hold.expire(at(2000));
        assert_eq!(hold.counters().expired, 1);
        assert_eq!(hold.release(CLIENT).collect::<Vec<_>>(), [[2]]);
        assert_eq!(hold.poll_timeout(), None);
    }
}
