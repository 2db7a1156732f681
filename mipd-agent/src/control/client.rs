//! The command line's end of the control socket. Blocking, with a time limit on each step.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::protocol::{Request, Response};

/// How long the agent may take to answer, or pause while it does.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no agent is listening on {}: start it with `mipd run`", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Not for this user.
    #[error("not allowed to use {}: run as root, or as a member of its group", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// It is there and silent.
    #[error("the agent on {} does not answer within {} s: look at its log", path.display(), PATIENCE.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// It answers with something else.
    #[error("the agent on {} answers in a form this mipd does not know: run the mipd that the agent was started from", path.display())]
    Incomprehensible {
        /// The socket.
        path: PathBuf,
    },
    /// Anything else.
    #[error("talking to the agent on {} failed: {source}; try again", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A connection to the agent.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the agent that listens on `path`.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Self { path: path.to_owned(), stream: BufReader::new(stream) })
        };
        connect().map_err(|error| explain(path, error))
    }

    /// Asks, and waits for the answer.
    pub fn request(&mut self, request: &Request) -> Result<Response, ClientError> {
        let mut line = Vec::new();
        let mut exchange = || {
            let mut text = serde_json::to_vec(request)?;
            text.push(b'\n');
            self.stream.get_mut().write_all(&text)?;
            self.stream.read_until(b'\n', &mut line)
        };
        exchange().map_err(|error| explain(&self.path, error))?;
        if line.is_empty() {
            return Err(ClientError::NotRunning { path: self.path.clone() });
        }
        serde_json::from_slice(&line).map_err(|_| ClientError::Incomprehensible { path: self.path.clone() })
    }
}

fn explain(path: &Path, source: io::Error) -> ClientError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { path },
        io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path },
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent { path },
        _ => ClientError::Failed { path, source },
    }
}
