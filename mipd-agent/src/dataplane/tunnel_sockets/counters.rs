//! What became of tunnel packets that the agent itself unwraps.

use crate::wire::encapsulation::Damage;

/// Why a tunnel packet went no further. All of them: silently (RFC 5944 §4.2.2, RFC 3024 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A truncated or inconsistent header.
    Malformed,
    /// A wrong checksum of GRE or of the minimal forwarding header.
    Checksum,
    /// Nobody has registered this tunnel end with this address inside.
    Stranger,
    /// Wrapped in another form than the registration says: kind, GRE key, UDP ports.
    Form,
    /// A GRE sequence number that was passed already.
    Sequence,
    /// It would go round: inside is a GRE packet for the router that has wrapped it (RFC 2784 §3).
    Loop,
    /// The kernel did not take it, or the visitor's link could not.
    Undeliverable,
}

impl From<Damage> for Refusal {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Malformed => Self::Malformed,
            Damage::Checksum => Self::Checksum,
            Damage::Unknown => Self::Form,
        }
    }
}

/// The counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TunnelSocketCounters {
    /// Handed to the kernel.
    pub delivered: u64,
    refused: [u64; NAMES.len()],
}

const NAMES: [&str; 7] = [
    "refused_malformed",
    "refused_checksum",
    "refused_stranger",
    "refused_form",
    "refused_sequence",
    "refused_loop",
    "refused_undeliverable",
];

impl TunnelSocketCounters {
    /// Counts one.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    /// How many were refused so.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// All of them by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        std::iter::once(("delivered", self.delivered)).chain(NAMES.into_iter().zip(self.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, TunnelSocketCounters};

    #[test]
    fn each_refusal_has_a_counter_of_its_own_name() {
        let all = [
            (Refusal::Malformed, "refused_malformed"),
            (Refusal::Checksum, "refused_checksum"),
            (Refusal::Stranger, "refused_stranger"),
            (Refusal::Form, "refused_form"),
            (Refusal::Sequence, "refused_sequence"),
            (Refusal::Loop, "refused_loop"),
            (Refusal::Undeliverable, "refused_undeliverable"),
        ];
        for (refusal, name) in all {
            let mut counters = TunnelSocketCounters::default();
            counters.refuse(refusal);
            let counted: Vec<_> = counters.entries().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(name, 1)]);
            assert_eq!(counters.refused(refusal), 1);
        }
    }
}
