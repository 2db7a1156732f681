//! Extensions as cases write them.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use mipd_agent::{
    mobility::security::SecurityAssociation,
    wire::{
        authentication::{self, Key},
        challenge::append_challenge,
        dynamic_home_agent::{DynamicHomeAgent, Purpose},
        extension::{append, append_long, kind},
        foreign_agent_error::append_error,
        gre_key::GreKey,
        proxy_mode,
        revocation::RevocationSupport,
        types::{ReplyCode, Spi},
        udp_tunnel::{UdpTunnelReply, UdpTunnelRequest},
    },
};
use serde::Deserialize;

use crate::scene::{Scene, hexadecimal, key};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Extension {
    /// Type 32.
    MobileHome(Signature),
    /// Type 33.
    MobileForeign(Signature),
    /// Type 34.
    ForeignHome(Signature),
    /// Type 36, sub-type 1.
    MobileAaa(Signature),
    /// Type 38 of an unknown vendor.
    CriticalVendor {},
    /// Type 134 of an unknown vendor.
    NormalVendor {},
    /// Type 44.
    UdpTunnelReply { code: u8, keepalive: u16 },
    /// Type 45.
    ForeignAgentError(u8),
    /// Type 47, sub-type 1, with the method.
    ProxyAuthentication(u8),
    /// Type 48.
    GreKey(u32),
    /// Type 130.
    EncapsulatingDelivery {},
    /// Type 131.
    Nai(String),
    /// Type 132: hexadecimal, or `latest`, `previous` or `before-previous`.
    Challenge(String),
    /// Type 137; the timestamp in seconds from the scene's clock.
    RevocationSupport {
        #[serde(default)]
        inform: bool,
        #[serde(default)]
        clock: i32,
    },
    /// Type 139, requested.
    DynamicHomeAgent(Ipv4Addr),
    /// Type 144.
    UdpTunnelRequest {
        #[serde(default)]
        forced: bool,
        #[serde(default)]
        through_foreign_agent: bool,
        #[serde(default)]
        encapsulation: u8,
        #[serde(default)]
        reserved: u16,
    },
    /// Type 147, sub-type 2.
    Device(String),
    /// One zero byte.
    Padding {},
    /// Any type, with what follows its length.
    Other { r#type: u8, data: String },
    /// Bytes as they are.
    Raw(String),
}

/// An authenticator.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Signature {
    /// Name of the key, if it is not the usual one of the extension.
    key: Option<String>,
    /// Names this SPI instead of the key's own.
    spi: Option<u32>,
    /// Made with other secret bytes than the peer has.
    forged: bool,
}

impl Signature {
    fn append(&self, message: &mut Vec<u8>, usual: &str, kind: u8) -> Result<()> {
        let association = key(self.key.as_deref().unwrap_or(usual))?;
        let SecurityAssociation { spi, algorithm, key, .. } = association;
        let spi = self.spi.map_or(Ok(spi), |spi| Spi::new(spi).context("a reserved SPI; use `other`"))?;
        let key = if self.forged { Key::from_bytes(vec![0xee; 16])? } else { key };
        if kind == kind::GENERALIZED_AUTHENTICATION {
            authentication::append_generalized(message, authentication::MOBILE_AAA, spi, algorithm, &key);
        } else {
            authentication::append(message, kind, spi, algorithm, &key);
        }
        Ok(())
    }
}

const VENDOR: [u8; 10] = [0, 0, 0x7f, 0xff, 0, 1, 1, 2, 3, 4];

impl Extension {
    pub fn append(&self, scene: &Scene, message: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::MobileHome(signature) => {
                signature.append(message, "client", kind::MOBILE_HOME_AUTHENTICATION)?;
            }
            Self::MobileForeign(signature) => {
                signature.append(message, "client-foreign", kind::MOBILE_FOREIGN_AUTHENTICATION)?;
            }
            Self::ForeignHome(signature) => {
                signature.append(message, "agents", kind::FOREIGN_HOME_AUTHENTICATION)?;
            }
            Self::MobileAaa(signature) => signature.append(message, "aaa", kind::GENERALIZED_AUTHENTICATION)?,
            Self::CriticalVendor {} => append_long(message, kind::CRITICAL_VENDOR, 0, &VENDOR),
            Self::NormalVendor {} => append(message, kind::NORMAL_VENDOR, &[&[0, 0], &VENDOR[..]].concat()),
            Self::UdpTunnelReply { code, keepalive } => {
                UdpTunnelReply { code: *code, forced: false, keepalive_interval: *keepalive }.append(message);
            }
            Self::ForeignAgentError(code) => append_error(message, ReplyCode(*code)),
            Self::ProxyAuthentication(method) => append_long(message, kind::PROXY_NON_SKIPPABLE, 1, &[*method]),
            Self::GreKey(key) => GreKey(*key).append(message),
            Self::EncapsulatingDelivery {} => append(message, kind::ENCAPSULATING_DELIVERY, &[]),
            Self::Nai(nai) => append(message, kind::MOBILE_NODE_NAI, nai.as_bytes()),
            Self::Challenge(challenge) => append_challenge(message, &named_challenge(scene, challenge)?),
            Self::RevocationSupport { inform, clock } => {
                let timestamp = scene.now.wall.seconds().wrapping_add_signed(*clock);
                RevocationSupport { inform: *inform, timestamp }.append(message);
            }
            Self::DynamicHomeAgent(address) => {
                DynamicHomeAgent { purpose: Purpose::Requested, address: *address }.append(message);
            }
            Self::UdpTunnelRequest { forced, through_foreign_agent, encapsulation, reserved } => UdpTunnelRequest {
                forced: *forced,
                through_foreign_agent: *through_foreign_agent,
                encapsulation: *encapsulation,
                reserved: *reserved,
            }
            .append(message),
            Self::Device(mac) => proxy_mode::append_device(message, mac.parse()?),
            Self::Padding {} => message.push(kind::PADDING),
            Self::Other { r#type, data } => append(message, *r#type, &hexadecimal(data)?),
            Self::Raw(data) => message.extend(hexadecimal(data)?),
        }
        Ok(())
    }
}

fn named_challenge(scene: &Scene, name: &str) -> Result<Vec<u8>> {
    let from_newest = match name {
        "latest" => 0,
        "previous" => 1,
        "before-previous" => 2,
        _ => return hexadecimal(name),
    };
    scene.challenges.iter().rev().nth(from_newest).cloned().with_context(|| format!("there is no {name} challenge"))
}
