//! The lab: whole networks in network namespaces of one machine, with real kernels' stacks at every end.
//!
//! [`Lab`] owns everything (namespaces, bridges, processes, files) and removes it when dropped. [`topology`] builds the
//! networks that demo, tests and benches share; [`agent`] runs `mipd` on the boxes; [`deployment`] puts both together;
//! [`wifi`] has real associations on simulated radios;
//! [`radius`] runs `FreeRADIUS`, [`dhcp`] DHCP servers and clients, [`scapy`] Scapy; [`translator`] is a NAT; [`traffic`] measures what a client notices; [`capture`] records what went over a wire;
//! [`chain`] is the data path alone, between two routers without agents;
//! [`mod@bench`] measures how fast it all is.
//!
//! Nothing here calls `ip`: links, addresses and routes are set by netlink, inside the namespace concerned.

pub mod agent;
pub mod bench;
pub mod cable;
pub mod capture;
pub mod chain;
pub mod demo;
pub mod deployment;
pub mod dhcp;
pub mod fingerprint;
pub mod host;
pub mod interrupt;
pub mod lab;
pub mod meeting;
pub mod namespace;
pub mod offload;
pub mod packets;
pub mod pass_program;
pub mod process;
pub mod radio;
pub mod radius;
pub mod scapy;
pub mod topology;
pub mod traffic;
pub mod translator;
pub mod tun;
pub mod wait;
pub mod wifi;
pub mod wire;

pub use host::Host;
pub use lab::{Cleaner, Lab, clean_all};
pub use namespace::Namespace;
pub use radio::{Air, Carrier, Client};
pub use wire::Wire;

/// Waits until no other test of this program uses a lab with agents, and holds the others up as long as it lives. So
/// many boxes at once would only measure the machine.
pub fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether a lab can be built here. If not, says why in the words by which `cargo xtask test` counts a test as skipped.
pub fn available() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: the lab needs root; use `cargo xtask test`");
    }
    root
}
