//! The Access-Request (RFC 2865 §4.1).

use std::{fmt, net::Ipv4Addr};

use md5::{Digest, Md5};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    AUTHENTICATOR_LENGTH, HEADER_LENGTH, RequestAuthenticator,
    attribute::{LONGEST_VALUE, append, kind},
    message_authenticator,
};
use crate::wire::authentication::Key;

const ACCESS_REQUEST: u8 = 1;
/// Passwords are hidden in blocks of this size.
const BLOCK: usize = 16;
/// RFC 2865 §5.2.
const LONGEST_PASSWORD: usize = 128;

/// A user's password. Wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct UserPassword(Zeroizing<Vec<u8>>);

/// Why a password was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("has {0} bytes: RADIUS takes 1 to {LONGEST_PASSWORD}")]
pub struct InvalidUserPassword(usize);

impl UserPassword {
    /// Takes 1 to 128 bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, InvalidUserPassword> {
        let bytes = Zeroizing::new(bytes);
        let length = bytes.len();
        if (1..=LONGEST_PASSWORD).contains(&length) { Ok(Self(bytes)) } else { Err(InvalidUserPassword(length)) }
    }

    /// As it goes on the wire (RFC 2865 §5.2): `c1 = p1 ⊕ MD5(secret ‖ authenticator)`, `ci = pi ⊕ MD5(secret ‖ c(i−1))`.
    fn hidden(&self, secret: &Key, authenticator: RequestAuthenticator) -> Vec<u8> {
        let mut hidden = Vec::with_capacity(LONGEST_PASSWORD);
        let mut previous = authenticator.0;
        for block in self.0.chunks(BLOCK) {
            let mut digest = Md5::new();
            digest.update(secret.as_bytes());
            digest.update(previous);
            previous = digest.finalize().into();
            for (byte, clear) in previous.iter_mut().zip(block) {
                *byte ^= clear;
            }
            hidden.extend(previous);
        }
        hidden
    }
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserPassword(secret)")
    }
}

/// How this box names itself to servers (RFC 2865 §5.32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NasIdentifier(String);

/// Why a name was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("has {0} bytes: RADIUS takes 1 to {LONGEST_VALUE}")]
pub struct InvalidNasIdentifier(usize);

impl NasIdentifier {
    /// Takes 1 to 253 bytes of text.
    pub fn new(name: String) -> Result<Self, InvalidNasIdentifier> {
        if (1..=LONGEST_VALUE).contains(&name.len()) { Ok(Self(name)) } else { Err(InvalidNasIdentifier(name.len())) }
    }
}

/// Asks for the security associations of one client.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// Matches the response.
    pub identifier: u8,
    /// Random.
    pub authenticator: RequestAuthenticator,
    /// The client: its text form is the User-Name.
    pub home_address: Ipv4Addr,
    /// The password that goes with it.
    pub user_password: &'a UserPassword,
    /// Who asks.
    pub nas_identifier: &'a NasIdentifier,
}

impl AccessRequest<'_> {
    /// The packet for the server that shares `secret`. The Message-Authenticator comes first, so that nobody on the path can
    /// build upon a prefix that he knows.
    pub fn emit(&self, secret: &Key) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER_LENGTH + 128);
        packet.extend([ACCESS_REQUEST, self.identifier, 0, 0]);
        packet.extend(self.authenticator.0);
        append(&mut packet, kind::MESSAGE_AUTHENTICATOR, &[0; AUTHENTICATOR_LENGTH]);
        append(&mut packet, kind::USER_NAME, self.home_address.to_string().as_bytes());
        append(&mut packet, kind::USER_PASSWORD, &self.user_password.hidden(secret, self.authenticator));
        append(&mut packet, kind::NAS_IDENTIFIER, self.nas_identifier.0.as_bytes());
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let authenticator = message_authenticator(secret, &[&packet]);
        packet[HEADER_LENGTH + 2..][..AUTHENTICATOR_LENGTH].copy_from_slice(&authenticator);
        packet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        Key::from_hex(digits).unwrap().as_bytes().to_vec()
    }

    fn secret(text: &str) -> Key {
        Key::from_bytes(text.into()).unwrap()
    }

    fn password(text: &str) -> UserPassword {
        UserPassword::new(text.into()).unwrap()
    }

    fn request(user_password: &str) -> Vec<u8> {
        let request = AccessRequest {
            identifier: 0x2a,
            authenticator: RequestAuthenticator(std::array::from_fn(|index| 0x10 + index as u8)),
            home_address: Ipv4Addr::new(10, 91, 7, 151),
            user_password: &password(user_password),
            nas_identifier: &NasIdentifier::new("ap-7".into()).unwrap(),
        };
        request.emit(&secret("testing123"))
    }

    #[test]
    fn requests_match_an_independent_implementation() {
        assert_eq!(
            request("cisco"),
            hex("012a004b101112131415161718191a1b1c1d1e1f501278348801833ba5a4c749a118243f9e7e\
                 010d31302e39312e372e3135310212d9e7af2461e464fb7a975abab9c9a5b6200661702d37")
        );
        assert_eq!(
            request("a password longer than two blocks"),
            hex("012a006b101112131415161718191a1b1c1d1e1f50126440744b37700b2f8aa76f8e67486193\
                 010d31302e39312e372e3135310232dbaeac267d97139408f37ad6d6a7c2d3ef92d1c1a05c5978\
                 109706124ac8edee9be910eaa376b5a246852b649f036640200661702d37")
        );
    }

    #[test]
    fn the_password_of_the_example_in_rfc_2865_section_7_1_is_hidden_as_there() {
        let authenticator = hex("0f403f9473978057bd83d5cb98f4227a").try_into().unwrap();
        let hidden = password("arctangent").hidden(&secret("xyzzy5461"), RequestAuthenticator(authenticator));
        assert_eq!(hidden, hex("0dbe708d93d413ce3196e43f782a0aee"));
    }

    #[test]
    fn passwords_and_names_that_do_not_fit_are_refused() {
        assert!(UserPassword::new(Vec::new()).is_err());
        assert!(UserPassword::new(vec![1; 128]).is_ok());
        assert!(UserPassword::new(vec![1; 129]).is_err());
        assert!(NasIdentifier::new(String::new()).is_err());
        assert!(NasIdentifier::new("n".repeat(253)).is_ok());
        assert!(NasIdentifier::new("n".repeat(254)).is_err());
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", password("cisco")), "UserPassword(secret)");
    }

    proptest! {
        #[test]
        fn a_server_can_recover_the_password(
            clear in prop::collection::vec(any::<u8>(), 1..=128), authenticator in any::<[u8; 16]>(),
        ) {
            let secret = secret("s3cret");
            let hidden = UserPassword::new(clear.clone()).unwrap().hidden(&secret, RequestAuthenticator(authenticator));
            prop_assert_eq!(hidden.len(), clear.len().next_multiple_of(16));
            let mut previous = authenticator.to_vec();
            let mut recovered = Vec::new();
            for block in hidden.chunks(16) {
                let pad = Md5::digest([secret.as_bytes(), &previous].concat());
                recovered.extend(block.iter().zip(pad).map(|(byte, pad)| byte ^ pad));
                previous = block.to_vec();
            }
            prop_assert_eq!(&recovered[..clear.len()], &clear);
            prop_assert!(recovered[clear.len()..].iter().all(|byte| *byte == 0));
        }
    }
}
