//! What answers an Access-Request (RFC 2865 §4.2 to §4.4), and how to tell that the server sent it.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{
    AUTHENTICATOR_LENGTH, HEADER_LENGTH, MAXIMUM_LENGTH, RequestAuthenticator,
    attribute::{MalformedAttribute, attributes, cisco_av_pairs, kind},
    message_authenticator,
};
use crate::wire::authentication::Key;

/// What the server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseCode {
    /// Access-Accept (2).
    Accept,
    /// Access-Reject (3).
    Reject,
    /// Access-Challenge (11): for us the same as a Reject (RFC 2865 §4.4).
    Challenge,
}

/// Why a datagram is no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MalformedResponse {
    /// Shorter than a header, or than it says itself.
    #[error("shorter than it says")]
    Truncated,
    /// A length field outside 20..4096.
    #[error("its length field is out of bounds")]
    Length,
    /// A code that does not answer an Access-Request.
    #[error("its code {0} does not answer an Access-Request")]
    Code(u8),
    /// Its attributes.
    #[error(transparent)]
    Attribute(#[from] MalformedAttribute),
    /// More than one Message-Authenticator, or one of another length than 16.
    #[error("its Message-Authenticator is repeated or has a wrong length")]
    MessageAuthenticator,
}

/// Why a response is not to be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Unverified {
    /// The Response Authenticator does not match: another secret, another request, or somebody else.
    #[error("wrong Response Authenticator")]
    ResponseAuthenticator,
    /// The Message-Authenticator does not match.
    #[error("wrong Message-Authenticator")]
    MessageAuthenticator,
    /// An Access-Accept without Message-Authenticator, where one is demanded.
    #[error("no Message-Authenticator")]
    MissingMessageAuthenticator,
}

/// A well-formed response of which nobody knows yet who sent it.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    /// What it says.
    pub code: ResponseCode,
    /// That of the request.
    pub identifier: u8,
    packet: &'a [u8],
    /// Where the value of the Message-Authenticator is in the packet.
    message_authenticator: Option<usize>,
}

impl<'a> Response<'a> {
    /// Reads a datagram. Bytes past the packet's own length are padding (RFC 2865 §3).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, MalformedResponse> {
        let [code, identifier, high, low] = *datagram.first_chunk().ok_or(MalformedResponse::Truncated)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(HEADER_LENGTH..=MAXIMUM_LENGTH).contains(&length) {
            return Err(MalformedResponse::Length);
        }
        let packet = datagram.get(..length).ok_or(MalformedResponse::Truncated)?;
        let code = match code {
            2 => ResponseCode::Accept,
            3 => ResponseCode::Reject,
            11 => ResponseCode::Challenge,
            code => return Err(MalformedResponse::Code(code)),
        };
        let mut message_authenticator = None;
        for attribute in attributes(&packet[HEADER_LENGTH..]) {
            let attribute = attribute?;
            if attribute.kind == kind::MESSAGE_AUTHENTICATOR {
                let at = HEADER_LENGTH + attribute.offset;
                if attribute.value.len() != AUTHENTICATOR_LENGTH || message_authenticator.replace(at).is_some() {
                    return Err(MalformedResponse::MessageAuthenticator);
                }
            }
        }
        Ok(Self { code, identifier, packet, message_authenticator })
    }

    /// Checks that the server with which `secret` is shared answers the request with this authenticator.
    /// `require_message_authenticator` refuses an Accept without one: its Response Authenticator, plain MD5, can be forged
    /// by somebody on the path (CVE-2024-3596). A forged Reject gains him no more than dropping the request.
    pub fn verify(
        self,
        secret: &Key,
        request: RequestAuthenticator,
        require_message_authenticator: bool,
    ) -> Result<VerifiedResponse<'a>, Unverified> {
        let (head, rest) = self.packet.split_at(HEADER_LENGTH - AUTHENTICATOR_LENGTH);
        let (response_authenticator, list) = rest.split_at(AUTHENTICATOR_LENGTH);
        let mut digest = Md5::new();
        for part in [head, &request.0, list, secret.as_bytes()] {
            digest.update(part);
        }
        if !bool::from(digest.finalize().as_slice().ct_eq(response_authenticator)) {
            return Err(Unverified::ResponseAuthenticator);
        }
        match self.message_authenticator {
            Some(at) => {
                let (before, from) = self.packet.split_at(at);
                let (given, after) = from.split_at(AUTHENTICATOR_LENGTH);
                let before = &before[HEADER_LENGTH..];
                let parts = [head, &request.0, before, &[0; AUTHENTICATOR_LENGTH], after];
                if !bool::from(message_authenticator(secret, &parts).ct_eq(given)) {
                    return Err(Unverified::MessageAuthenticator);
                }
            }
            None if require_message_authenticator && self.code == ResponseCode::Accept => {
                return Err(Unverified::MissingMessageAuthenticator);
            }
            None => {}
        }
        Ok(VerifiedResponse { code: self.code, list })
    }
}

/// A response of the server that was asked.
#[derive(Clone, Copy)]
pub struct VerifiedResponse<'a> {
    /// What it says.
    pub code: ResponseCode,
    list: &'a [u8],
}

impl<'a> VerifiedResponse<'a> {
    /// The texts of all Cisco AV pairs, in order.
    pub fn cisco_av_pairs(&self) -> impl Iterator<Item = Result<&'a [u8], MalformedAttribute>> {
        self.values(kind::VENDOR_SPECIFIC).flat_map(cisco_av_pairs)
    }

    /// How long what it grants is valid, in seconds.
    pub fn session_timeout(&self) -> Option<u32> {
        let value: &[u8; 4] = self.values(kind::SESSION_TIMEOUT).next()?.try_into().ok()?;
        Some(u32::from_be_bytes(*value))
    }

    fn values(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        attributes(self.list).flatten().filter(move |attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACCEPT: &str = "022a00735cb1bc5b6ec8cec12a8397f9c3ac860c5012fae4e9ba3a3cdaa6c8414d9c57f6b52a\
         1a470000000901416d6f62696c6569703a73706923303d73706920313030206b65792068657820\
         30303031303230333034303530363037303830393061306230633064306530661b0600000258";
    const ACCEPT_WITHOUT_MESSAGE_AUTHENTICATOR: &str = "022a005b7e40686f2c36489c9ead008ee037d730\
         1a470000000901416d6f62696c6569703a73706923303d73706920313030206b65792068657820\
         3030303130323033303430353036303730383039306130623063306430653066";
    const REJECT: &str = "032a00264988a9707d6491f6139cb1a577070f355012a6b8dbd710e83c176b92b35c2c908109";
    const REJECT_WITHOUT_MESSAGE_AUTHENTICATOR: &str = "032a001449372ad54b968bc4be3fac7e2af18d5e";
    const CHALLENGE: &str = "0b2a00261c83e43f0f2e4f190f51b3d3f02a61e9501266cfc11450fde49fb03f7f2f24f73835";

    fn hex(digits: &str) -> Vec<u8> {
        Key::from_hex(digits).unwrap().as_bytes().to_vec()
    }

    fn secret() -> Key {
        Key::from_bytes(b"testing123".to_vec()).unwrap()
    }

    fn request() -> RequestAuthenticator {
        RequestAuthenticator(std::array::from_fn(|index| 0x10 + index as u8))
    }

    fn verify(datagram: &[u8], require: bool) -> Result<VerifiedResponse<'_>, Unverified> {
        Response::parse(datagram).unwrap().verify(&secret(), request(), require)
    }

    #[test]
    fn responses_of_an_independent_implementation_are_verified() {
        for (datagram, code) in [
            (ACCEPT, ResponseCode::Accept),
            (REJECT, ResponseCode::Reject),
            (REJECT_WITHOUT_MESSAGE_AUTHENTICATOR, ResponseCode::Reject),
            (CHALLENGE, ResponseCode::Challenge),
        ] {
            let datagram = hex(datagram);
            assert_eq!(Response::parse(&datagram).unwrap().identifier, 0x2a);
            assert_eq!(verify(&datagram, true).map(|verified| verified.code), Ok(code));
        }
    }

    #[test]
    fn an_accept_tells_associations_and_lifetime() {
        let datagram = hex(ACCEPT);
        let accept = verify(&datagram, true).ok().unwrap();
        let pairs: Vec<_> = accept.cisco_av_pairs().map(Result::unwrap).collect();
        assert_eq!(pairs, [b"mobileip:spi#0=spi 100 key hex 000102030405060708090a0b0c0d0e0f"]);
        assert_eq!(accept.session_timeout(), Some(600));
    }

    #[test]
    fn an_accept_without_message_authenticator_is_refused_unless_allowed() {
        let datagram = hex(ACCEPT_WITHOUT_MESSAGE_AUTHENTICATOR);
        assert_eq!(verify(&datagram, true).err(), Some(Unverified::MissingMessageAuthenticator));
        let accept = verify(&datagram, false).ok().unwrap();
        assert_eq!(accept.cisco_av_pairs().count(), 1);
        assert_eq!(accept.session_timeout(), None);
    }

    #[test]
    fn a_response_to_another_request_or_with_another_secret_is_not_trusted() {
        let datagram = hex(ACCEPT);
        let response = Response::parse(&datagram).unwrap();
        let other_secret = Key::from_bytes(b"testing124".to_vec()).unwrap();
        let other_request = RequestAuthenticator([0; 16]);
        for (secret, request) in [(other_secret, request()), (secret(), other_request)] {
            assert_eq!(response.verify(&secret, request, false).err(), Some(Unverified::ResponseAuthenticator));
        }
    }

    #[test]
    fn a_wrong_message_authenticator_is_noticed_under_a_right_response_authenticator() {
        let mut datagram = hex(REJECT);
        datagram[22] ^= 1;
        let digest = Md5::digest([&datagram[..4], &request().0, &datagram[20..], secret().as_bytes()].concat());
        datagram[4..20].copy_from_slice(&digest);
        assert_eq!(verify(&datagram, false).err(), Some(Unverified::MessageAuthenticator));
    }

    #[test]
    fn padding_after_the_packet_is_ignored() {
        let datagram = [hex(ACCEPT), vec![0xff; 9]].concat();
        assert!(verify(&datagram, true).is_ok());
    }

    #[test]
    fn malformed_packets_are_told_apart() {
        let header = |code: u8, length: u16| {
            let mut packet = vec![code, 0];
            packet.extend(length.to_be_bytes());
            packet.resize(usize::from(length).max(20), 0);
            packet
        };
        let repeated = [header(2, 56)[..20].to_vec(), hex(&"501200000000000000000000000000000000".repeat(2))].concat();
        let short = [header(2, 23)[..20].to_vec(), vec![80, 3, 0]].concat();
        for (datagram, error) in [
            (vec![2, 0, 0], MalformedResponse::Truncated),
            (hex(REJECT)[..37].to_vec(), MalformedResponse::Truncated),
            (header(2, 19), MalformedResponse::Length),
            (header(2, 4097), MalformedResponse::Length),
            (header(1, 20), MalformedResponse::Code(1)),
            (header(2, 21), MalformedResponse::Attribute(MalformedAttribute)),
            (repeated, MalformedResponse::MessageAuthenticator),
            (short, MalformedResponse::MessageAuthenticator),
        ] {
            assert_eq!(Response::parse(&datagram).err(), Some(error));
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(byte in 0usize..115, bit in 0u8..8) {
            let mut datagram = hex(ACCEPT);
            prop_assert_eq!(datagram.len(), 115);
            datagram[byte] ^= 1 << bit;
            // The identifier is covered as well: a caller would look for another request.
            let verified = Response::parse(&datagram).is_ok_and(|response| {
                response.verify(&secret(), request(), false).is_ok()
            });
            prop_assert!(!verified);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..128), shape in any::<bool>()) {
            let mut bytes = bytes;
            if shape && bytes.len() >= 20 {
                let length = bytes.len() as u16;
                bytes[..4].copy_from_slice(&[2, 0, (length >> 8) as u8, length as u8]);
                let digest = Md5::digest([&bytes[..4], &request().0, &bytes[20..], secret().as_bytes()].concat());
                bytes[4..20].copy_from_slice(&digest);
            }
            if let Ok(response) = Response::parse(&bytes)
                && let Ok(verified) = response.verify(&secret(), request(), false)
            {
                prop_assert!(verified.cisco_av_pairs().count() <= bytes.len());
                verified.session_timeout();
            }
        }
    }
}
