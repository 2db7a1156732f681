//! The agent's end of the control socket.
//!
//! Sockets, lines and JSON are handled by tasks of their own with bounds on everything: a client that is slow, silent,
//! greedy or gone costs the daemon nothing. The daemon sees [`Request`]s one by one, and answers each from its state.

use std::{
    io,
    os::unix::net::UnixListener as StdListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    protocol::{Request, Response},
    socket::{SocketFile, listen_on},
};

/// Longest request, its line end included.
const REQUEST_LENGTH: u64 = 4096;
/// How long a connection may say nothing, or take to swallow a piece of a response.
const PATIENCE: Duration = Duration::from_secs(10);
/// A response is written in pieces of this size, each within [`PATIENCE`].
const PIECE: usize = 64 * 1024;
const CONNECTIONS: usize = 16;
/// Requests read but not yet taken by the daemon.
const QUEUE: usize = 4;

/// Why the control socket is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody answers there.
    #[error("an agent is already listening on {}: stop it first, or give this one another control-socket", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Not a socket.
    #[error("{} exists and is not a socket: remove it, or choose another control-socket", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot listen on {}: {source}; correct control-socket or the permissions of its directory", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The listening control socket. Dropping it closes all connections and removes the file.
pub struct Server {
    requests: mpsc::Receiver<(Request, Responder)>,
    accepting: JoinHandle<()>,
    _file: SocketFile,
}

impl Server {
    /// Listens on `path` (mode 0660). Must be called within a Tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Failed { path: path.to_owned(), source };
        let (listener, file): (StdListener, SocketFile) = listen_on(path)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let (sender, requests) = mpsc::channel(QUEUE);
        Ok(Self { requests, accepting: tokio::spawn(accept(listener, sender)), _file: file })
    }

    /// The next request. Cancel safe. Never completes if the socket has failed for good (which is logged).
    pub async fn next_request(&mut self) -> (Request, Responder) {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Where the answer to one request goes. Dropped without an answer, the client is told that there is none.
#[must_use = "the client waits for the answer"]
pub struct Responder(oneshot::Sender<Response>);

impl Responder {
    /// Answers. Returns at once; a client that has gone away is no error.
    pub fn send(self, response: Response) {
        // The receiver is gone only if the connection is.
        let _ = self.0.send(response);
    }
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<(Request, Responder)>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // Connections end with this set, which is dropped when the server aborts this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, requests).await {
                        tracing::debug!("control connection ended: {error}");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!("control socket: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection until the client closes it.
async fn converse(mut stream: UnixStream, requests: mpsc::Sender<(Request, Responder)>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = timeout(PATIENCE, (&mut reader).take(REQUEST_LENGTH).read_until(b'\n', &mut line)).await??;
        if length == 0 {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            let message = format!("a request is one line of at most {REQUEST_LENGTH} bytes: send a shorter one");
            return write(&mut writer, Response::Refused { message }).await;
        }
        let response = match serde_json::from_slice(&line) {
            Ok(request) => answer(request, &requests).await,
            Err(error) => {
                Response::Refused { message: format!("not a request: {error}; is mipd of the same version?") }
            }
        };
        write(&mut writer, response).await?;
    }
}

async fn answer(request: Request, requests: &mpsc::Sender<(Request, Responder)>) -> Response {
    let (sender, receiver) = oneshot::channel();
    if requests.send((request, Responder(sender))).await.is_ok()
        && let Ok(response) = receiver.await
    {
        return response;
    }
    Response::Refused { message: "the agent gave no answer: it is stopping, try again when it runs".to_owned() }
}

/// Writes one line. A table can have a million rows, so it is serialised off the daemon's thread.
async fn write(writer: &mut (impl tokio::io::AsyncWrite + Unpin), response: Response) -> io::Result<()> {
    let line = spawn_blocking(move || {
        serde_json::to_vec(&response).map(|mut line| {
            line.push(b'\n');
            line
        })
    })
    .await??;
    for piece in line.chunks(PIECE) {
        timeout(PATIENCE, writer.write_all(piece)).await??;
    }
    Ok(())
}
