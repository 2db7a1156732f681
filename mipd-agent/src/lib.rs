//! The agent of mipd: Proxy Mobile IP for Linux access points and routers.
//!
//! Data flows one way round: socket → [`wire`] → [`mobility`] → actions → (`io` sends, `dataplane` applies,
//! `control` shows). `mobility` never touches a socket, a clock or a map; `dataplane` knows nothing of Mobile IP messages.
//!
//! Without the feature `daemon` there are `wire`, `mobility` and `stations` alone.

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod control;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod dataplane;
#[cfg(feature = "daemon")]
pub mod io;
#[cfg(feature = "daemon")]
mod linux;
pub mod mobility;
#[cfg(feature = "daemon")]
pub mod state;
pub mod stations;
pub mod wire;
#[cfg(feature = "daemon")]
pub mod wireless;
