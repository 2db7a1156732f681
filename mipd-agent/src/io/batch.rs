//! Many datagrams per system call (`recvmmsg`, `sendmmsg`): under load the call, not the work, is what a message costs.
//!
//! The one place where the message headers of the C interface are built.

use std::{
    io,
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// How many datagrams one call moves at most.
pub const LENGTH: usize = 64;

/// Larger than any message or frame that we read; the rest of a longer one is cut off and fails to parse.
pub const LARGEST: usize = 2048;

/// As large as a datagram can be: tunnelled data over UDP that came in fragments.
pub const LARGEST_DATAGRAM: usize = 65_535;

/// Room for the control messages of one datagram: addresses, TTL, checksum status.
const CONTROL: usize = 128;

/// Control messages must be aligned as their header is.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

struct Slot {
    control: Control,
    address: MaybeUninit<libc::sockaddr_storage>,
}

/// Buffers for one call to `recvmmsg`, used again and again.
pub struct ReceiveBatch {
    slots: Box<[Slot]>,
    /// One after the other, each of `largest` bytes.
    payloads: Box<[u8]>,
    largest: usize,
    headers: Vec<libc::mmsghdr>,
    parts: Vec<libc::iovec>,
    received: usize,
}

// SAFETY: the raw pointers in the headers lead to `slots`, `payloads` and `parts`, which the batch owns and never moves while they
// are in use; nothing is shared with another thread.
unsafe impl Send for ReceiveBatch {}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBatch").field("received", &self.received).finish_non_exhaustive()
    }
}

/// One datagram of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it carries.
    pub payload: &'a [u8],
    /// The sender, as the socket's family writes it.
    address: &'a libc::sockaddr_storage,
    header: &'a libc::msghdr,
}

impl ReceiveBatch {
    /// Empty buffers for messages and frames, about 140 KiB.
    pub fn new() -> Self {
        Self::of(LARGEST)
    }

    /// Empty buffers for whatever a UDP socket may get: 4 MiB, of which the machine gives what is used.
    pub fn for_datagrams() -> Self {
        Self::of(LARGEST_DATAGRAM)
    }

    fn of(largest: usize) -> Self {
        let slot = || Slot { control: Control([0; CONTROL]), address: MaybeUninit::zeroed() };
        let slots = std::iter::repeat_with(slot).take(LENGTH).collect();
        let payloads = vec![0; LENGTH * largest].into_boxed_slice();
        let (headers, parts) = (Vec::with_capacity(LENGTH), Vec::with_capacity(LENGTH));
        Self { slots, payloads, largest, headers, parts, received: 0 }
    }

    /// Reads what is there, at most [`LENGTH`] datagrams, without waiting. Says how many.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received = 0;
        self.headers.clear();
        self.parts.clear();
        for payload in self.payloads.chunks_exact_mut(self.largest) {
            self.parts.push(libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: self.largest });
        }
        for (slot, part) in self.slots.iter_mut().zip(&mut self.parts) {
            // SAFETY: all-zero is a valid `mmsghdr`, whose padding differs between C libraries.
            let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
            header.msg_hdr.msg_name = slot.address.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
            self.headers.push(header);
        }
        // SAFETY: every header points to buffers of the stated sizes, which `self` owns and holds still.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                LENGTH as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// The datagrams of the last call.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        let payloads = self.payloads.chunks_exact(self.largest);
        self.slots[..self.received].iter().zip(payloads).zip(&self.headers).map(|((slot, payload), header)| Message {
            payload: &payload[..(header.msg_len as usize).min(self.largest)],
            // SAFETY: it was zeroed when made, and all-zero is valid; the kernel wrote an address over it.
            address: unsafe { slot.address.assume_init_ref() },
            header: &header.msg_hdr,
        })
    }
}

impl Message<'_> {
    /// The sender of an IPv4 datagram: address in network byte order, port in host byte order.
    pub fn ipv4_source(&self) -> ([u8; 4], u16) {
        // SAFETY: `sockaddr_storage` is as large and as aligned as any address, and every bit pattern is a valid
        // `sockaddr_in`.
        let address = unsafe { &*ptr::from_ref(self.address).cast::<libc::sockaddr_in>() };
        (address.sin_addr.s_addr.to_ne_bytes(), u16::from_be(address.sin_port))
    }

    /// Calls `visit` with level, type and data of each control message.
    pub fn control(&self, mut visit: impl FnMut(libc::c_int, libc::c_int, &[u8])) {
        // SAFETY: the kernel filled the control buffer, which the batch still owns, and set its length.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(self.header) };
        // SAFETY: null or a header inside the control buffer.
        while let Some(header) = unsafe { next.as_ref() } {
            // SAFETY: arithmetic only.
            let overhead = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "musl has a narrower type here")]
            let length = (header.cmsg_len as usize).saturating_sub(overhead);
            // SAFETY: the kernel wrote `length` bytes there.
            let data = unsafe { std::slice::from_raw_parts(libc::CMSG_DATA(next), length) };
            visit(header.cmsg_level, header.cmsg_type, data);
            // SAFETY: both belong to the same message.
            next = unsafe { libc::CMSG_NXTHDR(self.header, next) };
        }
    }
}

/// An IPv4 datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What it carries.
    pub payload: &'a [u8],
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// Destination port, host byte order.
    pub port: u16,
    /// TTL.
    pub ttl: u8,
}

/// Buffers for one call to `sendmmsg`, used again and again.
#[derive(Default)]
pub struct SendBatch {
    controls: Vec<Control>,
    addresses: Vec<libc::sockaddr_in>,
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the raw pointers in the buffers are used within one call only.
unsafe impl Send for SendBatch {}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendBatch")
    }
}

impl SendBatch {
    /// Sends at most [`LENGTH`] datagrams from a UDP socket, without waiting. Says how many went out: if fewer than given,
    /// the next one cannot be sent now, and a call that begins with it tells why.
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = Outgoing<'a>>,
    ) -> io::Result<usize> {
        self.controls.clear();
        self.addresses.clear();
        self.parts.clear();
        self.headers.clear();
        for datagram in datagrams.take(LENGTH) {
            self.controls.push(control(&datagram));
            // SAFETY: all-zero is a valid `sockaddr_in`, which has padding.
            let mut address: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
            address.sin_family = libc::AF_INET as libc::sa_family_t;
            address.sin_port = datagram.port.to_be();
            address.sin_addr.s_addr = u32::from_ne_bytes(datagram.destination);
            self.addresses.push(address);
            self.parts.push(libc::iovec {
                iov_base: datagram.payload.as_ptr().cast_mut().cast(),
                iov_len: datagram.payload.len(),
            });
        }
        for ((control, address), part) in self.controls.iter_mut().zip(&mut self.addresses).zip(&mut self.parts) {
            // SAFETY: all-zero is a valid `mmsghdr`.
            let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
            header.msg_hdr.msg_name = ptr::from_mut(address).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control_length() as _;
            self.headers.push(header);
        }
        if self.headers.is_empty() {
            return Ok(0);
        }
        // SAFETY: every header points to live buffers of the stated sizes; the kernel only reads the payloads.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as _,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Source address and TTL as control messages (`ip(7)`: `IP_PKTINFO`, `IP_TTL`).
fn control(datagram: &Outgoing<'_>) -> Control {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(datagram.source) },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let mut control = Control([0; CONTROL]);
    // SAFETY: all-zero is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control_length() as _;
    // SAFETY: the buffer holds two messages of these sizes (`control_length`), aligned as their headers must be.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        put(first, libc::IP_PKTINFO, info);
        put(libc::CMSG_NXTHDR(&raw const header, first), libc::IP_TTL, libc::c_int::from(datagram.ttl));
    }
    control
}

/// Fills one control message of level `IPPROTO_IP`.
///
/// # Safety
///
/// `header` must lead to a control message header with room for a `T` behind it.
unsafe fn put<T>(header: *mut libc::cmsghdr, kind: libc::c_int, value: T) {
    // SAFETY: the caller's promise; data may be unaligned for a `T`.
    unsafe {
        (*header).cmsg_level = libc::IPPROTO_IP;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
    }
}

fn control_length() -> usize {
    // SAFETY: arithmetic only.
    unsafe {
        (libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) + libc::CMSG_SPACE(size_of::<libc::c_int>() as u32))
            as usize
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use super::{LENGTH, Outgoing, ReceiveBatch, SendBatch};

    #[test]
    fn many_datagrams_cross_in_few_calls_and_in_order() {
        let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let port = receiver.local_addr().unwrap().port();
        let payloads: Vec<[u8; 2]> = (0..100u16).map(u16::to_be_bytes).collect();
        let mut batch = SendBatch::default();
        let mut sent = 0;
        while sent < payloads.len() {
            let rest = payloads[sent..].iter().map(|payload| Outgoing {
                payload,
                source: [127, 0, 0, 1],
                destination: [127, 0, 0, 1],
                port,
                ttl: 64,
            });
            sent += batch.send(sender.as_fd(), rest).unwrap();
        }
        let mut batch = ReceiveBatch::new();
        let mut received = Vec::new();
        while received.len() < payloads.len() {
            let count = batch.receive(receiver.as_fd()).unwrap();
            assert!(count <= LENGTH);
            for message in batch.messages() {
                assert_eq!(message.ipv4_source(), ([127, 0, 0, 1], sender.local_addr().unwrap().port()));
                received.push(<[u8; 2]>::try_from(message.payload).unwrap());
            }
        }
        assert_eq!(received, payloads);
        assert_eq!(batch.receive(receiver.as_fd()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(batch.messages().count(), 0);
    }

    #[test]
    fn large_datagrams_arrive_whole_where_they_are_expected_and_cut_off_elsewhere() {
        let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let large: Vec<u8> = (0..60_000u32).map(|index| index as u8).collect();
        for (mut batch, length) in [(ReceiveBatch::for_datagrams(), large.len()), (ReceiveBatch::new(), super::LARGEST)]
        {
            for payload in [&large[..], b"small"] {
                sender.send_to(payload, receiver.local_addr().unwrap()).unwrap();
            }
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 2);
            let payloads: Vec<_> = batch.messages().map(|message| message.payload).collect();
            assert_eq!(payloads, [&large[..length], b"small"]);
        }
    }

    #[test]
    fn nothing_to_send_is_no_call() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(SendBatch::default().send(socket.as_fd(), std::iter::empty()).unwrap(), 0);
    }
}
