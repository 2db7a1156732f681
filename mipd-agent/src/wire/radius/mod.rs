//! RADIUS (RFC 2865, RFC 2869): an Access-Request and what answers it, as far as downloading a security association
//! needs it.
//!
//! * [`request`]: the Access-Request, its password hidden, signed with a Message-Authenticator;
//! * [`response`]: Accept, Reject and Challenge, and how to tell that the server sent them;
//! * [`attribute`]: the attribute list of both;
//! * [`association`]: the text in which a server writes a security association.

pub mod association;
pub mod attribute;
pub mod request;
pub mod response;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

pub use self::{
    association::{AssociationText, AssociationTextError},
    request::{AccessRequest, InvalidNasIdentifier, InvalidUserPassword, NasIdentifier, UserPassword},
    response::{MalformedResponse, Response, ResponseCode, Unverified, VerifiedResponse},
};
use crate::wire::authentication::Key;

/// Code, identifier, length and authenticator.
const HEADER_LENGTH: usize = 20;
/// The longest packet (RFC 2865 §3).
pub const MAXIMUM_LENGTH: usize = 4096;
/// Both kinds of authenticator, and the Message-Authenticator's value.
const AUTHENTICATOR_LENGTH: usize = 16;

/// Request Authenticator: 16 random bytes that must be neither predictable nor repeated (RFC 2865 §3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestAuthenticator(pub [u8; AUTHENTICATOR_LENGTH]);

impl fmt::Debug for RequestAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestAuthenticator({:02x?})", self.0)
    }
}

/// HMAC-MD5 over the parts of a packet: what a Message-Authenticator holds (RFC 2869 §5.14).
fn message_authenticator(secret: &Key, parts: &[&[u8]]) -> [u8; AUTHENTICATOR_LENGTH] {
    let mac = <Hmac<Md5> as KeyInit>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes a key of any length (RFC 2104 §2)");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
