//! Datagrams of any size, one way or the other, and whether they arrive as they were sent.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::Rng;

use crate::namespace::Namespace;
use crate::wait;

/// Sends a datagram of `length` random bytes, again until one arrives, and compares it. `source` must be an address of the
/// sending end.
pub fn arrives(
    from: (&Namespace, Ipv4Addr),
    to: (&Namespace, Ipv4Addr),
    length: usize,
    patience: Duration,
) -> Result<()> {
    let ear = to.0.enter(|| UdpSocket::bind((to.1, 0)))?.context("cannot listen")?;
    let mouth = from.0.enter(|| UdpSocket::bind((from.1, 0)))?.context("cannot bind the sender")?;
    ear.set_nonblocking(true)?;
    let target = ear.local_addr()?;
    let mut sent = vec![0; length];
    rand::rng().fill_bytes(&mut sent);
    let mut received = vec![0; length + 1];
    let arrived = wait::until(patience, || {
        mouth.send_to(&sent, target)?;
        std::thread::sleep(Duration::from_millis(20));
        Ok(ear.recv_from(&mut received).ok())
    })?;
    let (count, source) =
        arrived.with_context(|| format!("{length} bytes from {} to {} do not arrive", from.1, to.1))?;
    ensure!(source == mouth.local_addr()?, "they come from {source}");
    ensure!(received[..count] == sent[..], "they arrive changed");
    Ok(())
}
