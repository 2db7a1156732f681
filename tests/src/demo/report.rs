//! The results, as `--report FILE` writes them.

use nix::sys::utsname::uname;
use serde::Serialize;
use serde_json::Value;

use super::data_path::Shares;
use super::verdict::Verdict;
use crate::agent::config::FastPath;

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub machine: Machine,
    pub fast_path: FastPath,
    pub reverse_tunnel: bool,
    pub roams: Vec<Roam>,
    pub tcp: Tcp,
    pub data_path: DataPath,
    #[serde(skip)]
    pub tables: Vec<BoxTables>,
    pub verdict: Verdict,
}

/// Where it was run.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub architecture: String,
    pub kernel: String,
    pub processors: usize,
}

impl Machine {
    pub fn this() -> Self {
        let kernel = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
        Self {
            architecture: std::env::consts::ARCH.to_owned(),
            kernel,
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// One roam.
#[derive(Debug, Serialize)]
pub(super) struct Roam {
    pub from: &'static str,
    pub to: &'static str,
    /// `bounced` or `kept`.
    pub link: &'static str,
    /// How long the client had no link.
    pub link_down_ms: f64,
    pub registered: bool,
    /// From the access point's noticing the client to its forwarding for it; at home, from the link's being up to the
    /// binding's being gone.
    pub registration_ms: Option<f64>,
    /// From the link's being up until the registration was seen from outside.
    pub registered_after_ms: Option<f64>,
    /// Longest gap in the replies, less the time between two pings and the time without a link.
    pub outage_ms: f64,
    pub packets_sent: usize,
    /// Pings without a reply, those sent while there was no link included.
    pub packets_lost: usize,
    pub packets_lost_after_registration: usize,
    pub path_up: String,
    pub path_down: String,
    pub tcp_progressed: bool,
    pub reached_from: Vec<Reachability>,
}

/// Whether a host got an answer from the client after the roam.
#[derive(Debug, Serialize)]
pub(super) struct Reachability {
    pub host: String,
    /// `null`: not at all.
    pub after_ms: Option<f64>,
}

/// The TCP connection.
#[derive(Debug, Serialize)]
pub(super) struct Tcp {
    /// Bytes that arrived, both ways together.
    pub bytes: u64,
    /// It was one connection from start to end.
    pub survived: bool,
    /// Both ends saw the same bytes.
    pub intact: bool,
    pub error: Option<String>,
}

/// Who forwarded.
#[derive(Debug, Serialize)]
pub(super) struct DataPath {
    pub interfaces: Vec<InterfaceUse>,
    /// By box, while the client was away and registered.
    pub shares: Shares,
}

/// A row of `mipd show interfaces` at the end of the run.
#[derive(Debug, Serialize)]
pub(super) struct InterfaceUse {
    #[serde(rename = "box")]
    pub box_name: String,
    #[serde(flatten)]
    pub interface: Value,
}

/// What `mipd show` says on a box while the client is away: table name and text.
#[derive(Debug)]
pub(super) struct BoxTables {
    pub box_name: String,
    pub tables: Vec<(String, String)>,
}
