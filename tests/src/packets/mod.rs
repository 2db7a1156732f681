//! The kernel programs one packet at a time: what goes in, what comes out, what was counted.
//!
//! [`object`] finds and loads the programs, [`frame`] builds packets, [`maps`] fills the tables, [`mod@bench`] runs a packet
//! through a program with `BPF_PROG_TEST_RUN` and compares, [`verifier`] tells what it costs to load them.

pub mod bench;
pub mod frame;
pub mod maps;
pub mod object;
pub mod verifier;
