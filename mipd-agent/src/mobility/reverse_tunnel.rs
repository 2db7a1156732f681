//! What an agent thinks of the T bit (RFC 3024 §3, §4).

use serde::{Deserialize, Serialize};

/// An agent's policy on reverse tunnelling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReverseTunnel {
    /// Requests with T are denied.
    Off,
    /// The node chooses.
    #[default]
    Offered,
    /// Requests without T are denied.
    Required,
}

/// Why a request does not fit the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// T was set, but is not available.
    Unavailable,
    /// T was not set, but is mandatory.
    Mandatory,
}

impl ReverseTunnel {
    /// Whether a request that wants a reverse tunnel, or does not, must be denied.
    pub fn refuses(self, wanted: bool) -> Option<Refusal> {
        match (self, wanted) {
            (Self::Off, true) => Some(Refusal::Unavailable),
            (Self::Required, false) => Some(Refusal::Mandatory),
            _ => None,
        }
    }
}
