//! The Python program beside us.

use std::{
    env,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use mipd_agent::wire::authentication::Algorithm;
use serde_json::Value;

/// What `peer.py` exits with when Python has no Scapy.
const NO_SCAPY: i32 = 77;

/// `peer.py`, running. It ends when its input does.
pub struct Peer {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    // Scapy reads and writes settings in the home directory: not the user's.
    _home: tempfile::TempDir,
}

impl Peer {
    /// Starts it. `None`, and a word why, if Python or Scapy is missing.
    pub fn start() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peer.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(program).env("PYTHONPATH", packages()).env("HOME", home.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => return skip("python3 is not installed"),
            started => started.unwrap(),
        };
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut peer = Self { process, to: Some(to), from: BufReader::new(from), _home: home };
        // The simplest question tells whether it is there.
        let question =
            serde_json::json!({"op": "authenticator", "algorithm": "hmac-md5", "key": "00", "protected": ""});
        if peer.try_ask(&question).is_none() {
            let status = peer.process.wait().unwrap();
            assert_eq!(status.code(), Some(NO_SCAPY), "peer.py ended with {status}");
            return skip("Scapy is not installed; `cargo xtask setup` does it");
        }
        Some(peer)
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, question: &Value) -> Value {
        self.try_ask(question).unwrap_or_else(|| panic!("peer.py has no answer to {question}"))
    }

    fn try_ask(&mut self, question: &Value) -> Option<Value> {
        // A broken pipe shows as a missing answer.
        let _ = writeln!(self.to.as_mut()?, "{question}");
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.process.wait();
    }
}

/// Where `cargo xtask setup` put Scapy: `MIPD_PYTHON_PACKAGES`, or the cache.
fn packages() -> PathBuf {
    if let Some(directory) = env::var_os("MIPD_PYTHON_PACKAGES") {
        return directory.into();
    }
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))).unwrap_or_default();
    cache.join("mipd/python")
}

fn skip(why: &str) -> Option<Peer> {
    let test = thread::current().name().unwrap_or_default().to_owned();
    eprintln!("SKIPPED: {test}: {why}");
    None
}

/// What `peer.py` calls an algorithm.
pub fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacMd5 => "hmac-md5",
        Algorithm::Md5PrefixSuffix => "md5-prefix-suffix",
        Algorithm::Md5PrefixSuffixWithoutSpi => "md5-prefix-suffix-without-spi",
        Algorithm::HmacSha1 => "hmac-sha1",
        Algorithm::HmacSha256 => "hmac-sha256",
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The bytes of a JSON string of hexadecimal digits.
pub fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap_or_else(|| panic!("{value} is no string"));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
