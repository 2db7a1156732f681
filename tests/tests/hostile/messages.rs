//! Requests in the client's name, and what can be wrong with them.

use anyhow::{Context, Result};
use mipd_agent::wire::authentication::{self, Algorithm, Key};
use mipd_agent::wire::extension::kind;
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest, RequestFlags};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi};
use mipd_lab::agent::config::Settings;
use mipd_lab::topology::CLIENT;
use mipd_lab::traffic::forge::{identification, signed_reply, signed_request};

use super::scene::{FOREIGN_AGENT, HOME_AGENT};

/// A request as the client's access point would send it, with nothing wrong in it.
pub fn request() -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::default(),
        lifetime: Lifetime(600),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(FOREIGN_AGENT),
        identification: identification(),
    }
}

/// The same for an address of the home network that no client has. Requests that nobody has authenticated are denied once a
/// second and node: each case has a node of its own.
pub fn of_node(number: u8) -> RegistrationRequest {
    RegistrationRequest { home_address: HomeAddress([10, 1, 0, 200 + number].into()), ..request() }
}

/// With flags.
pub fn flagged(bits: u8) -> RegistrationRequest {
    RegistrationRequest { flags: RequestFlags::from_bits(bits), ..request() }
}

/// Signed with the client's key.
pub fn sign(request: &RegistrationRequest, settings: &Settings) -> Result<Vec<u8>> {
    signed_request(request, settings.spi, &settings.key)
}

/// A message followed by one more extension that nothing protects.
pub fn with_extension(mut message: Vec<u8>, kind: u8) -> Vec<u8> {
    message.extend([kind, 2, 0, 0]);
    message
}

/// Signed twice, the second time rightly.
pub fn signed_twice(request: &RegistrationRequest, settings: &Settings) -> Result<Vec<u8>> {
    let mut message = sign(request, settings)?;
    let spi = Spi::new(settings.spi).context("a reserved SPI")?;
    let key = Key::from_hex(&settings.key)?;
    authentication::append(&mut message, kind::MOBILE_HOME_AUTHENTICATION, spi, Algorithm::HmacMd5, &key);
    Ok(message)
}

/// Signed, then changed in one byte.
pub fn altered(mut message: Vec<u8>, at: usize) -> Vec<u8> {
    message[at] ^= 0x40;
    message
}

/// An Identification of the past.
pub fn before_now(seconds: u64) -> Identification {
    Identification(identification().0 - (seconds << 32))
}

/// A reply that nobody has asked for: the client's registration is over.
pub fn unsolicited_reply(settings: &Settings, key: &str) -> Result<Vec<u8>> {
    let reply = RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: Lifetime(0),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        identification: Identification(0x1234_5678_9abc_def0),
    };
    signed_reply(&reply, settings.spi, key)
}
