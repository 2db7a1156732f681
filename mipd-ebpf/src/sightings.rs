//! What the agent is told about stations: events, and the memory that keeps them from repeating with every packet.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use mipd_common::maps::{Mac, Seen, Station, StationEvent, station_event, station_state};

use crate::maps::{EVENTS, SEEN};

const SECOND: u64 = 1_000_000_000;

/// When something is told again of the same station.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The same (address, interface) not while it is remembered, anything else at once.
    Never,
    /// The same after a second, anything else at once.
    AfterOneSecond,
    /// Whatever it is after a second.
    OnceASecond,
}

/// Tells the agent, unless it has just been told. The address is in memory order.
#[inline(always)]
pub fn report(mac: Mac, address: u32, ifindex: u32, kind: u16, again: Again) {
    // SAFETY: plain helper call.
    let now = unsafe { bpf_ktime_get_ns() };
    let seen = Seen { address: address.to_ne_bytes(), ifindex, reported: now };
    if let Some(known) = SEEN.get_ptr_mut(mac) {
        // SAFETY: elements are pre-allocated, so the memory stays; a lost update repeats an event.
        let known = unsafe { &mut *known };
        let same = crate::bytes::address(&known.address) == address && known.ifindex == ifindex;
        if same || again == Again::OnceASecond {
            if again == Again::Never || now.wrapping_sub(known.reported) < SECOND {
                return;
            }
            *known = seen;
            return send(mac, seen.address, ifindex, kind);
        }
    }
    let _ = SEEN.insert(mac, seen, 0);
    send(mac, seen.address, ifindex, kind);
}

/// Remembers which radio a station is behind, for the frames that the agent will put back, without telling anybody.
#[inline(always)]
pub fn remember(mac: Mac, ifindex: u32) {
    if let Some(seen) = SEEN.get_ptr(mac) {
        // SAFETY: elements are pre-allocated, so the memory stays.
        if unsafe { (*seen).ifindex } == ifindex {
            return;
        }
    }
    let _ = SEEN.insert(mac, Seen { address: [0; 4], ifindex, reported: 0 }, 0);
}

/// Notes that a known station has spoken. A visitor that was silent for a second may have been away: the agent hears of
/// it.
#[inline(always)]
pub fn touch(station: &mut Station, mac: Mac, ifindex: u32) {
    // SAFETY: plain helper call.
    let jiffy = unsafe { bpf_jiffies64() } as u32;
    if station.last_jiffy == jiffy {
        return;
    }
    station.last_jiffy = jiffy;
    // SAFETY: plain helper call.
    let now = unsafe { bpf_ktime_get_ns() };
    let before = station.last_seen;
    station.last_seen = now;
    if station.state != station_state::LOCAL && now.saturating_sub(before) >= SECOND {
        send(mac, station.home_address, ifindex, station_event::RETURNED);
    }
}

/// One event. If the agent does not empty the buffer, it is lost; the station speaks again.
#[inline(always)]
pub fn send(mac: Mac, address: [u8; 4], ifindex: u32, kind: u16) {
    let _ = EVENTS.output::<StationEvent>(StationEvent { ifindex, address, mac: mac.octets, kind }, 0);
}
