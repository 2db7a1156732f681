//! The packets that are measured: 64 bytes long, one of their addresses different each time.

use std::net::Ipv4Addr;

use mipd_common::mac::MacAddress;

/// Length of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Length of an IPv4 header.
pub(super) const IPV4: usize = 20;
/// Length of the frames, tunnel headers not counted.
const FRAME: usize = 64;

const CHECKSUM: usize = 10;
/// Of the source address in an IPv4 header.
pub(super) const SOURCE: usize = 12;
/// Of the destination address in an IPv4 header.
pub(super) const DESTINATION: usize = 16;

/// A UDP packet of 50 bytes.
pub(super) fn packet(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut payload = vec![0; FRAME - ETHERNET - IPV4];
    let length = (payload.len() as u16).to_be_bytes();
    // From port 5000 to port 5001, without checksum.
    payload[..8].copy_from_slice(&[0x13, 0x88, 0x13, 0x89, length[0], length[1], 0, 0]);
    ipv4(source, destination, 17, &payload)
}

/// An IPv4 packet with "don't fragment".
pub(super) fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; IPV4];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&((IPV4 + payload.len()) as u16).to_be_bytes());
    packet[6] = 0x40;
    packet[8] = 64;
    packet[9] = protocol;
    packet[SOURCE..DESTINATION].copy_from_slice(&source.octets());
    packet[DESTINATION..].copy_from_slice(&destination.octets());
    write_checksum(&mut packet);
    packet.extend_from_slice(payload);
    packet
}

/// A frame with an IPv4 packet.
pub(super) fn frame(source: MacAddress, destination: MacAddress, packet: &[u8]) -> Vec<u8> {
    [&destination.0[..], &source.0, &[0x08, 0x00], packet].concat()
}

/// The address at this place.
pub(super) fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Makes the checksum of an IPv4 header right.
pub(super) fn write_checksum(header: &mut [u8]) {
    let sum = checksum_sum(header);
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!sum).to_be_bytes());
}

/// Takes the address at `field` out of an IPv4 header and puts the folded sum of the rest in the place of the checksum, for a
/// program that finishes both.
pub(super) fn leave_open(header: &mut [u8], field: usize) {
    header[field..field + 4].fill(0);
    let sum = checksum_sum(header);
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071 over an IPv4 header without options, its checksum taken as zero.
fn checksum_sum(header: &[u8]) -> u16 {
    let words = header[..IPV4].chunks(2).enumerate().filter(|(word, _)| *word != CHECKSUM / 2);
    let mut sum: u32 = words.map(|(_, pair)| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_packet_has_a_right_checksum() {
        let mut packet = packet(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 9));
        let parsed = etherparse::Ipv4HeaderSlice::from_slice(&packet).unwrap().to_header();
        assert_eq!(parsed.calc_header_checksum(), parsed.header_checksum);
        leave_open(&mut packet, DESTINATION);
        let sum = u32::from(u16::from_be_bytes([packet[10], packet[11]])) + 0xc000 + 0x0209;
        assert_eq!(!((sum & 0xffff) + (sum >> 16)) as u16, parsed.header_checksum);
    }
}
