//! A listening Unix socket that only its owner and group may connect to.

use std::{
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::sys::{
    socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
    stat::{Mode, fchmod},
};

use super::server::ServerError;

/// Read and write for owner and group.
const MODE: u32 = 0o660;

/// The socket's file, removed with this value unless somebody has replaced it.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if ours {
            // Nothing is left to do about a failure: the next start removes a stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds `path`. Its directory is made if missing, a socket that nobody listens on is replaced, anything else in the way
/// (a live agent, a file, a symbolic link) is left alone and refused.
pub(super) fn listen_on(path: &Path) -> Result<(UnixListener, SocketFile), ServerError> {
    let failed = |source: io::Error| ServerError::Failed { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    make_way(path)?;
    let address = UnixAddr::new(path).map_err(|error| failed(error.into()))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(|error| failed(error.into()))?;
    // Before `bind`: the file then has these permissions from its first moment (unix(7)).
    fchmod(&socket, Mode::from_bits_truncate(MODE)).map_err(|error| failed(error.into()))?;
    bind(socket.as_raw_fd(), &address).map_err(|error| failed(error.into()))?;
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
    listen(&socket, Backlog::new(16).unwrap_or(Backlog::MAXCONN)).map_err(|error| failed(error.into()))?;
    Ok((UnixListener::from(socket), file))
}

fn make_way(path: &Path) -> Result<(), ServerError> {
    let failed = |source: io::Error| ServerError::Failed { path: path.to_owned(), source };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ServerError::InTheWay { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        _ => Err(ServerError::AlreadyRunning { path: path.to_owned() }),
    }
}
