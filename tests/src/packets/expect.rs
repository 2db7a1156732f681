//! What is expected of a program, and what it is compared with.

use std::fmt::Write as _;

use anyhow::Result;
use aya::Ebpf;
use mipd_common::maps::{Counter, StationEvent, hook};

use super::bench::Outcome;
use super::maps::Maps;

/// What becomes of a packet. A test run tells only that it leaves, not how; tests on real interfaces do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// Left to the kernel.
    Pass,
    /// Dropped.
    Drop,
    /// Sent by an interface.
    Transmit,
    /// Received by another interface.
    Receive,
    /// Sent by an interface, to the next hop that the kernel finds.
    Resolve,
}

impl Fate {
    /// Whether the packet is redirected.
    pub fn leaves(self) -> bool {
        matches!(self, Self::Transmit | Self::Receive | Self::Resolve)
    }
}

/// What is expected of a program.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What becomes of the packet.
    pub fate: Fate,
    /// Why: this counter is 1 and all others are 0.
    pub counter: Counter,
    /// The packet afterwards; `None`: unchanged.
    pub bytes: Option<Vec<u8>>,
    /// Copies of it, each counted too: those that left, and those that were dropped.
    pub copies: Vec<(Counter, Option<Vec<u8>>)>,
    /// The outer identification may be anything.
    pub any_identification: bool,
    /// The firewall mark afterwards (TC).
    pub mark: u32,
    /// The kind and address of each event.
    pub events: Vec<(u16, [u8; 4])>,
}

impl Expect {
    fn new(fate: Fate, counter: Counter) -> Self {
        Self { fate, counter, bytes: None, copies: Vec::new(), any_identification: false, mark: 0, events: Vec::new() }
    }

    /// Left to the kernel, unchanged.
    pub fn pass(counter: Counter) -> Self {
        Self::new(Fate::Pass, counter)
    }

    /// Dropped.
    pub fn drop(counter: Counter) -> Self {
        Self::new(Fate::Drop, counter)
    }

    /// Sent by an interface, unchanged.
    pub fn transmit(counter: Counter) -> Self {
        Self::new(Fate::Transmit, counter)
    }

    /// Received by another interface, unchanged.
    pub fn receive(counter: Counter) -> Self {
        Self::new(Fate::Receive, counter)
    }

    /// Sent by an interface to the next hop that the kernel finds, unchanged.
    pub fn resolve(counter: Counter) -> Self {
        Self::new(Fate::Resolve, counter)
    }

    /// The packet looks like this afterwards.
    #[must_use]
    pub fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// A copy has left before it.
    #[must_use]
    pub fn copy(mut self, counter: Counter, bytes: Vec<u8>) -> Self {
        self.copies.push((counter, Some(bytes)));
        self
    }

    /// A copy has been dropped.
    #[must_use]
    pub fn dropped_copy(mut self, counter: Counter) -> Self {
        self.copies.push((counter, None));
        self
    }

    /// The outer header may have any identification (its checksum must be right).
    #[must_use]
    pub fn any_identification(mut self) -> Self {
        self.any_identification = true;
        self
    }

    /// The packet has this mark afterwards.
    #[must_use]
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = mark;
        self
    }

    /// The agent is told.
    #[must_use]
    pub fn event(mut self, kind: u16, address: std::net::Ipv4Addr) -> Self {
        self.events.push((kind, address.octets()));
        self
    }
}

/// Compares a run with what is expected of it: verdict, bytes, mark, events, and the counters of `hook`, all rows.
/// Returns the differences, empty if there are none.
pub fn compare(object: &mut Ebpf, hook: u32, packet: &[u8], outcome: &Outcome, expect: &Expect) -> Result<String> {
    let mut differences = String::new();
    compare_counters(object, hook, expect, &mut differences)?;
    let as_expected = outcome.fate == expect.fate || outcome.fate.leaves() && expect.fate.leaves();
    if !as_expected {
        writeln!(differences, "  verdict {:?}, expected {:?}", outcome.fate, expect.fate)?;
    }
    let mut expected_bytes = expect.bytes.clone().unwrap_or_else(|| packet.to_vec());
    if expect.any_identification {
        adopt_identification(&mut expected_bytes, &outcome.bytes);
    }
    if outcome.fate != Fate::Drop && outcome.bytes != expected_bytes {
        writeln!(differences, "  packet   {}\n  expected {}", start(&outcome.bytes), start(&expected_bytes))?;
    }
    if hook != hook::XDP && outcome.fate != Fate::Drop && outcome.mark != expect.mark {
        writeln!(differences, "  mark {:#x}, expected {:#x}", outcome.mark, expect.mark)?;
    }
    let events: Vec<_> =
        Maps(object).events()?.iter().map(|event: &StationEvent| (event.kind, event.address)).collect();
    if events != expect.events {
        writeln!(differences, "  events {events:?}, expected {:?}", expect.events)?;
    }
    Ok(differences)
}

/// Compares what has left a tunnel device with what is expected, in any order, and the counters.
pub fn compare_sent(object: &mut Ebpf, mut sent: Vec<Vec<u8>>, expect: &Expect) -> Result<String> {
    let mut differences = String::new();
    compare_counters(object, hook::EGRESS, expect, &mut differences)?;
    let copies = expect.copies.iter().filter_map(|(_, bytes)| bytes.as_ref());
    let mut expected: Vec<_> = copies.chain(&expect.bytes).cloned().collect();
    if expect.any_identification {
        for (expected, sent) in expected.iter_mut().zip(&sent) {
            adopt_identification(expected, sent);
        }
    }
    sent.sort();
    expected.sort();
    if sent != expected {
        let all = |frames: &[Vec<u8>]| frames.iter().map(|frame| start(frame)).collect::<Vec<_>>();
        writeln!(differences, "  sent     {:?}\n  expected {:?}", all(&sent), all(&expected))?;
    }
    Ok(differences)
}

fn compare_counters(object: &mut Ebpf, hook: u32, expect: &Expect, differences: &mut String) -> Result<()> {
    let counted = Maps(object).counted()?;
    let copies = expect.copies.iter().map(|(counter, _)| *counter);
    let mut expected: Vec<_> = copies.chain([expect.counter]).map(|counter| (hook, counter.name())).collect();
    let counted = counted
        .into_iter()
        .flat_map(|(_, hook, counter, packets)| std::iter::repeat_n((hook, counter.name()), packets as usize));
    let mut counted: Vec<_> = counted.collect();
    counted.sort_unstable();
    expected.sort_unstable();
    if counted != expected {
        writeln!(differences, "  counted {counted:?}, expected {expected:?} (hook, counter)")?;
    }
    Ok(())
}

/// Takes over the outer identification of a frame and corrects the checksum by as much.
pub fn adopt_identification(expected: &mut [u8], actual: &[u8]) {
    if expected.len() != actual.len() || expected.len() < 34 {
        return;
    }
    expected[18..20].copy_from_slice(&actual[18..20]);
    expected[24..26].fill(0);
    let sum = super::ipv4::checksum(&expected[14..34]);
    expected[24..26].copy_from_slice(&sum);
}

/// As much of a packet as a report needs.
fn start(bytes: &[u8]) -> String {
    hex(&bytes[..bytes.len().min(96)])
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
