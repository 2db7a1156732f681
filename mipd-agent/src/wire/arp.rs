//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227; RFC 5944 §4.6 for gratuitous ARP).

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

use super::{
    frame::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Link},
    ip::PacketError,
};

const LENGTH: usize = 28;
const HARDWARE_ETHERNET: u16 = 1;
const UNKNOWN: MacAddress = MacAddress([0; 6]);

/// Question or answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Operation {
    /// Who has the target address?
    Request = 1,
    /// The sender has the sender address.
    Reply = 2,
}

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArpPacket {
    /// Question or answer.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_mac: MacAddress,
    /// Sender protocol address; 0.0.0.0 in a probe.
    pub sender_address: Ipv4Addr,
    /// Target hardware address; without meaning in a request.
    pub target_mac: MacAddress,
    /// Target protocol address.
    pub target_address: Ipv4Addr,
}

impl ArpPacket {
    /// Asks for the MAC of `target_address`. With sender address 0.0.0.0 it is a probe (RFC 5227 §2.1.1), which changes
    /// nobody's cache.
    pub fn request(sender_mac: MacAddress, sender_address: Ipv4Addr, target_address: Ipv4Addr) -> Self {
        Self { operation: Operation::Request, sender_mac, sender_address, target_mac: UNKNOWN, target_address }
    }

    /// Answers this request: its target address is at `mac`.
    #[must_use]
    pub fn reply(&self, mac: MacAddress) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_address: self.target_address,
            target_mac: self.sender_mac,
            target_address: self.sender_address,
        }
    }

    /// Tells everybody in request form that `address` is at `mac` now (RFC 5944 §4.6).
    pub fn gratuitous_request(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self::request(mac, address, address)
    }

    /// Tells everybody in reply form that `address` is at `mac` now (RFC 5944 §4.6): no proxy ARP takes it for a
    /// question.
    pub fn gratuitous_reply(mac: MacAddress, address: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_address: address,
            target_mac: mac,
            target_address: address,
        }
    }

    /// Whether the sender announces its own address.
    pub fn is_gratuitous(&self) -> bool {
        self.sender_address == self.target_address
    }

    /// Whether somebody asks if an address is free (RFC 5227 §1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_address.is_unspecified()
    }

    /// Reads a frame.
    pub fn parse(frame: &[u8]) -> Result<(Link, Self), PacketError> {
        let (link, packet) = Link::parse_type(frame, ETHERTYPE_ARP)?;
        let packet: &[u8; LENGTH] = packet.first_chunk().ok_or(PacketError::Truncated)?;
        let half = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        if half(0) != HARDWARE_ETHERNET || half(2) != ETHERTYPE_IPV4 || packet[4] != 6 || packet[5] != 4 {
            return Err(PacketError::Malformed("ARP for something else than IPv4 over Ethernet"));
        }
        let operation = match half(6) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(PacketError::Malformed("ARP operation is neither request nor reply")),
        };
        let mac = |at: usize| {
            MacAddress([packet[at], packet[at + 1], packet[at + 2], packet[at + 3], packet[at + 4], packet[at + 5]])
        };
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        let arp = Self {
            operation,
            sender_mac: mac(8),
            sender_address: address(14),
            target_mac: mac(18),
            target_address: address(24),
        };
        Ok((link, arp))
    }

    /// A frame to `destination`, from `source`, which need not be the sender hardware address.
    pub fn emit(&self, link: Link) -> Vec<u8> {
        let mut frame = link.begin(ETHERTYPE_ARP);
        frame.extend(HARDWARE_ETHERNET.to_be_bytes());
        frame.extend(ETHERTYPE_IPV4.to_be_bytes());
        frame.extend([6, 4]);
        frame.extend((self.operation as u16).to_be_bytes());
        frame.extend(self.sender_mac.0);
        frame.extend(self.sender_address.octets());
        frame.extend(self.target_mac.0);
        frame.extend(self.target_address.octets());
        frame
    }

    /// A frame from the sender hardware address to everybody.
    pub fn emit_broadcast(&self) -> Vec<u8> {
        self.emit(Link { destination: MacAddress::BROADCAST, source: self.sender_mac })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AGENT: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const HOST: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
    const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
    const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);

    #[test]
    fn a_reply_goes_back_to_the_asker_with_the_address_it_asked_for() {
        let request = ArpPacket::request(HOST, HOST_ADDRESS, CLIENT_ADDRESS);
        assert_eq!(
            request.reply(AGENT),
            ArpPacket {
                operation: Operation::Reply,
                sender_mac: AGENT,
                sender_address: CLIENT_ADDRESS,
                target_mac: HOST,
                target_address: HOST_ADDRESS,
            }
        );
    }

    #[test]
    fn gratuitous_forms_are_broadcast_and_recognised() {
        for arp in
            [ArpPacket::gratuitous_request(AGENT, CLIENT_ADDRESS), ArpPacket::gratuitous_reply(AGENT, CLIENT_ADDRESS)]
        {
            let (link, read) = ArpPacket::parse(&arp.emit_broadcast()).unwrap();
            assert_eq!(link, Link { destination: MacAddress::BROADCAST, source: AGENT });
            assert!(read.is_gratuitous() && !read.is_probe());
        }
        assert_eq!(ArpPacket::gratuitous_reply(AGENT, CLIENT_ADDRESS).target_mac, AGENT);
    }

    #[test]
    fn a_request_from_nobody_is_a_probe() {
        let probe = ArpPacket::request(HOST, Ipv4Addr::UNSPECIFIED, CLIENT_ADDRESS);
        assert!(probe.is_probe() && !probe.is_gratuitous());
        assert!(!ArpPacket::request(HOST, HOST_ADDRESS, CLIENT_ADDRESS).is_probe());
    }

    #[test]
    fn a_padded_frame_is_read_and_a_foreign_one_refused() {
        let request = ArpPacket::request(HOST, HOST_ADDRESS, CLIENT_ADDRESS);
        let mut frame = request.emit_broadcast();
        frame.resize(60, 0);
        assert_eq!(ArpPacket::parse(&frame).unwrap().1, request);
        for (at, value) in [(15, 6), (16, 0x86), (18, 8), (19, 16), (21, 3)] {
            let mut foreign = frame.clone();
            foreign[at] = value;
            assert!(matches!(ArpPacket::parse(&foreign), Err(PacketError::Malformed(_))), "byte {at}");
        }
        assert_eq!(ArpPacket::parse(&frame[..41]), Err(PacketError::Truncated));
    }

    proptest! {
        #[test]
        fn packets_round_trip(reply: bool, sender_mac: [u8; 6], sender: u32, target_mac: [u8; 6], target: u32, source: [u8; 6]) {
            let arp = ArpPacket {
                operation: if reply { Operation::Reply } else { Operation::Request },
                sender_mac: MacAddress(sender_mac),
                sender_address: sender.into(),
                target_mac: MacAddress(target_mac),
                target_address: target.into(),
            };
            let link = Link { destination: MacAddress(target_mac), source: MacAddress(source) };
            prop_assert_eq!(ArpPacket::parse(&arp.emit(link)), Ok((link, arp)));
        }

        #[test]
        fn arbitrary_frames_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            if bytes.len() >= 22 {
                bytes[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
            }
            prop_assert_eq!(ArpPacket::parse(&bytes).is_ok(), bytes.len() >= 42);
        }
    }
}
