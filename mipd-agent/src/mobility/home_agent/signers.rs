//! By what a request is authenticated, and its reply.

use crate::{
    mobility::security::{ReplayProtection, SecurityAssociation},
    wire::authentication::Algorithm,
};

/// What an authentication extension is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub association: &'a SecurityAssociation,
    /// Its own, or with [`SecurityAssociation::accept_any_algorithm`] the one that the peer uses.
    pub algorithm: Algorithm,
}

impl<'a> From<&'a SecurityAssociation> for Signer<'a> {
    fn from(association: &'a SecurityAssociation) -> Self {
        Self { association, algorithm: association.algorithm }
    }
}

impl Signer<'_> {
    pub fn sign(&self, message: &mut Vec<u8>, kind: u8) {
        self.association.sign_with(self.algorithm, message, kind);
    }
}

/// What the reply is signed with, and how far the request was found to be authentic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signers<'a> {
    /// The Mobile-Home authentication; without one, there is nothing to make it with.
    pub mobile: Option<Signer<'a>>,
    /// The Foreign-Home authentication.
    pub foreign: Option<Signer<'a>>,
    /// Whether the authenticator that the request is judged by was right.
    pub is_authentic: bool,
    /// Whether a proxy registers with its own authentication alone (RFC 5563 §6.1).
    pub by_proxy: bool,
}

impl Signers<'_> {
    /// Whether the reply must carry a nonce: to authentic requests only, or else anybody could use up the node's.
    pub fn uses_nonces(&self) -> bool {
        self.is_authentic && self.replay_protection() == ReplayProtection::Nonces
    }

    /// How replays of the request are told from new ones.
    pub fn replay_protection(&self) -> ReplayProtection {
        self.mobile.map_or(ReplayProtection::Timestamps, |signer| signer.association.replay)
    }
}

/// Where the authentication extensions of a request are: extensions between them are the foreign agent's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The end of the mobile node's.
    pub signed: usize,
    /// The start of the foreign agent's.
    pub foreign: Option<usize>,
}

impl Layout {
    /// Whether the mobile node put the extension there.
    pub fn is_from_mobile_node(self, offset: usize) -> bool {
        offset < self.signed
    }

    /// Whether the foreign agent put the extension there, and under its signature if it has one.
    pub fn is_from_foreign_agent(self, offset: usize) -> bool {
        offset >= self.signed && self.foreign.is_none_or(|foreign| offset < foreign)
    }
}
