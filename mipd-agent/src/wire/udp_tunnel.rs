//! UDP tunnelling through NAT (RFC 3519): the two extensions that agree on it and the header of tunnelled data.

use super::{
    extension::{Extensions, append, kind},
    registration::MessageType,
};

/// UDP tunnel request, extension 144 (RFC 3519 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UdpTunnelRequest {
    /// F: tunnel even if no NAT is noticed.
    pub forced: bool,
    /// R: the node registers with a co-located care-of address through a foreign agent.
    pub through_foreign_agent: bool,
    /// The protocol inside: 4, 47 or 55; 0 = as the M and G bits say.
    pub encapsulation: u8,
    /// Must be zero.
    pub reserved: u16,
}

impl UdpTunnelRequest {
    const FORCED: u8 = 0x80;
    const THROUGH_FOREIGN_AGENT: u8 = 0x40;

    /// The first one in the list, with its offset in the message.
    pub fn find(extensions: &Extensions<'_>) -> Option<(usize, Self)> {
        extensions.of_kind(kind::UDP_TUNNEL_REQUEST).find_map(|extension| match *extension.data {
            [0, _, flags, encapsulation, high, low] => Some((
                extension.offset,
                Self {
                    forced: flags & Self::FORCED != 0,
                    through_foreign_agent: flags & Self::THROUGH_FOREIGN_AGENT != 0,
                    encapsulation,
                    reserved: u16::from_be_bytes([high, low]),
                },
            )),
            _ => None,
        })
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        let flags = if self.forced { Self::FORCED } else { 0 }
            | if self.through_foreign_agent { Self::THROUGH_FOREIGN_AGENT } else { 0 };
        let [high, low] = self.reserved.to_be_bytes();
        append(message, kind::UDP_TUNNEL_REQUEST, &[0, 0, flags, self.encapsulation, high, low]);
    }
}

/// UDP tunnel reply, extension 44 (RFC 3519 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpTunnelReply {
    /// [`Self::ASSENT`] or [`Self::DECLINE`].
    pub code: u8,
    /// F: the tunnel was asked for by force.
    pub forced: bool,
    /// Seconds between keepalives; 0 = the default of the receiver.
    pub keepalive_interval: u16,
}

impl UdpTunnelReply {
    /// The home agent will tunnel over UDP.
    pub const ASSENT: u8 = 0;
    /// It will not, but has accepted the registration.
    pub const DECLINE: u8 = 64;

    /// The first one in the list.
    pub fn find(extensions: &Extensions<'_>) -> Option<Self> {
        let extension = extensions.of_kind(kind::UDP_TUNNEL_REPLY).next()?;
        let [_, code, flags, _, high, low] = *extension.data else { return None };
        Some(Self { code, forced: flags & 0x80 != 0, keepalive_interval: u16::from_be_bytes([high, low]) })
    }

    /// Appends the extension.
    pub fn append(self, message: &mut Vec<u8>) {
        let flags = if self.forced { 0x80 } else { 0 };
        let [high, low] = self.keepalive_interval.to_be_bytes();
        append(message, kind::UDP_TUNNEL_REPLY, &[0, self.code, flags, 0, high, low]);
    }
}

/// The header between UDP and a tunnelled packet (RFC 3519 §3.3): type 4, next header, two reserved bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelData {
    /// The protocol that follows: 4, 47 or 55.
    pub next_header: u8,
}

impl TunnelData {
    /// Length in bytes.
    pub const LENGTH: usize = 4;

    /// Splits a UDP payload; `None` if it is no tunnel data.
    pub fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let ([kind, next_header, _, _], packet) = payload.split_first_chunk::<{ Self::LENGTH }>()?;
        (*kind == MessageType::TunnelData as u8).then_some((Self { next_header: *next_header }, packet))
    }

    /// Appends the header; the reserved bytes are zero.
    pub fn append(self, message: &mut Vec<u8>) {
        message.extend([MessageType::TunnelData as u8, self.next_header, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extension::{ParseError, Space};
    use proptest::prelude::*;

    fn list(message: &[u8]) -> Result<Extensions<'_>, ParseError> {
        Extensions::parse(message, 0, Space::Control)
    }

    #[test]
    fn both_extensions_are_laid_out_as_the_rfc_draws_them() {
        let mut message = Vec::new();
        UdpTunnelRequest { forced: true, through_foreign_agent: true, encapsulation: 47, reserved: 0 }
            .append(&mut message);
        UdpTunnelReply { code: UdpTunnelReply::DECLINE, forced: true, keepalive_interval: 110 }.append(&mut message);
        assert_eq!(message, [144, 6, 0, 0, 0xc0, 47, 0, 0, 44, 6, 0, 64, 0x80, 0, 0, 110]);
    }

    #[test]
    fn a_request_of_an_unknown_subtype_is_skipped_and_such_a_reply_refuses_the_message() {
        assert_eq!(UdpTunnelRequest::find(&list(&[144, 6, 1, 0, 0, 0, 0, 0]).unwrap()), None);
        assert_eq!(UdpTunnelRequest::find(&list(&[144, 3, 7, 0, 0]).unwrap()), None);
        assert_eq!(list(&[44, 6, 1, 0, 0, 0, 0, 0]).unwrap_err(), ParseError::UnknownNonSkippable(44));
        assert_eq!(list(&[44, 5, 0, 0, 0, 0, 0]).unwrap_err(), ParseError::MalformedExtension { kind: 44, offset: 0 });
        assert_eq!(list(&[144, 2, 0, 0]).unwrap_err(), ParseError::MalformedExtension { kind: 144, offset: 0 });
    }

    #[test]
    fn tunnel_data_is_split_from_its_packet() {
        let mut message = Vec::new();
        TunnelData { next_header: 4 }.append(&mut message);
        message.push(0x45);
        assert_eq!(message, [4, 4, 0, 0, 0x45]);
        assert_eq!(TunnelData::parse(&message), Some((TunnelData { next_header: 4 }, &[0x45][..])));
        assert_eq!(TunnelData::parse(&[4, 4, 0]), None);
        assert_eq!(TunnelData::parse(&[3, 4, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn both_extensions_round_trip(forced: bool, through_foreign_agent: bool, encapsulation: u8, reserved: u16, code: u8, keepalive_interval: u16) {
            let request = UdpTunnelRequest { forced, through_foreign_agent, encapsulation, reserved };
            let reply = UdpTunnelReply { code, forced, keepalive_interval };
            let mut message = Vec::new();
            request.append(&mut message);
            reply.append(&mut message);
            let extensions = list(&message).unwrap();
            prop_assert_eq!(UdpTunnelRequest::find(&extensions), Some((0, request)));
            prop_assert_eq!(UdpTunnelReply::find(&extensions), Some(reply));
        }
    }
}
