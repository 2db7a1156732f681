//! Nonce replay protection (RFC 5944 §5.7.2): the high half of a request's Identification must be what the home agent
//! put there in its last reply.

use serde::{Deserialize, Serialize};

use crate::wire::types::Identification;

/// The nonces of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonces {
    /// What the next request must carry.
    expected: u32,
    /// Identification of the last request accepted, for which the node may not have got the reply.
    accepted: Option<Identification>,
}

/// What an Identification is, by the nonces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nonce {
    /// What the last reply asked for.
    Right,
    /// That of the request accepted last: with nonces a retransmission is unchanged (RFC 5944 §5.7.2).
    Repeated,
    /// Anything else.
    Wrong,
}

impl Nonces {
    /// What a request's Identification is; a node of which nothing is known has no right one.
    pub fn judge(known: Option<&Self>, identification: Identification) -> Nonce {
        match known {
            Some(nonces) if nonces.expected == identification.seconds() => Nonce::Right,
            Some(nonces) if nonces.accepted == Some(identification) => Nonce::Repeated,
            _ => Nonce::Wrong,
        }
    }

    /// After a reply with `fresh` in its Identification: to the request `accepted`, or else to a refused one.
    pub fn after_reply(known: Option<&Self>, fresh: u32, accepted: Option<Identification>) -> Self {
        Self { expected: fresh, accepted: accepted.or_else(|| known.and_then(|nonces| nonces.accepted)) }
    }

    /// The Identification of a reply: the nonce that the next request must carry, and the request's low half.
    pub fn identification(&self, request: Identification) -> Identification {
        Identification(u64::from(self.expected) << 32 | u64::from(request.low()))
    }
}

/// [`Nonces`] on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedNonces {
    /// What the next request must carry.
    pub expected: u32,
    /// Identification of the last request accepted.
    pub accepted: Option<u64>,
}

impl From<Nonces> for RecordedNonces {
    fn from(nonces: Nonces) -> Self {
        Self { expected: nonces.expected, accepted: nonces.accepted.map(|identification| identification.0) }
    }
}

impl From<RecordedNonces> for Nonces {
    fn from(recorded: RecordedNonces) -> Self {
        Self { expected: recorded.expected, accepted: recorded.accepted.map(Identification) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Nonce, Nonces, RecordedNonces};
    use crate::wire::types::Identification;

    const REQUEST: Identification = Identification(7 << 32 | 0xaa);

    #[test]
    fn only_the_nonce_of_the_last_reply_is_right() {
        assert_eq!(Nonces::judge(None, REQUEST), Nonce::Wrong);
        let nonces = Nonces::after_reply(None, 7, None);
        assert_eq!(Nonces::judge(Some(&nonces), REQUEST), Nonce::Right);
        let nonces = Nonces::after_reply(Some(&nonces), 8, None);
        assert_eq!(Nonces::judge(Some(&nonces), REQUEST), Nonce::Wrong);
    }

    #[test]
    fn the_request_accepted_last_is_known_again_even_after_a_refusal() {
        let nonces = Nonces::after_reply(None, 8, Some(REQUEST));
        let nonces = Nonces::after_reply(Some(&nonces), 9, None);
        assert_eq!(Nonces::judge(Some(&nonces), REQUEST), Nonce::Repeated);
        assert_eq!(Nonces::judge(Some(&nonces), Identification(7 << 32 | 0xab)), Nonce::Wrong);
        assert_eq!(nonces.identification(REQUEST), Identification(9 << 32 | 0xaa));
    }

    #[test]
    fn nonces_survive_the_way_to_disk() {
        let nonces = Nonces::after_reply(None, 8, Some(REQUEST));
        assert_eq!(Nonces::from(RecordedNonces::from(nonces)), nonces);
    }
}
