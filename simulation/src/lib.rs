//! A campus in memory: access points, foreign agents, home agents and roaming clients, all on one thread, on a simulated
//! clock and network, everything from one seed.
//!
//! The roles are the agent's own; what surrounds them in the daemon and in the kernel is played by a few lines.
//!
//! * [`scenario`]: how large, how long, under which conditions; [`topology`]: addresses, keys and settings;
//! * [`world`]: the loop, the clients' ways, what fails, what hostile nodes do;
//! * [`router`], [`access_point`], [`kernel`], [`client`]: the boxes; [`disk`]: what outlives an agent;
//! * [`network`]: what becomes of messages; [`keepalive`]: the data path's answers through NATs; [`clock`], [`random`]: time and chance;
//! * [`properties`]: what must be true; [`stability`]: when nothing else is to blame; [`trace`]: what happened.

pub mod access_point;
pub mod client;
pub mod clock;
pub mod disk;
pub mod keepalive;
pub mod kernel;
pub mod network;
pub mod properties;
pub mod random;
pub mod router;
pub mod scenario;
pub mod stability;
pub mod topology;
pub mod trace;
pub mod world;

pub use scenario::Scenario;
pub use world::{Failure, Summary, World};
