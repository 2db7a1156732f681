//! Datagrams of unusual shape, and who gets them.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::{Host, wait};

const PATIENCE: Duration = Duration::from_secs(10);
/// Where they go.
pub const PORT: u16 = 4711;

/// What is unusual about a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Nothing.
    Plain,
    /// Its IP header has options.
    Options,
    /// So many bytes of payload, to be fragmented wherever it must be.
    Long(usize),
    /// It may make so many hops.
    Ttl(u32),
}

/// Listens on a host.
pub struct Ear(UdpSocket);

impl Ear {
    pub fn open(host: &Host) -> Result<Self> {
        let socket = host.namespace().enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))??;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Everything that has come: first byte and length.
    pub fn heard(&self) -> Vec<(u8, usize)> {
        let mut buffer = [0; 9000];
        std::iter::from_fn(|| self.0.recv(&mut buffer).ok().map(|length| (buffer[0], length))).collect()
    }
}

/// Sends a datagram that begins with `mark`.
pub fn send(from: &Host, to: Ipv4Addr, mark: u8, shape: Shape) -> Result<()> {
    let socket = from.namespace().enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    // Never "don't fragment".
    set_option(&socket, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DONT.to_ne_bytes())?;
    let mut length = 64;
    match shape {
        Shape::Plain => {}
        Shape::Options => set_option(&socket, libc::IP_OPTIONS, &[1, 1, 1, 1])?,
        Shape::Long(bytes) => length = bytes,
        Shape::Ttl(hops) => socket.set_ttl(hops)?,
    }
    socket.send_to(&vec![mark; length], (to, PORT))?;
    Ok(())
}

/// Sends a datagram of each shape until it is heard; whatever else is heard is a mistake.
pub fn arrive(from: &Host, to: Ipv4Addr, mark: u8, ear: &Ear, shapes: &[Shape]) -> Result<()> {
    for &shape in shapes {
        let heard = wait::until(PATIENCE, || {
            send(from, to, mark, shape)?;
            let heard = ear.heard();
            ensure!(heard.iter().all(|(whose, _)| *whose == mark), "somebody else's datagrams: {heard:?}");
            let length = if let Shape::Long(length) = shape { length } else { 64 };
            Ok(heard.iter().any(|(_, heard)| *heard == length).then_some(()))
        })?;
        heard.with_context(|| format!("{shape:?} from {} does not arrive", from.name()))?;
    }
    Ok(())
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: &[u8]) -> Result<()> {
    // SAFETY: the pointer and the length are those of a live slice.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    ensure!(result == 0, "socket option {option}: {}", std::io::Error::last_os_error());
    Ok(())
}
