//! The Identifications of one client, by the replay protection of its association (RFC 5944 §5.7).

use rand::{Rng, rngs::StdRng};

use super::{clock::Clocks, timestamp::Timestamps};
use crate::{
    mobility::{security::ReplayProtection, time::Now},
    wire::types::{HomeAgentAddress, Identification},
};

/// What the next Identification must look like, in both styles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identifications {
    pub timestamps: Timestamps,
    /// What the home agent put into the high half of its last valid reply (RFC 5944 §5.7.2).
    pub nonce: Option<u32>,
    last_low: Option<u32>,
}

impl Identifications {
    /// Goes on after a restart.
    pub fn resume(accepted: Option<Identification>, nonce: Option<u32>) -> Self {
        Self { timestamps: Timestamps::resume(accepted), nonce, last_low: None }
    }

    /// The next one. `clock` is the home agent's.
    pub fn issue(&mut self, style: ReplayProtection, clock: Identification, random: &mut StdRng) -> Identification {
        match style {
            ReplayProtection::Timestamps => self.timestamps.issue(clock, random),
            ReplayProtection::Nonces => {
                let random = random.next_u32();
                let low = if self.last_low == Some(random) { random.wrapping_add(1) } else { random };
                self.last_low = Some(low);
                // A first guess is wrong and brings the right nonce with code 133.
                let high = self.nonce.unwrap_or(clock.seconds());
                Identification(u64::from(high) << 32 | u64::from(low))
            }
        }
    }

    /// Code 0 or 1 to a request with the Identification `asked`.
    pub fn accept(&mut self, style: ReplayProtection, asked: Identification, answer: Identification) {
        match style {
            ReplayProtection::Timestamps => self.timestamps.accept(asked),
            ReplayProtection::Nonces => self.nonce = Some(answer.seconds()),
        }
    }

    /// Any other authentic answer of the home agent: with nonces, it has the next one. Code 133 with timestamps sets the
    /// clock.
    pub fn refuse(
        &mut self,
        style: ReplayProtection,
        home_agent: HomeAgentAddress,
        now: Now,
        answer: Identification,
        is_mismatch: bool,
        clocks: &mut Clocks,
    ) {
        match style {
            ReplayProtection::Nonces => self.nonce = Some(answer.seconds()),
            ReplayProtection::Timestamps if is_mismatch => {
                clocks.learn(home_agent, now.wall, answer);
                self.timestamps.mismatch(clocks.read(home_agent, now.wall), answer);
            }
            ReplayProtection::Timestamps => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_home_agents_nonce_is_the_high_half_of_the_next_request_and_the_low_half_is_new() {
        let mut random = StdRng::seed_from_u64(1);
        let mut identifications = Identifications::default();
        let clock = Identification(5000 << 32);
        let style = ReplayProtection::Nonces;
        let first = identifications.issue(style, clock, &mut random);
        let answer = Identification(0xdead_beef_0000_0000 | u64::from(first.low()));
        identifications.accept(style, first, answer);
        let second = identifications.issue(style, clock, &mut random);
        assert_eq!(second.seconds(), 0xdead_beef);
        assert_ne!(second.low(), first.low());
        let third = Identifications::resume(None, Some(7)).issue(style, clock, &mut random);
        assert_eq!(third.seconds(), 7, "kept across a restart");
    }
}
