//! The lab: whole networks in network namespaces of one machine, with real kernels' stacks at every end.
//!
//! [`Lab`] owns everything (namespaces, bridges, processes, files) and removes it when dropped. [`topology`] builds the
//! networks that demo, tests and benches share; [`agent`] runs `mipd` on the boxes; [`traffic`] measures what a client
//! notices; [`capture`] records what went over a wire.
//!
//! Nothing here calls `ip`: links, addresses and routes are set by netlink, inside the namespace concerned.

pub mod agent;
pub mod capture;
pub mod demo;
pub mod host;
pub mod lab;
pub mod namespace;
pub mod offload;
pub mod packets;
pub mod pass_program;
pub mod process;
pub mod radio;
pub mod topology;
pub mod traffic;
pub mod wait;
pub mod wire;

pub use host::Host;
pub use lab::{Cleaner, Lab, clean_all};
pub use namespace::Namespace;
pub use radio::{Air, Carrier, Client};
pub use wire::Wire;
