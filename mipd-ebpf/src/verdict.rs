//! What a program decides, and how it is counted.

use mipd_common::maps::{Counter, Interface, counter_row};

use crate::maps::COUNTERS;

/// The fate of a packet. Every one carries the counter that says why.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// On to the kernel (or the next program).
    Pass(Counter),
    /// Gone.
    Drop(Counter),
    /// Out by the interface of this index.
    Transmit(Counter, u32),
    /// Received by the interface of this index. TC only.
    Receive(Counter, u32),
    /// Out by the interface of this index, the kernel writes the Ethernet header. TC only.
    Resolve(Counter, u32),
}

impl Verdict {
    #[inline(always)]
    fn counter(self) -> Counter {
        match self {
            Self::Pass(counter)
            | Self::Drop(counter)
            | Self::Transmit(counter, _)
            | Self::Receive(counter, _)
            | Self::Resolve(counter, _) => counter,
        }
    }

    /// Counts the packet in the row of its interface and hook (row 0 for interfaces nobody registered).
    #[inline(always)]
    pub fn count(self, interface: Option<&Interface>, hook: u32) {
        let row = interface.map_or(0, |interface| interface.row);
        let Some(counters) = COUNTERS.get_ptr_mut(counter_row(row, hook)) else { return };
        let mut index = self.counter() as usize;
        // The compiler knows that the index is in range and would omit the check; the verifier wants to see it.
        // SAFETY: an empty instruction sequence.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) index, options(pure, nomem, nostack)) };
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
