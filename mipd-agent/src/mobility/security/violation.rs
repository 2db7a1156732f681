//! The security violations an agent keeps for its operator (RFC 2006, `mipSecViolationTable`).

use std::{collections::VecDeque, net::Ipv4Addr};

use crate::{
    mobility::time::Now,
    wire::types::{HomeAddress, Identification, Spi},
};

/// Why a message was a violation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ViolationReason {
    /// No security association exists with the sender.
    NoAssociation,
    /// The authenticator did not match, or the extension was repeated or misplaced.
    BadAuthenticator,
    /// The Identification was outside the window or not new.
    BadIdentification,
    /// The SPI selects no association.
    BadSpi,
    /// The authentication extension is missing.
    MissingExtension,
}

impl ViolationReason {
    /// `snake_case` name, stable.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAssociation => "no_association",
            Self::BadAuthenticator => "bad_authenticator",
            Self::BadIdentification => "bad_identification",
            Self::BadSpi => "bad_spi",
            Self::MissingExtension => "missing_extension",
        }
    }
}

/// One violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it happened.
    pub at: Now,
    /// IP source of the message.
    pub peer: Ipv4Addr,
    /// Home address in the message.
    pub home_address: HomeAddress,
    /// SPI in the message, if it had the extension in question.
    pub spi: Option<Spi>,
    /// Identification in the message.
    pub identification: Identification,
    /// What was wrong.
    pub reason: ViolationReason,
}

/// The last [`ViolationLog::CAPACITY`] violations.
#[derive(Clone, Debug, Default)]
pub struct ViolationLog(VecDeque<Violation>);

impl ViolationLog {
    /// How many are kept.
    pub const CAPACITY: usize = 64;

    /// Adds one; the oldest makes room.
    pub fn push(&mut self, violation: Violation) {
        if self.0.len() == Self::CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(violation);
    }

    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Violation> {
        self.0.iter()
    }
}
