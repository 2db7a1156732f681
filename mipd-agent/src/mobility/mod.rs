//! The Mobile IPv4 roles as sans-IO state machines.
//!
//! Each role gets the time and an event and pushes actions onto a queue; it never touches a socket, a clock or a map, so
//! the same code runs in the daemon, in unit tests, under a fuzzer and in a simulation. Randomness comes from a seed.
//!
//! * [`home_agent`], [`foreign_agent`]: the two agents (RFC 5944 §3.7, §3.8);
//! * [`proxy`]: the access point, which registers on behalf of its clients;
//! * [`discovery`]: how agents make themselves known and are found (RFC 5944 §2);
//! * [`subnet_map`]: which home agent serves which subnet;
//! * [`security`]: associations, authenticators, replay protection (RFC 5944 §5);
//! * [`reverse_tunnel`]: policy on the T bit (RFC 3024);
//! * [`tunnel`]: what the agents agree on about a tunnel (RFC 2003, 2784, 2004, 3519);
//! * [`deadlines`], [`time`], [`pace`], [`link`], [`counters`], [`tally`]: timers, clocks, rates, datagrams and counts as the
//!   roles see them.

pub mod counters;
pub mod deadlines;
pub mod discovery;
pub mod foreign_agent;
pub mod home_agent;
pub mod link;
pub mod pace;
pub mod proxy;
pub mod reverse_tunnel;
pub mod security;
pub mod subnet_map;
pub mod tally;
pub mod time;
pub mod tunnel;

#[cfg(test)]
mod exchange_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod roaming_tests;
