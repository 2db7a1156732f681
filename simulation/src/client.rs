//! A client: where it is, how much it talks, and how lucky its messages are.

use std::{net::Ipv4Addr, time::Duration};

use mipd_agent::mobility::time::Instant;
use mipd_common::mac::MacAddress;

use crate::random::{Purpose, Stream};

/// How much a client sends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    /// A frame each so often.
    Constantly(Duration),
    /// A frame now and then, so long apart on average.
    NowAndThen(Duration),
}

/// A client, which runs no Mobile IP.
#[derive(Debug)]
pub struct Client {
    /// Its Ethernet address.
    pub mac: MacAddress,
    /// Its only IP address.
    pub address: Ipv4Addr,
    /// Its home subnet.
    pub home: usize,
    /// The access point that it is associated with.
    pub at: Option<usize>,
    /// The one before.
    pub before: Option<usize>,
    /// Counts its stays.
    pub stay: u32,
    /// When the access point heard it for the first time in this stay; `None` = it has not been noticed.
    pub noticed: Option<Instant>,
    /// How much it talks in this stay.
    pub talk: Talk,
    /// Since when it talks constantly to an access point that knows it. Such frames are not simulated one by one.
    pub talking: Option<Instant>,
    /// Whether the access point's agent was told that it associated.
    pub is_announced: bool,
    /// Nothing is expected for it before this: something happened to it that only time can mend.
    pub excused: Instant,
    /// Who asked last whether it is there, and when.
    pub asked: Option<(usize, Instant)>,
    /// Questions in a row that it, or its answer, was lost on.
    pub lost_questions: u32,
    /// Decides its ways.
    pub random: Stream,
    /// Decides what becomes of messages about it.
    pub messages: Stream,
}

impl Client {
    /// A client that is nowhere yet.
    pub fn new(seed: u64, index: usize, mac: MacAddress, address: Ipv4Addr, home: usize) -> Self {
        Self {
            mac,
            address,
            home,
            at: None,
            before: None,
            stay: 0,
            noticed: None,
            talk: Talk::Constantly(Duration::from_millis(100)),
            talking: None,
            is_announced: false,
            excused: Instant::default(),
            asked: None,
            lost_questions: 0,
            random: Stream::new(seed, Purpose::Client, index),
            messages: Stream::new(seed, Purpose::ClientMessages, index),
        }
    }

    /// The last of its frames that are not simulated one by one.
    pub fn last_frame(&self, at: Instant) -> Option<Instant> {
        let (Some(since), Talk::Constantly(period)) = (self.talking, self.talk) else { return None };
        let frames = at.since(since).as_nanos() / period.as_nanos();
        Some(since + period * frames as u32)
    }

    /// How it talks during its next stay.
    pub fn choose_talk(&mut self) -> Talk {
        match self.random.below(10) {
            0..=2 => Talk::Constantly(self.random.between(Duration::from_millis(20), Duration::from_millis(400))),
            3..=6 => Talk::NowAndThen(Duration::from_secs(10)),
            _ => Talk::NowAndThen(Duration::from_mins(5)),
        }
    }

    /// How long its next stay lasts.
    pub fn choose_stay(&mut self, mean: Duration) -> Duration {
        match self.random.below(10) {
            0 => self.random.between(Duration::from_millis(150), Duration::from_millis(2500)),
            _ => Duration::from_secs(1) + self.random.waiting(mean),
        }
    }

    /// When it speaks first after it has associated.
    pub fn choose_first_word(&mut self) -> Duration {
        match (self.talk, self.random.below(4)) {
            (Talk::NowAndThen(mean), 0) => self.random.waiting(mean / 4),
            _ => self.random.between(Duration::from_millis(2), Duration::from_millis(200)),
        }
    }
}
