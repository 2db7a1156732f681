//! What a captured frame says about a roam: little more than its headers.

use std::time::Duration;

use mipd_agent::wire::frame::Link;
use mipd_common::mac::MacAddress;

use crate::capture::Captured;

const IPV4: u16 = 0x0800;
const MOBILE_IP_PORT: u16 = 434;

/// A frame and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Since the Unix epoch.
    pub at: Duration,
    pub link: Link,
    pub content: Content,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// A Registration Request, by the lower half of its Identification, which the reply repeats.
    Request(u32),
    /// A Registration Reply, and whether it accepts.
    Reply(u32, bool),
    /// A packet of the TCP connection.
    Segment(Segment),
    /// An echo request or reply, by identifier and sequence number.
    Echo {
        is_reply: bool,
        number: u32,
    },
    Other,
}

/// What tells one packet of a TCP connection from all others, sent again or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Segment {
    identification: u16,
    sequence: u32,
    acknowledgement: u32,
    length: u16,
}

impl Segment {
    /// Where its data begins, if it has any.
    pub fn data(self) -> Option<u32> {
        (self.length > 0).then_some(self.sequence)
    }
}

/// Reads the frames of a capture. What is cut off too early is [`Content::Other`].
pub(super) fn read(captured: &[Captured]) -> Vec<Frame> {
    captured.iter().filter_map(frame).collect()
}

fn frame(captured: &Captured) -> Option<Frame> {
    let bytes = &captured.bytes;
    let mac = |at: usize| Some(MacAddress(bytes.get(at..at + 6)?.try_into().ok()?));
    let link = Link { destination: mac(0)?, source: mac(6)? };
    let content = if half(bytes, 12)? == IPV4 { packet(&bytes[14..]) } else { None };
    Some(Frame { at: captured.at, link, content: content.unwrap_or(Content::Other) })
}

fn packet(packet: &[u8]) -> Option<Content> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let transport = packet.get(header..)?;
    match packet.get(9)? {
        1 => {
            let kind = *transport.first()?;
            let is_reply = kind == 0;
            (is_reply || kind == 8).then_some(Content::Echo { is_reply, number: word(transport, 4)? })
        }
        6 => {
            let headers = header + usize::from(transport.get(12)? >> 4) * 4;
            Some(Content::Segment(Segment {
                identification: half(packet, 4)?,
                sequence: word(transport, 4)?,
                acknowledgement: word(transport, 8)?,
                length: half(packet, 2)?.saturating_sub(headers as u16),
            }))
        }
        17 => {
            let (from, to) = (half(transport, 0)?, half(transport, 2)?);
            let message = transport.get(8..)?;
            match *message.first()? {
                1 if to == MOBILE_IP_PORT => Some(Content::Request(word(message, 20)?)),
                3 if from == MOBILE_IP_PORT => Some(Content::Reply(word(message, 16)?, *message.get(1)? <= 1)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::packets::{frame::Frame as Built, ipv4::Ipv4};

    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);

    #[test]
    fn packets_of_a_connection_are_told_apart() {
        let (source, destination) = (MacAddress([2; 6]), MacAddress([4; 6]));
        let captured = |length| {
            let packet = Ipv4::tcp_data((CLIENT, 1), (OTHER, 2), length);
            Captured { at: Duration::from_secs(5), bytes: Built::new(source, destination).ipv4(&packet).bytes() }
        };
        let frames = read(&[captured(10), captured(11), captured(0)]);
        let [Content::Segment(one), Content::Segment(other), Content::Segment(empty)] =
            [0, 1, 2].map(|index: usize| frames[index].content)
        else {
            panic!("{frames:?}")
        };
        assert_ne!(one, other);
        assert_eq!((empty.data(), one.data().is_some()), (None, true));
        assert!(read(&[Captured { at: Duration::ZERO, bytes: vec![1; 13] }]).is_empty());
    }
}
