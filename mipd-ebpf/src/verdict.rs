//! What a program decides, and how it is counted.

use mipd_common::maps::{Counter, Interface, counter_row};

use crate::maps::COUNTERS;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Fate {
    /// On to the kernel (or the next program).
    Pass,
    /// Gone.
    Drop,
    /// Out by an interface.
    Transmit,
    /// Received by an interface. TC only.
    Receive,
    /// Out by an interface, the kernel writes the Ethernet header. TC only.
    Resolve,
}

/// The fate of a packet and the counter that says why.
///
/// Three words and no enum with contents: the compiler would squeeze that into one register which it also uses for packet
/// pointers, and the verifier refuses arithmetic on those.
#[derive(Clone, Copy)]
pub struct Verdict {
    fate: Fate,
    counter: u64,
    ifindex: u64,
}

impl Verdict {
    /// On to the kernel (or the next program).
    #[inline(always)]
    pub fn pass(counter: Counter) -> Self {
        Self { fate: Fate::Pass, counter: counter as u64, ifindex: 0 }
    }

    /// Gone.
    #[inline(always)]
    pub fn drop(counter: Counter) -> Self {
        Self { fate: Fate::Drop, counter: counter as u64, ifindex: 0 }
    }

    /// Out by the interface of this index.
    #[inline(always)]
    pub fn transmit(counter: Counter, ifindex: u32) -> Self {
        Self { fate: Fate::Transmit, counter: counter as u64, ifindex: ifindex as u64 }
    }

    /// Received by the interface of this index. TC only.
    #[inline(always)]
    pub fn receive(counter: Counter, ifindex: u32) -> Self {
        Self { fate: Fate::Receive, counter: counter as u64, ifindex: ifindex as u64 }
    }

    /// Out by the interface of this index, the kernel writes the Ethernet header. TC only.
    #[inline(always)]
    pub fn resolve(counter: Counter, ifindex: u32) -> Self {
        Self { fate: Fate::Resolve, counter: counter as u64, ifindex: ifindex as u64 }
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub fn fate(self) -> Fate {
        self.fate
    }

    /// The interface concerned.
    #[inline(always)]
    pub fn ifindex(self) -> u32 {
        self.ifindex as u32
    }

    /// Counts the packet in the row of its interface and hook (row 0 for interfaces nobody registered).
    #[inline(always)]
    pub fn count(self, interface: Option<&Interface>, hook: u32) {
        let row = interface.map_or(0, |interface| interface.row);
        let Some(counters) = COUNTERS.get_ptr_mut(counter_row(row, hook)) else { return };
        let mut index = self.counter as usize;
        // The compiler knows that the index is in range and would omit the check; the verifier wants to see it. (An empty
        // assembly line confuses the line information.)
        // SAFETY: masks a register.
        unsafe { core::arch::asm!("{0} &= 255", inout(reg) index, options(pure, nomem, nostack)) };
        // SAFETY: the row is this CPU's own and programs of one hook do not nest on a CPU.
        if let Some(counter) = unsafe { (*counters).packets.get_mut(index) } {
            *counter = counter.wrapping_add(1);
        }
    }
}

/// Why a packet does not take the fast path.
#[derive(Clone, Copy)]
pub enum Refusal {
    /// The kernel or the agent does it.
    Slow(Counter),
    /// Nobody does it.
    Drop(Counter),
}
