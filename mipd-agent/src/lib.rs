//! The agent of mipd: Proxy Mobile IP for Linux access points and routers.
//!
//! Data flows one way round: socket → [`wire`] → [`mobility`] → actions → (`io` sends, `dataplane` applies,
//! `control` shows). `mobility` never touches a socket, a clock or a map; `dataplane` knows nothing of Mobile IP messages.

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod io;
pub mod mobility;
pub mod state;
pub mod stations;
pub mod wire;
