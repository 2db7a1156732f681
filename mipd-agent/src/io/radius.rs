//! The socket for one RADIUS server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{MsgFlags, send};
use tokio::net::UdpSocket;
use zeroize::Zeroizing;

use crate::wire::radius::MAXIMUM_LENGTH;

/// A UDP socket connected to a server: datagrams of anybody else end in the kernel.
#[derive(Debug)]
pub struct RadiusSocket(UdpSocket);

impl RadiusSocket {
    /// Opens the socket on a free port. Fails if there is no route to the server.
    pub fn open(server: SocketAddrV4) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(SocketAddr::V4(server))?;
        socket.set_nonblocking(true)?;
        Ok(Self(UdpSocket::from_std(socket)?))
    }

    /// Sends a packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        // The runtime's own way fails until it has noticed that a new socket can be written to.
        send(self.0.as_raw_fd(), packet, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// The next datagram, which may hold keys in clear. Cancel-safe. An error is one that came back for something sent.
    pub async fn receive(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(vec![0; MAXIMUM_LENGTH]);
        let length = self.0.recv(&mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_is_heard() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let SocketAddr::V4(address) = server.local_addr().unwrap() else { unreachable!() };
            let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let socket = RadiusSocket::open(address).unwrap();
            socket.send(b"question").unwrap();
            let mut buffer = [0; 16];
            let (length, client) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"question");
            // The kernel may tell the stranger that nobody listens.
            let _ = stranger.send_to(b"forged", client).await;
            server.send_to(b"answer", client).await.unwrap();
            assert_eq!(socket.receive().await.unwrap().as_slice(), b"answer");
        });
    }
}
