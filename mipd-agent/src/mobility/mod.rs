//! The Mobile IPv4 roles as sans-IO state machines.
//!
//! Each role gets the time and an event and pushes actions onto a queue; it never touches a socket, a clock or a map, so
//! the same code runs in the daemon, in unit tests, under a fuzzer and in a simulation. Randomness comes from a seed.

pub mod link;
pub mod time;
