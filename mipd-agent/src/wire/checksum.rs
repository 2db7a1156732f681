//! The Internet checksum (RFC 1071).

/// The checksum of `parts` put one after the other; every part but the last has an even length. Over data that
/// contains a right checksum it is zero.
pub(crate) fn internet(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words.map(|word| u64::from(word[0]) << 8 | word.get(1).copied().map_or(0, u64::from)).sum();
    let mut folded = sum;
    while folded >> 16 != 0 {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !(folded as u16)
}

/// Where an IPv4 header has its checksum (RFC 791 §3.1).
const IN_IPV4: std::ops::Range<usize> = 10..12;

/// Makes the checksum of an IPv4 header right; `header` is all of it, options included.
pub(crate) fn seal_ipv4(header: &mut [u8]) {
    header[IN_IPV4].fill(0);
    let checksum = internet(&[header]);
    header[IN_IPV4].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::internet;

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        assert_eq!(internet(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn an_odd_last_byte_counts_as_the_high_half() {
        assert_eq!(internet(&[&[0x12, 0x34, 0x56]]), !(0x1234 + 0x5600));
    }

    #[test]
    fn the_reference_minimal_forwarding_header_comes_out() {
        let header = [0x06, 0x80, 0x00, 0x00, 0x0a, 0x5b, 0x07, 0x97, 0xc0, 0x00, 0x02, 0x09];
        assert_eq!(internet(&[&header]), 0x2584);
    }

    #[test]
    fn data_with_its_own_checksum_sums_to_zero() {
        assert_eq!(internet(&[&[0xab, 0xcd, 0x54, 0x32]]), 0);
    }
}
