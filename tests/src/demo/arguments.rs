//! What the demo can be told.

use std::path::PathBuf;

use clap::Parser;

use crate::agent::config::FastPath;

/// One client roams through a campus and notices nothing
///
/// Builds networks in namespaces, runs mipd on their routers and access points, and moves a client with an ordinary
/// stack through them while a TCP connection and a stream of pings run. Takes less than two minutes; needs root.
#[derive(Parser, Debug)]
#[command(name = "demo")]
pub(super) struct Arguments {
    /// How home agent, foreign agents and access points forward
    #[arg(long, value_enum, default_value_t)]
    pub fast_path: FastPath,
    /// Send the client's packets back through the tunnel, too
    #[arg(long)]
    pub reverse_tunnel: bool,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep a capture of every wire
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,
    /// Keep the agents' logs
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
}
