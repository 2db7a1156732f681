//! ICMP echo: a steady stream with the fate of every packet, and the question whether a host is there at all.

use std::io::{ErrorKind, Read};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::namespace::Namespace;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// Echo data, so that a packet has the size that `ping` gives it: 84 bytes with the IPv4 header.
const DATA_LENGTH: usize = 56;
const SHORTEST_TIMEOUT: Duration = Duration::from_micros(50);

static NEXT_IDENTIFIER: AtomicU16 = AtomicU16::new(1);

/// A socket that sends echo requests under an identifier of its own.
struct Echo {
    socket: Socket,
    identifier: u16,
    target: SockAddr,
}

impl Echo {
    /// Opens the socket in a namespace; it stays there whichever thread uses it.
    fn open(namespace: &Namespace, target: Ipv4Addr) -> Result<Self> {
        let socket = namespace
            .enter(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)))?
            .context("cannot open a raw ICMP socket")?;
        let identifier = (std::process::id() as u16).wrapping_add(NEXT_IDENTIFIER.fetch_add(1, Ordering::Relaxed) << 8);
        Ok(Self { socket, identifier, target: SocketAddrV4::new(target, 0).into() })
    }

    /// Sends one request. An unreachable network, and a stack that still queues earlier requests for want of an answer to
    /// its ARP requests, are answers too: the packet counts as lost.
    fn send(&self, sequence: u16) {
        let mut packet = [0; 8 + DATA_LENGTH];
        packet[0] = ECHO_REQUEST;
        packet[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        packet[6..8].copy_from_slice(&sequence.to_be_bytes());
        for (position, byte) in packet[8..].iter_mut().enumerate() {
            *byte = position as u8;
        }
        let checksum = checksum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
        let _ = self.socket.send_to_with_flags(&packet, &self.target, libc::MSG_DONTWAIT);
    }

    /// Waits for a reply to one of our requests, at most until `deadline`.
    fn receive(&self, deadline: Instant) -> Option<u16> {
        let mut buffer = [MaybeUninit::uninit(); 512];
        loop {
            let patience = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            // Less than a microsecond would be rounded to zero, which means for ever.
            self.socket.set_read_timeout(Some(patience.max(SHORTEST_TIMEOUT))).ok()?;
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(_) => continue,
            };
            // SAFETY: the kernel has filled the first `length` bytes.
            let packet = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
            if let Some(sequence) = self.own_reply(packet) {
                return Some(sequence);
            }
        }
    }

    fn own_reply(&self, packet: &[u8]) -> Option<u16> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let mut message = [0; 8];
        packet.get(header..)?.read_exact(&mut message).ok()?;
        let [kind, _, _, _, i, j, s, t] = message;
        (kind == ECHO_REPLY && u16::from_be_bytes([i, j]) == self.identifier).then_some(u16::from_be_bytes([s, t]))
    }
}

/// Whether `target` answers from `namespace` within `patience`: asks every 50 ms. Returns the time to the first answer.
pub fn reach(namespace: &Namespace, target: Ipv4Addr, patience: Duration) -> Result<Option<Duration>> {
    let echo = Echo::open(namespace, target)?;
    let start = Instant::now();
    let deadline = start + patience;
    let mut sequence = 0;
    while Instant::now() < deadline {
        echo.send(sequence);
        sequence = sequence.wrapping_add(1);
        if echo.receive((Instant::now() + Duration::from_millis(50)).min(deadline)).is_some() {
            return Ok(Some(start.elapsed()));
        }
    }
    Ok(None)
}

/// The fate of one echo request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// When it was sent.
    pub sent: Instant,
    /// When its first reply came, if one did.
    pub answered: Option<Instant>,
}

/// A stream of echo requests at a steady pace, from a thread of its own until stopped or dropped.
#[derive(Debug)]
pub struct PingStream {
    probes: Arc<Mutex<Vec<Probe>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    interval: Duration,
}

impl PingStream {
    /// Starts sending from `namespace` to `target`.
    pub fn start(namespace: &Namespace, target: Ipv4Addr, interval: Duration) -> Result<Self> {
        let echo = Echo::open(namespace, target)?;
        let probes = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (record, stopped) = (Arc::clone(&probes), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("ping".into()).spawn(move || {
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let sequence = {
                    let mut probes = record.lock().unwrap_or_else(PoisonError::into_inner);
                    probes.push(Probe { sent: Instant::now(), answered: None });
                    probes.len() - 1
                };
                echo.send(sequence as u16);
                due = (due + interval).max(Instant::now());
                while let Some(answered) = echo.receive(due) {
                    let mut probes = record.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(index) = index_of_sequence(probes.len(), answered) {
                        probes[index].answered.get_or_insert_with(Instant::now);
                    }
                }
            }
        })?;
        Ok(Self { probes, stop, thread: Some(thread), interval })
    }

    /// The pace.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Every probe so far.
    pub fn probes(&self) -> Vec<Probe> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The send time of the first probe sent after `since` that has been answered.
    pub fn answered_since(&self, since: Instant) -> Option<Instant> {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.iter().skip_while(|probe| probe.sent < since).find_map(|probe| probe.answered)
    }

    /// What happened to the probes between two moments.
    pub fn during(&self, from: Instant, to: Instant) -> Account {
        Account::of(&self.probes(), from, to, self.interval)
    }
}

impl Drop for PingStream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A stretch of a ping stream summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// Requests sent in the stretch.
    pub sent: usize,
    /// How many of those were never answered.
    pub lost: usize,
    /// Longest time from the first request after a reply to the next reply, whichever request that answers. So a pause of
    /// the sender, on a busy machine, is not taken for one of the network.
    pub outage: Duration,
}

impl Account {
    /// Sums up the probes sent from `from` to `to`. The outage is looked for in the replies that arrived in that time and
    /// counts from the last reply before it, if that is no older than usual.
    fn of(probes: &[Probe], from: Instant, to: Instant, interval: Duration) -> Self {
        let within = |moment: Instant| (from..to).contains(&moment);
        let sent = probes.iter().filter(|probe| within(probe.sent)).count();
        let lost = probes.iter().filter(|probe| within(probe.sent) && probe.answered.is_none()).count();
        let mut replies: Vec<Instant> = probes.iter().filter_map(|probe| probe.answered).collect();
        replies.sort_unstable();
        let first = replies.partition_point(|&reply| reply < from);
        let usual = from.checked_sub(interval).unwrap_or(from);
        let mut previous = first.checked_sub(1).map_or(from, |index| replies[index]);
        let mut longest = Duration::ZERO;
        for reply in replies[first..].iter().copied().take_while(|&reply| reply < to).chain([to]) {
            let asked = probes.get(probes.partition_point(|probe| probe.sent < previous.max(usual)));
            if let Some(silence) = asked.and_then(|probe| reply.checked_duration_since(probe.sent)) {
                longest = longest.max(silence);
            }
            previous = reply;
        }
        Self { sent, lost, outage: longest }
    }
}

/// Sequence numbers wrap: the newest probe with that number is meant.
fn index_of_sequence(count: usize, sequence: u16) -> Option<usize> {
    let newest = count.checked_sub(1)?;
    let age = (newest as u16).wrapping_sub(sequence);
    newest.checked_sub(usize::from(age))
}

fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_outage_lasts_from_an_unanswered_request_to_the_next_reply() {
        let start = Instant::now();
        let probe = |sent: u32, answered: Option<u32>| Probe {
            sent: start + sent * MS,
            answered: answered.map(|moment| start + moment * MS),
        };
        let probes = [
            probe(0, Some(1)),
            probe(10, Some(11)),
            probe(20, None),
            probe(30, Some(61)),
            probe(40, Some(62)),
            probe(50, Some(63)),
            probe(60, Some(64)),
        ];
        let account = Account::of(&probes, start + 15 * MS, start + 70 * MS, 10 * MS);
        assert_eq!(account, Account { sent: 5, lost: 1, outage: 41 * MS });
    }

    #[test]
    fn a_pause_of_the_sender_is_no_outage() {
        let start = Instant::now();
        let probe = |moment: u32| Probe { sent: start + moment * MS, answered: Some(start + (moment + 1) * MS) };
        let account = Account::of(&[probe(0), probe(10), probe(500), probe(510)], start, start + 520 * MS, 10 * MS);
        assert_eq!(account, Account { sent: 4, lost: 0, outage: MS });
    }

    #[test]
    fn a_stream_that_never_came_back_is_out_until_the_end() {
        let start = Instant::now();
        let probes = [Probe { sent: start, answered: Some(start) }, Probe { sent: start + 10 * MS, answered: None }];
        let account = Account::of(&probes, start + 5 * MS, start + 110 * MS, 10 * MS);
        assert_eq!(account, Account { sent: 1, lost: 1, outage: 110 * MS });
    }

    #[test]
    fn a_wrapped_sequence_number_means_the_newest_probe_that_bears_it() {
        assert_eq!(index_of_sequence(70_000, 69_999u32 as u16), Some(69_999));
        assert_eq!(index_of_sequence(70_000, 65_535), Some(65_535));
        assert_eq!(index_of_sequence(5, 7), None);
    }

    #[test]
    fn the_checksum_of_a_packet_that_carries_its_checksum_is_zero() {
        let mut packet = [8, 0, 0, 0, 0x12, 0x34, 0xff, 0xff, 0xff, 0xff];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }
}
