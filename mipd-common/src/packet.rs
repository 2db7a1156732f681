//! Header layouts and checksum arithmetic.
//!
//! A *word* here is 16 bits of a header as they lie in memory, loaded without swapping bytes. One's-complement sums may
//! be taken in either byte order as long as one keeps to it (RFC 1071 §2 (B)), so the programs never swap a word to add
//! it.

/// Ethernet types, as the two bytes lie in memory.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = u16::from_ne_bytes([0x08, 0x00]);
    /// ARP.
    pub const ARP: u16 = u16::from_ne_bytes([0x08, 0x06]);
    /// IPv6.
    pub const IPV6: u16 = u16::from_ne_bytes([0x86, 0xdd]);
    /// EAP over LAN (IEEE 802.1X).
    pub const EAPOL: u16 = u16::from_ne_bytes([0x88, 0x8e]);
    /// Pre-authentication (IEEE 802.11).
    pub const PRE_AUTHENTICATION: u16 = u16::from_ne_bytes([0x88, 0xc7]);
    /// Fast transition and tunnelled direct link set-up (IEEE 802.11).
    pub const FAST_TRANSITION: u16 = u16::from_ne_bytes([0x89, 0x0d]);
}

/// IP protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IP-in-IP (RFC 2003).
    pub const IP_IN_IP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Generic routing encapsulation (RFC 2784).
    pub const GRE: u8 = 47;
    /// Minimal encapsulation (RFC 2004).
    pub const MINIMAL: u8 = 55;
}

/// First 16 bits of a GRE header (RFC 2784 §2.1, RFC 2890 §2), as the two bytes lie in memory.
pub mod gre {
    /// A checksum follows.
    pub const CHECKSUM: u16 = u16::from_ne_bytes([0x80, 0x00]);
    /// A key follows.
    pub const KEY: u16 = u16::from_ne_bytes([0x20, 0x00]);
    /// A sequence number follows.
    pub const SEQUENCE: u16 = u16::from_ne_bytes([0x10, 0x00]);
    /// What must be zero: bits 1, 4 and 5, and the version.
    pub const REFUSED: u16 = u16::from_ne_bytes([0x4c, 0x07]);
    /// Length of the header, without what [`CHECKSUM`], [`KEY`] and [`SEQUENCE`] add.
    pub const LENGTH: usize = 4;
    /// Length of the key.
    pub const KEY_LENGTH: usize = 4;
}

/// Tunnels over UDP (RFC 3519 §3.3).
pub mod udp {
    /// The port of Mobile IP, as its two bytes lie in memory.
    pub const MOBILE_IP_PORT: u16 = 434_u16.to_be();
    /// Type of the messages that carry packets.
    pub const TUNNEL_DATA: u8 = 4;
    /// Length of the UDP header and the header of such a message.
    pub const TUNNEL_LENGTH: usize = 12;
}

/// Length of an Ethernet header.
pub const ETHERNET_LENGTH: usize = 14;
/// Length of an IPv4 header without options.
pub const IPV4_LENGTH: usize = 20;
/// Length of a TCP header without options.
pub const TCP_LENGTH: usize = 20;
/// Length of an ARP packet for IPv4 over Ethernet (RFC 826).
pub const ARP_LENGTH: usize = 28;

/// First byte of an IPv4 header without options: version 4, five words.
pub const VERSION_4_IHL_5: u8 = 0x45;

/// "Don't fragment" in the flags and fragment offset word of an IPv4 header.
pub const DONT_FRAGMENT: u16 = u16::from_ne_bytes([0x40, 0x00]);
/// "More fragments" and the fragment offset: zero in a packet that is whole.
pub const FRAGMENT: u16 = u16::from_ne_bytes([0x3f, 0xff]);

/// A one's-complement sum that may still carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum(u32);

impl Sum {
    /// Starts from a partial sum (or zero).
    #[inline(always)]
    #[must_use]
    pub const fn new(word: u16) -> Self {
        Self(word as u32)
    }

    /// Adds a word. At most 65,000 words fit before [`fold`](Self::fold).
    #[inline(always)]
    #[must_use]
    pub const fn add(self, word: u16) -> Self {
        Self(self.0 + word as u32)
    }

    /// Adds two words that lie next to each other.
    #[inline(always)]
    #[must_use]
    pub const fn add_pair(self, words: u32) -> Self {
        self.add(words as u16).add((words >> 16) as u16)
    }

    /// The sum in 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn fold(self) -> u16 {
        let once = (self.0 & 0xffff) + (self.0 >> 16);
        ((once & 0xffff) + (once >> 16)) as u16
    }

    /// The checksum to put in a header: the complement of the sum (RFC 791 §3.1).
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// Sum of a header given as 32-bit pieces. Zero checksum field: what the checksum is made of. Valid checksum: 0xffff.
#[inline(always)]
#[must_use]
pub const fn sum(pieces: [u32; IPV4_LENGTH / 4]) -> Sum {
    Sum::new(0).add_pair(pieces[0]).add_pair(pieces[1]).add_pair(pieces[2]).add_pair(pieces[3]).add_pair(pieces[4])
}

/// Whether the checksum of an IPv4 header without options is right (RFC 1812 §5.2.2).
#[inline(always)]
#[must_use]
pub const fn checksum_is_valid(pieces: [u32; IPV4_LENGTH / 4]) -> bool {
    sum(pieces).fold() == 0xffff
}

/// The IPv4 checksum after the TTL went down by one (RFC 1624: `HC' = ~(~HC + ~m + m')`; RFC 1141 §2 for this step).
/// A wrong checksum stays wrong.
#[inline(always)]
#[must_use]
pub const fn checksum_after_hop(checksum: u16) -> u16 {
    // TTL is the first byte of its word: one hop less raises the complement by 0x0100.
    let raised = checksum as u32 + u16::from_ne_bytes([0x01, 0x00]) as u32;
    (raised + (raised >= 0xffff) as u32) as u16
}

/// A checksum after a word of what it covers changed (RFC 1624 §3, equation 3: `HC' = ~(~HC + ~m + m')`). A wrong checksum
/// stays wrong.
#[inline(always)]
#[must_use]
pub const fn checksum_after_change(checksum: u16, from: u16, to: u16) -> u16 {
    Sum::new(!checksum).add(!from).add(to).checksum()
}

/// What an outer header takes from the inner packet (RFC 2003 §3.1); everything else comes from the template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OuterFields {
    /// Version, header length and TOS: 0x45 and the inner TOS.
    pub version_tos: u16,
    /// Inner total length plus what the tunnel adds.
    pub total_length: u16,
    /// Zero with DF (RFC 6864 §4.1), otherwise different for each packet.
    pub identification: u16,
    /// The inner DF bit.
    pub flags: u16,
}

impl OuterFields {
    /// The fields for an inner packet to which the tunnel adds `overhead` bytes. `identification` is used only where the
    /// outer packet may be fragmented.
    #[inline(always)]
    #[must_use]
    pub const fn new(tos: u8, inner_length: u16, overhead: u16, fragment_word: u16, identification: u16) -> Self {
        let flags = fragment_word & DONT_FRAGMENT;
        Self {
            version_tos: u16::from_ne_bytes([VERSION_4_IHL_5, tos]),
            total_length: inner_length.wrapping_add(overhead).to_be(),
            identification: if flags == 0 { identification } else { 0 },
            flags,
        }
    }

    /// The outer checksum. `partial` is the sum over the template, in which TOS, total length, identification, flags and
    /// the checksum itself are zero.
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self, partial: u16) -> u16 {
        let tos = self.version_tos & u16::from_ne_bytes([0x00, 0xff]);
        Sum::new(partial).add(tos).add(self.total_length).add(self.identification).add(self.flags).checksum()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DONT_FRAGMENT, IPV4_LENGTH, OuterFields, checksum_after_change, checksum_after_hop, checksum_is_valid, sum,
    };
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    /// RFC 1071 over bytes, written for clarity and sharing nothing with the code under test.
    fn reference_checksum(header: &[u8]) -> [u8; 2] {
        let mut total: u64 = header.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1])).sum();
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        (!(total as u16)).to_be_bytes()
    }

    fn pieces(header: [u8; IPV4_LENGTH]) -> [u32; 5] {
        core::array::from_fn(|piece| {
            u32::from_ne_bytes([header[piece * 4], header[piece * 4 + 1], header[piece * 4 + 2], header[piece * 4 + 3]])
        })
    }

    fn with_checksum(mut header: [u8; IPV4_LENGTH]) -> [u8; IPV4_LENGTH] {
        header[10..12].fill(0);
        let checksum = reference_checksum(&header);
        header[10..12].copy_from_slice(&checksum);
        header
    }

    #[test]
    fn published_example_header_is_valid() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
            0x00, 0xc7,
        ];
        assert!(checksum_is_valid(pieces(header)));
    }

    #[test]
    fn hop_carries_around_at_the_top_of_the_range() {
        for checksum in [0xfeff_u16, 0xff00, 0xfefe, 0xffff, 0x0000] {
            let after = u16::from_be(checksum_after_hop(checksum.to_be()));
            let raised = u32::from(checksum) + 0x0100;
            assert_eq!(u32::from(after) % 0xffff, raised % 0xffff, "{checksum:#06x}");
        }
    }

    proptest! {
        #[test]
        fn sum_agrees_with_the_reference(header in any::<[u8; IPV4_LENGTH]>()) {
            prop_assert_eq!(sum(pieces(header)).checksum().to_ne_bytes(), reference_checksum(&header));
        }

        #[test]
        fn header_is_valid_after_a_hop(header in any::<[u8; IPV4_LENGTH]>(), ttl in 1_u8..) {
            let mut header = header;
            header[8] = ttl;
            let mut header = with_checksum(header);
            let after = checksum_after_hop(u16::from_ne_bytes([header[10], header[11]]));
            header[8] -= 1;
            header[10..12].copy_from_slice(&after.to_ne_bytes());
            prop_assert!(checksum_is_valid(pieces(header)));
        }

        #[test]
        fn header_is_valid_after_any_change(header in any::<[u8; IPV4_LENGTH]>(), at in 0_usize..9, to: [u8; 2]) {
            let mut header = with_checksum(header);
            let at = if at < 5 { at * 2 } else { at * 2 + 2 };
            let from = u16::from_ne_bytes([header[at], header[at + 1]]);
            let after = checksum_after_change(u16::from_ne_bytes([header[10], header[11]]), from, u16::from_ne_bytes(to));
            header[at..at + 2].copy_from_slice(&to);
            header[10..12].copy_from_slice(&after.to_ne_bytes());
            prop_assert!(checksum_is_valid(pieces(header)));
        }

        #[test]
        fn wrong_checksum_stays_wrong_after_a_hop(header in any::<[u8; IPV4_LENGTH]>(), ttl in 1_u8.., error in 1_u16..0xffff) {
            let mut header = header;
            header[8] = ttl;
            let mut header = with_checksum(header);
            let wrong = u16::from_ne_bytes([header[10], header[11]]).wrapping_add(error);
            header[10..12].copy_from_slice(&wrong.to_ne_bytes());
            let valid_before = checksum_is_valid(pieces(header));
            header[8] -= 1;
            header[10..12].copy_from_slice(&checksum_after_hop(wrong).to_ne_bytes());
            prop_assert_eq!(checksum_is_valid(pieces(header)), valid_before);
        }

        #[test]
        fn outer_checksum_from_the_template_equals_the_full_one(
            tos: u8, inner_length in 20_u16..=65_400, overhead in 8_u16..=40, fragment_word: u16, identification: u16, ttl: u8,
            addresses: [u8; 8],
        ) {
            let mut template = [0; IPV4_LENGTH];
            template[0] = 0x45;
            template[8] = ttl;
            template[9] = 4;
            template[12..].copy_from_slice(&addresses);
            let partial = sum(pieces(template)).fold();

            let fields = OuterFields::new(tos, inner_length, overhead, fragment_word, identification);
            let mut header = template;
            header[0..2].copy_from_slice(&fields.version_tos.to_ne_bytes());
            header[2..4].copy_from_slice(&fields.total_length.to_ne_bytes());
            header[4..6].copy_from_slice(&fields.identification.to_ne_bytes());
            header[6..8].copy_from_slice(&fields.flags.to_ne_bytes());
            header[10..12].copy_from_slice(&fields.checksum(partial).to_ne_bytes());

            prop_assert_eq!(header, with_checksum(header));
            prop_assert_eq!(header[1], tos);
            prop_assert_eq!(u16::from_be_bytes([header[2], header[3]]), inner_length + overhead);
            prop_assert_eq!(fields.identification == 0 || fragment_word & DONT_FRAGMENT == 0, true);
        }
    }
}
