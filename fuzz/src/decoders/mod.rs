//! Decoders: whatever the bytes, there is no panic; what was read survives being written and read again.

pub mod discovery;
pub mod messages;
pub mod packets;
pub mod radius;
pub mod records;

/// The Internet checksum (RFC 1071) of bytes whose checksum field is zero. Written here once more, so that a wrong one in
/// the agent does not excuse itself.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
