//! hostapd's control socket: datagrams between two socket files.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixDatagram;

/// hostapd's answers are shorter than this.
pub const LARGEST: usize = 4096;

/// Our end, connected to hostapd's.
#[derive(Debug)]
pub struct HostapdSocket {
    socket: UnixDatagram,
    own: SocketFile,
    peer: PathBuf,
    /// Which file `peer` was.
    identity: Identity,
}

/// A socket file that is removed when nobody uses it any more.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl HostapdSocket {
    /// Binds `own`, where hostapd answers to, and connects to `peer`. What an agent that was killed has left at `own` is
    /// removed. A connected socket takes datagrams from its peer only, so `own` may be writable for a hostapd without
    /// privileges.
    pub fn connect(peer: &Path, own: &Path) -> io::Result<Self> {
        let identity = identity(peer)?;
        match fs::symlink_metadata(own) {
            Ok(left) if left.file_type().is_socket() => fs::remove_file(own)?,
            Ok(_) => return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is in the way", own.display()))),
            Err(_) => {}
        }
        let socket = UnixDatagram::bind(own)?;
        let own = SocketFile(own.to_owned());
        socket.connect(peer)?;
        fs::set_permissions(&own.0, fs::Permissions::from_mode(0o666))?;
        Ok(Self { socket, own, peer: peer.to_owned(), identity })
    }

    /// Sends a command; waits until there is room for it in hostapd's queue.
    pub async fn send(&self, command: &str) -> io::Result<()> {
        self.socket.send(command.as_bytes()).await.map(drop)
    }

    /// The next datagram. Cancel-safe.
    pub async fn receive(&self, buffer: &mut [u8; LARGEST]) -> io::Result<usize> {
        self.socket.recv(buffer).await
    }

    /// Whether another hostapd has taken the place of the one that we are connected to, or our own file is gone.
    pub fn is_outdated(&self) -> bool {
        identity(&self.peer).ok() != Some(self.identity) || !self.own.0.exists()
    }
}

/// Device, number, and time of the last change: numbers are given again.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}
