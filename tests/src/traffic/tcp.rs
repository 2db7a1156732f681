//! One TCP connection that lives through everything, with different data each way and checksums over all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::namespace::Namespace;
use crate::wait;

const PORT: u16 = 9000;
const CHUNK: usize = 8192;
/// One chunk each way per pause: 0.8 MB/s, some 700 full packets a second each way.
const PAUSE: Duration = Duration::from_millis(10);

/// The connection between a client and a correspondent, sending both ways until [`finish`](Self::finish).
#[derive(Debug)]
pub struct Connection {
    stop: Arc<AtomicBool>,
    up: Direction,
    down: Direction,
}

/// One way of the connection: its two threads, and what they have counted.
#[derive(Debug)]
struct Direction {
    received: Arc<AtomicU64>,
    sender: JoinHandle<std::io::Result<Tally>>,
    receiver: JoinHandle<std::io::Result<Tally>>,
}

/// How many bytes, and their FNV-1a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Tally {
    bytes: u64,
    hash: u64,
}

/// What the connection came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Bytes from client to correspondent.
    pub bytes_up: u64,
    /// Bytes from correspondent to client.
    pub bytes_down: u64,
    /// Whether both ends saw the same bytes in both directions.
    pub intact: bool,
}

impl Connection {
    /// Connects from one namespace to a listener in another.
    pub fn open(client: &Namespace, correspondent: &Namespace, address: Ipv4Addr) -> Result<Self> {
        let listener = correspondent.enter(|| TcpListener::bind(SocketAddrV4::new(address, PORT)))?;
        let listener = listener.context("the correspondent cannot listen")?;
        let target = SocketAddrV4::new(address, PORT).into();
        let near = client.enter(|| TcpStream::connect_timeout(&target, Duration::from_secs(5)))?;
        let near = near.context("the client cannot connect to the correspondent")?;
        let (far, _) = listener.accept()?;
        let stop = Arc::new(AtomicBool::new(false));
        let up = Direction::start(near.try_clone()?, far.try_clone()?, 1, &stop)?;
        let down = Direction::start(far, near, 2, &stop)?;
        Ok(Self { stop, up, down })
    }

    /// Bytes that arrived so far: up, down.
    pub fn received(&self) -> (u64, u64) {
        (self.up.received.load(Ordering::Relaxed), self.down.received.load(Ordering::Relaxed))
    }

    /// Waits until fresh bytes have arrived both ways: `amount` more than now. Returns how long that took.
    pub fn progresses(&self, amount: u64, patience: Duration) -> Result<Option<Duration>> {
        let start = Instant::now();
        let (up, down) = self.received();
        wait::until(patience, || {
            let (up_now, down_now) = self.received();
            Ok((up_now >= up + amount && down_now >= down + amount).then(|| start.elapsed()))
        })
    }

    /// Stops sending, lets everything arrive, and compares both ends.
    pub fn finish(self, patience: Duration) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let all = || [&self.up.sender, &self.up.receiver, &self.down.sender, &self.down.receiver];
        let ended = wait::until(patience, || Ok(all().iter().all(|thread| thread.is_finished()).then_some(())))?;
        if ended.is_none() {
            bail!("the TCP connection has not come to its end within {patience:?}");
        }
        let (sent_up, received_up) = self.up.join()?;
        let (sent_down, received_down) = self.down.join()?;
        Ok(Outcome {
            bytes_up: received_up.bytes,
            bytes_down: received_down.bytes,
            intact: sent_up == received_up && sent_down == received_down,
        })
    }
}

impl Direction {
    fn start(from: TcpStream, to: TcpStream, seed: u64, stop: &Arc<AtomicBool>) -> Result<Self> {
        let received = Arc::new(AtomicU64::new(0));
        let (progress, stopped) = (Arc::clone(&received), Arc::clone(stop));
        let sender = std::thread::Builder::new().name("tcp send".into()).spawn(move || send(from, seed, &stopped))?;
        let receiver = std::thread::Builder::new().name("tcp receive".into()).spawn(move || receive(to, &progress))?;
        Ok(Self { received, sender, receiver })
    }

    fn join(self) -> Result<(Tally, Tally)> {
        let ended = |thread: JoinHandle<std::io::Result<Tally>>| {
            thread.join().map_err(|_| anyhow!("a traffic thread panicked"))?.context("the TCP connection broke")
        };
        Ok((ended(self.sender)?, ended(self.receiver)?))
    }
}

fn send(mut stream: TcpStream, seed: u64, stop: &AtomicBool) -> std::io::Result<Tally> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut chunk = [0; CHUNK];
    let mut tally = Tally::new();
    while !stop.load(Ordering::Relaxed) {
        random.fill_bytes(&mut chunk);
        stream.write_all(&chunk)?;
        tally.add(&chunk);
        std::thread::sleep(PAUSE);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(tally)
}

fn receive(mut stream: TcpStream, progress: &AtomicU64) -> std::io::Result<Tally> {
    let mut buffer = [0; CHUNK];
    let mut tally = Tally::new();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(tally),
            Ok(length) => tally.add(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        progress.store(tally.bytes, Ordering::Relaxed);
    }
}

impl Tally {
    const fn new() -> Self {
        Self { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn a_tally_notices_a_changed_a_missing_and_a_swapped_byte() {
        let tally = |bytes: &[u8]| {
            let mut tally = Tally::new();
            tally.add(bytes);
            tally
        };
        let whole = tally(b"mobile");
        assert_ne!(whole, tally(b"mobilf"));
        assert_ne!(whole, tally(b"mobil"));
        assert_ne!(whole, tally(b"ombile"));
        let mut in_pieces = tally(b"mob");
        in_pieces.add(b"ile");
        assert_eq!(whole, in_pieces);
    }
}
