//! Everything that comes to UDP port 434.

use std::net::Ipv4Addr;

use mipd_agent::wire::{
    authentication::{self, Algorithm, Key},
    challenge,
    dynamic_home_agent::{DynamicHomeAgent, Purpose},
    extension::{self, Extensions, kind},
    foreign_agent_error,
    gre_key::GreKey,
    nai::Nai,
    proxy_mode::{self, AccessTechnology, AuthenticationMethod},
    registration::{RegistrationReply, RegistrationRequest, RequestFlags, message_type},
    revocation::{Revocation, RevocationAcknowledgement, RevocationSupport},
    types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode, Spi},
    udp_tunnel::{TunnelData, UdpTunnelReply, UdpTunnelRequest},
};
use mipd_common::mac::MacAddress;

/// A UDP payload, taken for each message in turn.
pub fn check(data: &[u8]) {
    let _ = message_type(data);
    if let Ok((request, extensions)) = RegistrationRequest::parse(data) {
        let mut emitted = Vec::new();
        request.emit(&mut emitted);
        assert_eq!(RegistrationRequest::parse_fixed(&emitted), Ok(request));
        assert_eq!(RegistrationRequest::parse_fixed(data), Ok(request));
        walk(&extensions, RegistrationRequest::LENGTH, data);
    }
    if let Ok((reply, extensions)) = RegistrationReply::parse(data) {
        let mut emitted = Vec::new();
        reply.emit(&mut emitted);
        // Nothing in its fixed part is left out.
        assert_eq!(emitted, data[..RegistrationReply::LENGTH]);
        walk(&extensions, RegistrationReply::LENGTH, data);
    }
    if let Ok((revocation, extensions)) = Revocation::parse(data) {
        let mut emitted = Vec::new();
        revocation.emit(&mut emitted);
        assert_eq!(Revocation::parse(&emitted).map(|(again, _)| again), Ok(revocation));
        walk(&extensions, Revocation::LENGTH, data);
    }
    if let Ok((acknowledgement, extensions)) = RevocationAcknowledgement::parse(data) {
        let mut emitted = Vec::new();
        acknowledgement.emit(&mut emitted);
        assert_eq!(RevocationAcknowledgement::parse(&emitted).map(|(again, _)| again), Ok(acknowledgement));
        walk(&extensions, RevocationAcknowledgement::LENGTH, data);
    }
    if let Some((header, packet)) = TunnelData::parse(data) {
        assert_eq!(packet.len() + TunnelData::LENGTH, data.len());
        let mut emitted = Vec::new();
        header.append(&mut emitted);
        assert_eq!(TunnelData::parse(&emitted), Some((header, &[][..])));
    }
}

/// The list covers the message to its end without gaps but for padding; each reader copes with it, and what each found is
/// found again when it is written.
fn walk(extensions: &Extensions<'_>, start: usize, message: &[u8]) {
    let mut end = start;
    for extension in extensions {
        assert!(message[end..extension.offset].iter().all(|&byte| byte == kind::PADDING), "a gap before {extension:?}");
        assert_eq!(extension.raw, &message[extension.offset..extension.end()]);
        assert!(extension.raw.ends_with(extension.data));
        end = extension.end();
        if [32, 33, 34, kind::GENERALIZED_AUTHENTICATION].contains(&extension.kind) {
            let _ = authentication::spi(&extension);
            for algorithm in Algorithm::ALL {
                let _ = authentication::verify(message, &extension, algorithm, &key());
            }
        }
    }
    assert!(message[end..].iter().all(|&byte| byte == kind::PADDING), "bytes after the last extension");
    rewrite(extensions, &message[..start]);
}

/// Writes what the readers found after the same fixed part.
fn rewrite(extensions: &Extensions<'_>, fixed: &[u8]) {
    let found = Found::in_list(extensions);
    let mut message = fixed.to_vec();
    found.append(&mut message);
    let parsed = match message[0] {
        1 => RegistrationRequest::parse(&message).map(|(_, list)| list),
        3 => RegistrationReply::parse(&message).map(|(_, list)| list),
        7 => Revocation::parse(&message).map(|(_, list)| list),
        _ => RevocationAcknowledgement::parse(&message).map(|(_, list)| list),
    };
    let again = parsed.unwrap_or_else(|error| panic!("{found:?} was written as {message:02x?}: {error}"));
    assert_eq!(Found::in_list(&again), found);
}

#[derive(PartialEq, Debug)]
struct Found {
    gre_key: Option<GreKey>,
    nai: Option<Nai>,
    challenge: Option<Vec<u8>>,
    error: Option<ReplyCode>,
    home_agent: Option<DynamicHomeAgent>,
    tunnel_request: Option<UdpTunnelRequest>,
    tunnel_reply: Option<UdpTunnelReply>,
    revocation: Option<RevocationSupport>,
    method: Option<AuthenticationMethod>,
    device: Option<MacAddress>,
    technology: Option<AccessTechnology>,
}

impl Found {
    fn in_list(list: &Extensions<'_>) -> Self {
        Self {
            gre_key: GreKey::find(list),
            nai: Nai::find(list),
            challenge: challenge::find(list).map(|found| found.data.to_vec()),
            error: foreign_agent_error::find(list),
            home_agent: DynamicHomeAgent::find(list),
            tunnel_request: UdpTunnelRequest::find(list).map(|(_, request)| request),
            tunnel_reply: UdpTunnelReply::find(list),
            revocation: RevocationSupport::find(list).map(|(_, support)| support),
            method: AuthenticationMethod::find(list),
            device: proxy_mode::find_device(list),
            technology: AccessTechnology::find(list),
        }
    }

    fn append(&self, message: &mut Vec<u8>) {
        if let Some(key) = self.gre_key {
            key.append(message);
        }
        if let Some(nai) = &self.nai {
            nai.append(message);
            assert!(nai.to_string().is_ascii());
        }
        if let Some(challenge) = &self.challenge {
            challenge::append_challenge(message, challenge);
        }
        if let Some(code) = self.error {
            foreign_agent_error::append_error(message, code);
        }
        if let Some(home_agent) = self.home_agent {
            home_agent.append(message);
        }
        if let Some(request) = self.tunnel_request {
            request.append(message);
        }
        if let Some(reply) = self.tunnel_reply {
            reply.append(message);
        }
        if let Some(support) = self.revocation {
            support.append(message);
        }
        if let Some(method) = self.method {
            method.append(message);
        }
        if let Some(device) = self.device {
            proxy_mode::append_device(message, device);
        }
        if let Some(technology) = self.technology {
            technology.append(message);
        }
    }
}

fn key() -> Key {
    Key::from_bytes(vec![1; 16]).expect("a key of 16 bytes")
}

/// Each message with every extension.
pub fn seeds() -> Vec<Vec<u8>> {
    let (home, home_agent, care_of) =
        (Ipv4Addr::new(10, 1, 0, 100), Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1));
    let (home_address, home_agent) = (HomeAddress(home), HomeAgentAddress(home_agent));
    let identification = Identification(0xe5a1_b2c3_1234_5678);
    let mut request = Vec::new();
    RegistrationRequest {
        flags: RequestFlags::from_bits(0xff),
        lifetime: Lifetime(600),
        home_address,
        home_agent,
        care_of_address: CareOfAddress(care_of),
        identification,
    }
    .emit(&mut request);
    let mut reply = Vec::new();
    let (code, lifetime) = (ReplyCode::ACCEPTED, Lifetime(600));
    RegistrationReply { code, lifetime, home_address, home_agent, identification }.emit(&mut reply);
    let mut revocation = Vec::new();
    let (foreign_agent, identifier) = (care_of, 7);
    Revocation { from_home_agent: true, inform: true, home_address, home_agent, foreign_agent, identifier }
        .emit(&mut revocation);
    let mut acknowledgement = Vec::new();
    RevocationAcknowledgement { inform: true, home_address, identifier }.emit(&mut acknowledgement);
    let bare = [request, reply, revocation, acknowledgement];
    let full = bare.clone().map(|mut message| {
        everything().append(&mut message);
        extension::append(&mut message, kind::ENCAPSULATING_DELIVERY, &[]);
        extension::append(&mut message, kind::NORMAL_VENDOR, &[0, 0, 0, 0, 0, 9, 0, 1, 5]);
        extension::append_long(&mut message, kind::CRITICAL_VENDOR, 0, &[0, 0, 0, 9, 0, 1]);
        let spi = Spi::new(256).expect("no reserved SPI");
        authentication::append_generalized(&mut message, 1, spi, Algorithm::HmacMd5, &key());
        for (kind, algorithm) in [32, 33, 34].into_iter().zip(Algorithm::ALL) {
            authentication::append(&mut message, kind, spi, algorithm, &key());
        }
        message.push(kind::PADDING);
        message
    });
    bare.into_iter().chain(full).chain([vec![4, 4, 0, 0, 0x45]]).collect()
}

fn everything() -> Found {
    Found {
        gre_key: Some(GreKey(7)),
        nai: Nai::new("a@b"),
        challenge: Some(vec![1; 8]),
        error: Some(ReplyCode::FA_HOME_AUTHENTICATION),
        home_agent: Some(DynamicHomeAgent { purpose: Purpose::Requested, address: [10, 1, 0, 1].into() }),
        tunnel_request: Some(UdpTunnelRequest { forced: true, encapsulation: 47, ..UdpTunnelRequest::default() }),
        tunnel_reply: Some(UdpTunnelReply { code: 0, forced: true, keepalive_interval: 110 }),
        revocation: Some(RevocationSupport { inform: true, timestamp: 7 }),
        method: Some(AuthenticationMethod::ForeignHome),
        device: Some(MacAddress([2, 0, 0, 0, 0, 9])),
        technology: Some(AccessTechnology::WirelessLan),
    }
}
