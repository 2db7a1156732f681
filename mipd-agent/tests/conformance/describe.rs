//! Messages as transcripts show them. What a message adds to a struct shows up here only when somebody writes it here.

use std::fmt::Write;

use mipd_agent::{
    mobility::{
        link::{Path, Transmit},
        security::SecurityAssociation,
        tunnel::{Delivery, Encapsulation, TunnelMode},
    },
    wire::{
        authentication::{self, Algorithm},
        extension::{Extension, Extensions, kind},
        registration::{MessageType, RegistrationReply, RegistrationRequest, RequestFlags, message_type},
        revocation::{Revocation, RevocationAcknowledgement},
        types::{Identification, Lifetime},
    },
};

use crate::{
    run::clock_offset,
    scene::{Scene, Transcript, interface_name, keys, to_hexadecimal},
};

/// A datagram that a role sends.
pub fn transmit(scene: &mut Scene, transmit: &Transmit, transcript: &mut Transcript) {
    let Transmit { payload, source, source_port, destination, destination_port, ttl, path, .. } = transmit;
    let path = match path {
        Path::Routed => "routed".to_owned(),
        Path::Frame { interface, destination, source } => {
            let from = source.map_or(String::new(), |source| format!(" from {source}"));
            format!("frame on {}{from} to {destination}", interface_name(*interface))
        }
    };
    transcript.push(format!("send {source}:{source_port} -> {destination}:{destination_port}, TTL {ttl}, {path}"));
    message(scene, payload, transcript);
}

/// A message on UDP port 434; the scene remembers it as the latest of its kind.
fn message(scene: &mut Scene, payload: &[u8], transcript: &mut Transcript) {
    let shown = match message_type(payload) {
        Some(MessageType::RegistrationRequest) => request(scene, payload, transcript),
        Some(MessageType::RegistrationReply) => reply(scene, payload, transcript),
        Some(MessageType::Revocation) => revocation(scene, payload, transcript),
        Some(MessageType::RevocationAcknowledgement) => acknowledgement(scene, payload, transcript),
        Some(MessageType::TunnelData) => {
            transcript.detail(format!("tunnelled data: {}", to_hexadecimal(payload)));
            Some(())
        }
        _ => None,
    };
    if shown.is_none() {
        transcript.detail(format!("not a message that parses: {}", to_hexadecimal(payload)));
    }
}

fn request(scene: &mut Scene, payload: &[u8], transcript: &mut Transcript) -> Option<()> {
    let (request, list) = RegistrationRequest::parse(payload).ok()?;
    let flags = flags(request.flags);
    transcript.detail(format!(
        "request: flags {}, lifetime {}, home address {}, home agent {}, care-of address {}",
        if flags.is_empty() { "-" } else { &flags },
        lifetime(request.lifetime),
        request.home_address,
        request.home_agent,
        request.care_of_address
    ));
    let copied = scene.request.is_some_and(|before| before.identification == request.identification);
    // Rounded before it is printed, so that there is no negative zero.
    let offset = (clock_offset(request.identification, scene.now) * 10.0).round() / 10.0 + 0.0;
    transcript.detail(if copied {
        "identification as in the request".to_owned()
    } else {
        format!("identification at clock {offset:+.1}s")
    });
    extensions(scene, &list, transcript);
    scene.request = Some(request);
    Some(())
}

fn reply(scene: &mut Scene, payload: &[u8], transcript: &mut Transcript) -> Option<()> {
    let (reply, list) = RegistrationReply::parse(payload).ok()?;
    transcript.detail(format!("reply: code {}", reply.code));
    transcript.detail(format!(
        "lifetime {}, home address {}, home agent {}",
        lifetime(reply.lifetime),
        reply.home_address,
        reply.home_agent
    ));
    transcript.detail(reply_identification(scene, reply.identification));
    extensions(scene, &list, transcript);
    scene.reply = Some(reply);
    Some(())
}

fn reply_identification(scene: &Scene, identification: Identification) -> String {
    match scene.request.map(|request| request.identification) {
        Some(asked) if asked == identification => "identification as in the request".to_owned(),
        Some(asked) if asked.low() == identification.low() => {
            let seconds = identification.seconds().wrapping_sub(scene.now.wall.seconds()).cast_signed();
            if seconds.unsigned_abs() < 100_000 {
                format!("identification: low half as in the request, high half the clock {seconds:+}s")
            } else {
                "identification: low half as in the request, high half a new nonce".to_owned()
            }
        }
        _ => format!("identification {:016x}", identification.0),
    }
}

fn revocation(scene: &mut Scene, payload: &[u8], transcript: &mut Transcript) -> Option<()> {
    let (revocation, list) = Revocation::parse(payload).ok()?;
    let sender = if revocation.from_home_agent { "a home agent" } else { "a foreign agent" };
    let inform = if revocation.inform { ", inform" } else { "" };
    transcript.detail(format!("revocation by {sender}{inform}"));
    transcript.detail(format!(
        "home address {}, home agent {}, foreign agent {}",
        revocation.home_address, revocation.home_agent, revocation.foreign_agent
    ));
    let seconds = revocation.identifier.wrapping_sub(scene.now.wall.seconds()).cast_signed();
    transcript.detail(format!("identifier the clock {seconds:+}s"));
    extensions(scene, &list, transcript);
    scene.revocation = Some(revocation);
    Some(())
}

fn acknowledgement(scene: &mut Scene, payload: &[u8], transcript: &mut Transcript) -> Option<()> {
    let (acknowledgement, list) = RevocationAcknowledgement::parse(payload).ok()?;
    let inform = if acknowledgement.inform { ", informed" } else { "" };
    let asked = scene.revocation.is_some_and(|revocation| revocation.identifier == acknowledgement.identifier);
    transcript.detail(format!(
        "revocation acknowledgement{inform}: home address {}, identifier {}",
        acknowledgement.home_address,
        if asked { "as in the revocation".to_owned() } else { format!("{:08x}", acknowledgement.identifier) }
    ));
    extensions(scene, &list, transcript);
    Some(())
}

/// What is agreed on about a tunnel beyond its ends; nothing for plain IP-in-IP.
pub fn tunnel(mode: &TunnelMode) -> String {
    let TunnelMode { encapsulation, gre_keys, udp, reverse, .. } = mode;
    let mut parts = Vec::new();
    if *encapsulation != Encapsulation::IpInIp {
        parts.push(encapsulation.to_string());
    }
    if let Some(keys) = gre_keys {
        parts.push(format!("keys {:#x} to send and {:#x} to receive", keys.send, keys.receive));
    }
    if let Some(udp) = udp {
        parts.push(format!("over UDP to {}, keepalive {:?}", udp.peer, udp.keepalive));
    }
    match reverse {
        None => {}
        Some(Delivery::Direct) => parts.push("reverse tunnel".to_owned()),
        Some(Delivery::Encapsulating) => parts.push("reverse tunnel of what comes encapsulated".to_owned()),
    }
    parts.iter().fold(String::new(), |text, part| format!("{text}, {part}"))
}

fn flags(flags: RequestFlags) -> String {
    let letters = [
        (flags.simultaneous, 'S'),
        (flags.broadcast, 'B'),
        (flags.co_located, 'D'),
        (flags.minimal_encapsulation, 'M'),
        (flags.gre, 'G'),
        (flags.reverse_tunnel, 'T'),
    ];
    letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
}

pub fn lifetime(lifetime: Lifetime) -> String {
    if lifetime == Lifetime::INFINITE { "infinite".to_owned() } else { lifetime.0.to_string() }
}

fn extensions(scene: &mut Scene, list: &Extensions<'_>, transcript: &mut Transcript) {
    for extension in list {
        transcript.detail(format!("* {}", self::extension(scene, list, &extension)));
    }
}

fn extension(scene: &mut Scene, list: &Extensions<'_>, extension: &Extension<'_>) -> String {
    let data = extension.data;
    let name = match extension.kind {
        kind::MOBILE_HOME_AUTHENTICATION => return signature("mobile-home authentication", list, extension),
        kind::MOBILE_FOREIGN_AUTHENTICATION => return signature("mobile-foreign authentication", list, extension),
        kind::FOREIGN_HOME_AUTHENTICATION => return signature("foreign-home authentication", list, extension),
        kind::GENERALIZED_AUTHENTICATION => {
            return signature("generalized authentication", list, extension);
        }
        kind::REVOCATION_SUPPORT => {
            let timestamp = data.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            let seconds = timestamp.wrapping_sub(scene.now.wall.seconds()).cast_signed();
            let inform = if data.first().is_some_and(|flags| flags & 0x80 != 0) { ", inform" } else { "" };
            return format!("revocation support{inform}, timestamp the clock {seconds:+}s");
        }
        kind::CHALLENGE => {
            if !scene.challenges.iter().any(|known| known == data) {
                scene.challenges.push(data.to_vec());
                return "challenge: new".to_owned();
            }
            let newer = scene.challenges.iter().rev().position(|known| known == data).unwrap_or(0);
            return if newer == 0 { "challenge: the latest".to_owned() } else { format!("challenge: {newer} back") };
        }
        kind::MOBILE_NODE_NAI => return format!("NAI {}", data.escape_ascii()),
        kind::FOREIGN_AGENT_ERROR => return format!("foreign agent error {}", data.last().unwrap_or(&0)),
        kind::CRITICAL_VENDOR => "critical vendor extension",
        kind::UDP_TUNNEL_REPLY => "UDP tunnel reply",
        kind::UDP_TUNNEL_REQUEST => "UDP tunnel request",
        kind::PROXY_NON_SKIPPABLE => "proxy authentication method",
        kind::GRE_KEY => "GRE key",
        kind::ENCAPSULATING_DELIVERY => "encapsulating delivery style",
        kind::NORMAL_VENDOR => "normal vendor extension",
        kind::DYNAMIC_HOME_AGENT => "dynamic home agent",
        kind::PROXY_SKIPPABLE => "proxy information",
        _ => "",
    };
    let mut line = if name.is_empty() { format!("type {}", extension.kind) } else { name.to_owned() };
    if !data.is_empty() {
        let _ = write!(line, " {}", to_hexadecimal(data));
    }
    line
}

/// Whose authenticator it is, if it is right.
fn signature(name: &str, list: &Extensions<'_>, extension: &Extension<'_>) -> String {
    let Some(spi) = authentication::spi(extension) else { return format!("{name}: reserved SPI") };
    let right = |association: &SecurityAssociation, algorithm: &Algorithm| {
        authentication::verify(list.message(), extension, *algorithm, &association.key)
    };
    for (key, association) in keys().filter(|(_, association)| association.spi == spi) {
        if let Some(algorithm) = Algorithm::ALL.iter().find(|algorithm| right(&association, algorithm)) {
            let usual = if *algorithm == association.algorithm { String::new() } else { format!(" by {algorithm:?}") };
            return format!("{name}: right, key {key}{usual}");
        }
    }
    format!("{name}: WRONG, SPI {}", spi.get())
}
