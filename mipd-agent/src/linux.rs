//! Pieces of Linux's socket interfaces that several parts need and no crate offers.

use socket2::{SockAddr, SockAddrStorage};

/// The address of a packet socket: an interface, and an Ethernet type in host byte order; 0 = none.
pub(crate) fn link_address(ifindex: u32, protocol: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` fits in the storage and is valid for every bit pattern.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = ifindex.cast_signed();
    address.sll_halen = 6;
    // SAFETY: the storage holds an initialised `sockaddr_ll` of this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// Cuts a datagram from the kernel into its messages.
pub(crate) fn split_messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.first_chunk().copied()?) as usize;
        if length < 16 || length > bytes.len() {
            return None;
        }
        let (message, rest) = bytes.split_at(length);
        bytes = rest.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::split_messages;

    #[test]
    fn a_datagram_is_cut_at_aligned_lengths_and_garbage_ends_it() {
        let mut bytes = Vec::new();
        for (length, fill) in [(18u32, 1u8), (16, 2), (3, 3)] {
            let start = bytes.len();
            bytes.extend_from_slice(&length.to_ne_bytes());
            bytes.resize(start + (length.max(4) as usize).next_multiple_of(4), fill);
        }
        let lengths: Vec<_> = split_messages(&bytes).map(<[u8]>::len).collect();
        assert_eq!(lengths, [18, 16]);
        assert_eq!(split_messages(&[1, 2]).count(), 0);
    }
}
