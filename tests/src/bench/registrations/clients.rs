//! Clients that register: addresses, keys, requests, and whether a reply is right.

use std::{
    net::Ipv4Addr,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use mipd_agent::{
    mobility::security::{SecurityAssociation, Verification, verify},
    wire::{
        authentication::{Algorithm, Key},
        extension::kind,
        registration::{RegistrationReply, RegistrationRequest, RequestFlags},
        types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, Spi},
    },
};
use mipd_common::mac::MacAddress;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::network::{FIRST_CLIENT, HOME_AGENT};

/// Different keys at most; beyond it, neighbouring clients share one, as groups do in practice.
const KEYS: u32 = 4_096;
const SPI: u32 = 256;
const LIFETIME: Lifetime = Lifetime(3_600);
/// Seconds from the epoch of NTP to that of Unix.
const NTP_EPOCH: u64 = 2_208_988_800;

/// Clients with consecutive addresses.
#[derive(Debug)]
pub(super) struct Clients {
    count: u32,
    share_a_key: u32,
    associations: Vec<SecurityAssociation>,
}

impl Clients {
    pub fn new(count: u32) -> Self {
        let share_a_key = count.div_ceil(KEYS);
        let associations = (0..count.div_ceil(share_a_key)).map(association).collect();
        Self { count, share_a_key, associations }
    }

    /// All of them, in an order that no cache likes.
    pub fn shuffled(&self) -> Vec<u32> {
        let mut clients: Vec<u32> = (0..self.count).collect();
        clients.shuffle(&mut StdRng::seed_from_u64(1));
        clients
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn address(client: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(FIRST_CLIENT) + client)
    }

    /// The client with this address.
    pub fn with_address(&self, address: HomeAddress) -> Option<u32> {
        u32::from(address.0).checked_sub(u32::from(FIRST_CLIENT)).filter(|client| *client < self.count)
    }

    pub fn mac(client: u32) -> MacAddress {
        let [a, b, c, d] = client.to_be_bytes();
        MacAddress([0x02, 0xbe, a, b, c, d])
    }

    /// The `[[security-association]]` sections of an agent that knows them all.
    pub fn associations(&self) -> String {
        let section = |group: u32| {
            let first = group * self.share_a_key;
            let last = (first + self.share_a_key).min(self.count) - 1;
            format!(
                "[[security-association]]\nclients = \"{}-{}\"\nspi = {SPI}\nkey = \"hex:{}\"\n",
                Self::address(first),
                Self::address(last),
                hex(group),
            )
        };
        (0..self.associations.len() as u32).map(section).collect()
    }

    /// A request, and the half of its Identification by which its reply is known.
    pub fn request(&self, client: u32, care_of_address: Ipv4Addr) -> (Vec<u8>, u32) {
        let identification = now();
        let request = RegistrationRequest {
            flags: RequestFlags::default(),
            lifetime: LIFETIME,
            home_address: HomeAddress(Self::address(client)),
            home_agent: HomeAgentAddress(HOME_AGENT),
            care_of_address: CareOfAddress(care_of_address),
            identification,
        };
        let mut message = Vec::with_capacity(64);
        request.emit(&mut message);
        self.association(client).sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);
        (message, identification.low())
    }

    /// The client that a reply accepts, and which of its requests; an error if it is no authentic acceptance.
    pub fn accepted(&self, message: &[u8], verified: bool) -> Result<(u32, u32)> {
        let (reply, extensions) = RegistrationReply::parse(message)?;
        if !reply.code.is_accepted() {
            bail!("{} was denied: {}", reply.home_address, reply.code);
        }
        let client = self.with_address(reply.home_address).context("a reply for nobody")?;
        if verified {
            let association = self.association(client);
            match verify(&extensions, kind::MOBILE_HOME_AUTHENTICATION, |_| Some(association)) {
                Verification::Valid { .. } => {}
                other => bail!("a reply for {} is not authentic: {other:?}", reply.home_address),
            }
        }
        Ok((client, reply.identification.low()))
    }

    fn association(&self, client: u32) -> &SecurityAssociation {
        &self.associations[(client / self.share_a_key) as usize]
    }
}

fn association(group: u32) -> SecurityAssociation {
    let key = Key::from_hex(&hex(group)).expect("32 hexadecimal digits");
    SecurityAssociation::new(Spi::new(SPI).expect("not reserved"), Algorithm::HmacMd5, key)
}

fn hex(group: u32) -> String {
    format!("{:032x}", u128::from(group) + 1)
}

fn now() -> Identification {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    Identification((now.as_secs() + NTP_EPOCH) << 32 | fraction)
}
