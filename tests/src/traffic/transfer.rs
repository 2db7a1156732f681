//! One large TCP transfer, as fast as it goes, every byte of it compared.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::namespace::Namespace;

/// A prime, so that what is repeated meets every boundary of segments and buffers at another place.
const PATTERN: usize = 65_521;

/// Sends so many bytes from one namespace to an address in another; how long that took. An error if any byte is not what was
/// sent, or nothing moves for `patience`.
pub fn run(from: &Namespace, to: &Namespace, address: Ipv4Addr, bytes: u64, patience: Duration) -> Result<Duration> {
    let mut pattern = vec![0; PATTERN];
    SmallRng::seed_from_u64(bytes).fill_bytes(&mut pattern);
    let listener = to.enter(|| TcpListener::bind(SocketAddrV4::new(address, 0)))?.context("nobody listens")?;
    let target = listener.local_addr()?;
    let near = from.enter(|| TcpStream::connect_timeout(&target, patience))?.context("no connection")?;
    let (far, _) = listener.accept()?;
    near.set_write_timeout(Some(patience))?;
    far.set_read_timeout(Some(patience))?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&near, &pattern, bytes));
        let received = receive(&far, &pattern, bytes);
        // Whoever has given up must not keep the other one waiting.
        drop(far);
        let sent = sender.join().map_err(|_| anyhow!("the sender panicked"))?;
        received.context("receiving")?;
        sent.context("sending")
    })?;
    Ok(start.elapsed())
}

fn send(mut stream: &TcpStream, pattern: &[u8], bytes: u64) -> Result<()> {
    let mut left = bytes;
    while left > 0 {
        let length = pattern.len().min(usize::try_from(left)?);
        stream.write_all(&pattern[..length])?;
        left -= length as u64;
    }
    Ok(())
}

fn receive(mut stream: &TcpStream, pattern: &[u8], bytes: u64) -> Result<()> {
    let mut buffer = vec![0; PATTERN];
    let mut received = 0;
    while received < bytes {
        let at = (received % PATTERN as u64) as usize;
        let length = stream.read(&mut buffer[..PATTERN - at])?;
        ensure!(length > 0, "the connection has ended after {received} bytes");
        ensure!(buffer[..length] == pattern[at..at + length], "not what was sent, after {received} bytes");
        received += length as u64;
    }
    Ok(())
}
