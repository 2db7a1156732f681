//! The kernel programs one packet at a time: what goes in, what comes out, what was counted.
//!
//! [`object`] finds and loads the programs, [`frame`] builds packets, [`bench`] fills maps and runs a packet through a
//! program with `BPF_PROG_TEST_RUN`.

pub mod object;
