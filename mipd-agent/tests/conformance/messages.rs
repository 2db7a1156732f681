//! Messages as cases write them: every field has its usual value unless given.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use mipd_agent::wire::{
    registration::{RegistrationReply, RegistrationRequest, RequestFlags},
    revocation::{Revocation, RevocationAcknowledgement},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode},
};
use serde::Deserialize;

use crate::{
    extensions::{Extension, Signature},
    scene::{CARE_OF_ADDRESS, Datagram, HOME_ADDRESS, HOME_AGENT, Scene, hexadecimal},
};

/// A Registration Request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Request {
    /// Letters of S, B, D, M, G, r, T and x.
    flags: String,
    lifetime: Option<u16>,
    home_address: Option<Ipv4Addr>,
    home_agent: Option<Ipv4Addr>,
    care_of_address: Option<Ipv4Addr>,
    /// `clock` (the default), `clock+5s`, `clock-5s`, `latest`: that of the latest request again, `reply`: the high half
    /// of the latest reply, or hexadecimal.
    identification: Option<String>,
    /// Mobile-Home authentication unless given.
    extensions: Option<Vec<Extension>>,
    /// So many bytes are missing at the end.
    cut: usize,
    /// These bytes follow.
    trailing: String,
    pub datagram: Datagram,
    /// The way it comes: `foreign-agent` or `home-link`.
    pub via: Option<String>,
}

const FLAGS: [(char, u8); 8] =
    [('S', 0x80), ('B', 0x40), ('D', 0x20), ('M', 0x10), ('G', 0x08), ('r', 0x04), ('T', 0x02), ('x', 0x01)];

impl Request {
    /// The message; the scene remembers it as the latest request.
    pub fn build(&self, scene: &mut Scene) -> Result<Vec<u8>> {
        let bits = self.flags.chars().try_fold(0, |bits, letter| {
            let known = FLAGS.iter().find(|flag| flag.0 == letter);
            known.map(|flag| bits | flag.1).with_context(|| format!("no flag is called `{letter}`"))
        })?;
        let request = RegistrationRequest {
            flags: RequestFlags::from_bits(bits),
            lifetime: Lifetime(self.lifetime.unwrap_or(600)),
            home_address: HomeAddress(self.home_address.unwrap_or(HOME_ADDRESS)),
            home_agent: HomeAgentAddress(self.home_agent.unwrap_or(HOME_AGENT)),
            care_of_address: CareOfAddress(self.care_of_address.unwrap_or(CARE_OF_ADDRESS)),
            identification: identification(scene, self.identification.as_deref().unwrap_or("clock"))?,
        };
        scene.request = Some(request);
        let mut message = Vec::new();
        request.emit(&mut message);
        message[1] = bits;
        finish(scene, message, self.extensions.as_deref(), true, self.cut, &self.trailing)
    }
}

/// A Registration Reply; what it copies is copied from the latest request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Reply {
    code: u8,
    lifetime: Option<u16>,
    home_address: Option<Ipv4Addr>,
    home_agent: Option<Ipv4Addr>,
    /// As in [`Request`]; or `low clock+5s`: the low half copied, the high half that time.
    identification: Option<String>,
    /// Mobile-Home authentication unless given, if the code is a home agent's.
    extensions: Option<Vec<Extension>>,
    cut: usize,
    trailing: String,
    pub datagram: Datagram,
}

impl Reply {
    pub fn build(&self, scene: &mut Scene) -> Result<Vec<u8>> {
        let request = scene.request.context("a reply needs a request before it")?;
        let code = ReplyCode(self.code);
        let reply = RegistrationReply {
            code,
            lifetime: self.lifetime.map_or(request.lifetime, Lifetime),
            home_address: self.home_address.map_or(request.home_address, HomeAddress),
            home_agent: self.home_agent.map_or(request.home_agent, HomeAgentAddress),
            identification: match self.identification.as_deref() {
                None => request.identification,
                Some(text) => match text.strip_prefix("low ") {
                    Some(time) => {
                        let high = u64::from(identification(scene, time)?.seconds()) << 32;
                        Identification(high | u64::from(request.identification.low()))
                    }
                    None => identification(scene, text)?,
                },
            },
        };
        scene.reply = Some(reply);
        let mut message = Vec::new();
        reply.emit(&mut message);
        finish(scene, message, self.extensions.as_deref(), code.is_from_home_agent(), self.cut, &self.trailing)
    }
}

/// A revocation; the identifier in seconds from the scene's clock.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RevocationMessage {
    /// The A bit.
    from_home_agent: bool,
    inform: bool,
    home_address: Option<Ipv4Addr>,
    home_agent: Option<Ipv4Addr>,
    foreign_agent: Option<Ipv4Addr>,
    clock: i32,
    /// Foreign-Home authentication unless given.
    extensions: Option<Vec<Extension>>,
    pub datagram: Datagram,
}

impl RevocationMessage {
    pub fn build(&self, scene: &mut Scene) -> Result<Vec<u8>> {
        let revocation = Revocation {
            from_home_agent: self.from_home_agent,
            inform: self.inform,
            home_address: HomeAddress(self.home_address.unwrap_or(HOME_ADDRESS)),
            home_agent: HomeAgentAddress(self.home_agent.unwrap_or(HOME_AGENT)),
            foreign_agent: self.foreign_agent.unwrap_or(CARE_OF_ADDRESS),
            identifier: scene.now.wall.seconds().wrapping_add_signed(self.clock),
        };
        scene.revocation = Some(revocation);
        let mut message = Vec::new();
        revocation.emit(&mut message);
        sign_between_agents(scene, message, self.extensions.as_deref())
    }
}

/// The answer to the latest revocation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AcknowledgementMessage {
    inform: bool,
    home_address: Option<Ipv4Addr>,
    /// Added to the identifier that is copied.
    off_by: u32,
    extensions: Option<Vec<Extension>>,
    pub datagram: Datagram,
}

impl AcknowledgementMessage {
    pub fn build(&self, scene: &mut Scene) -> Result<Vec<u8>> {
        let revocation = scene.revocation.context("an acknowledgement needs a revocation before it")?;
        let mut message = Vec::new();
        RevocationAcknowledgement {
            inform: self.inform,
            home_address: self.home_address.map_or(revocation.home_address, HomeAddress),
            identifier: revocation.identifier.wrapping_add(self.off_by),
        }
        .emit(&mut message);
        sign_between_agents(scene, message, self.extensions.as_deref())
    }
}

fn sign_between_agents(scene: &Scene, mut message: Vec<u8>, extensions: Option<&[Extension]>) -> Result<Vec<u8>> {
    let usual = [Extension::ForeignHome(Signature::default())];
    for extension in extensions.unwrap_or(&usual) {
        extension.append(scene, &mut message)?;
    }
    Ok(message)
}

fn finish(
    scene: &Scene,
    mut message: Vec<u8>,
    extensions: Option<&[Extension]>,
    signed: bool,
    cut: usize,
    trailing: &str,
) -> Result<Vec<u8>> {
    let usual = if signed { vec![Extension::MobileHome(Signature::default())] } else { Vec::new() };
    for extension in extensions.unwrap_or(&usual) {
        extension.append(scene, &mut message)?;
    }
    message.truncate(message.len().saturating_sub(cut));
    message.extend(hexadecimal(trailing)?);
    Ok(message)
}

fn identification(scene: &Scene, text: &str) -> Result<Identification> {
    let clock = scene.now.wall.0;
    let units = |text: &str| -> Result<u64> {
        let duration = humantime::parse_duration(text)?;
        Ok((duration.as_secs() << 32) + ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000))
    };
    Ok(Identification(match text {
        "clock" => clock,
        "latest" => scene.request.context("no request yet")?.identification.0,
        "reply" => {
            let high = scene.reply.context("no reply yet")?.identification.0 & !0xffff_ffff;
            high | (clock & 0xffff_ffff)
        }
        _ => {
            if let Some(ahead) = text.strip_prefix("clock+") {
                clock.wrapping_add(units(ahead)?)
            } else if let Some(behind) = text.strip_prefix("clock-") {
                clock.wrapping_sub(units(behind)?)
            } else if let Ok(number) = u64::from_str_radix(text, 16) {
                number
            } else {
                bail!("`{text}` is no identification")
            }
        }
    }))
}
