//! ARP for IPv4 over Ethernet (RFC 826).

use mipd_common::packet::{ARP_LENGTH, ETHERNET_LENGTH};

use crate::bytes::{Bytes, BytesMut};

/// Hardware type Ethernet and protocol type IPv4.
const ETHERNET_IPV4: u32 = u32::from_ne_bytes([0, 1, 8, 0]);
/// Hardware and protocol address lengths.
const LENGTHS: u16 = u16::from_ne_bytes([6, 4]);
const REQUEST: u16 = 1_u16.to_be();
const REPLY: u16 = 2_u16.to_be();

/// An Ethernet frame with a request or a reply.
#[derive(Clone, Copy)]
pub struct Arp(BytesMut<{ ETHERNET_LENGTH + ARP_LENGTH }>);

impl Arp {
    /// The frame as ARP, if it is about IPv4 over Ethernet and a request or reply.
    #[inline(always)]
    pub fn of(frame: BytesMut<{ ETHERNET_LENGTH + ARP_LENGTH }>) -> Option<Self> {
        let well_formed = frame.word::<14>() == ETHERNET_IPV4
            && frame.half::<18>() == LENGTHS
            && (frame.half::<20>() == REQUEST || frame.half::<20>() == REPLY);
        if well_formed { Some(Self(frame)) } else { None }
    }

    /// Whether it asks.
    #[inline(always)]
    pub fn is_request(self) -> bool {
        self.0.half::<20>() == REQUEST
    }

    /// Sender protocol address, memory order.
    #[inline(always)]
    pub fn sender(self) -> u32 {
        // Not at a multiple of four in the frame.
        self.0.half::<28>() as u32 * LOW + self.0.half::<30>() as u32 * HIGH
    }

    /// Target protocol address, memory order.
    #[inline(always)]
    pub fn target(self) -> u32 {
        self.0.word::<38>()
    }

    /// Whether the sender hardware address is `mac`.
    #[inline(always)]
    pub fn sender_mac_is(self, mac: &[u8; 6]) -> bool {
        self.0.mac_is::<22>(mac)
    }

    /// Whether the sender hardware address is the frame's source.
    #[inline(always)]
    pub fn sender_is_source(self) -> bool {
        let (sender, source) = (self.0.part::<22, 6>(), self.0.part::<6, 6>());
        sender.half::<0>() == source.half::<0>()
            && sender.half::<2>() == source.half::<2>()
            && sender.half::<4>() == source.half::<4>()
    }

    /// Turns the request into the reply "the target is at `mac`", addressed to the frame's sender.
    #[inline(always)]
    pub fn answer(self, mac: Bytes<'_, 6>) {
        let (sender, target) = (self.sender(), self.target());
        // `mac` may be the destination address of this very frame.
        let answer = mac.halves();
        self.0.set_mac::<32>(self.0.part::<22, 6>());
        self.0.set_mac::<0>(self.0.part::<6, 6>());
        self.0.set_halves::<6>(answer);
        self.0.set_halves::<22>(answer);
        self.0.set_half::<20>(REPLY);
        self.0.set_half::<28>((target / LOW) as u16);
        self.0.set_half::<30>((target / HIGH) as u16);
        self.0.set_word::<38>(sender);
    }
}

/// Weights of the first and the second half of a word in memory order.
const LOW: u32 = if cfg!(target_endian = "little") { 1 } else { 1 << 16 };
const HIGH: u32 = if cfg!(target_endian = "little") { 1 << 16 } else { 1 };
