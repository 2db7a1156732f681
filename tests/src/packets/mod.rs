//! The kernel programs one packet at a time: what goes in, what comes out, what was counted.
//!
//! [`object`] finds and loads the programs, [`maps`] fills their tables and [`mod@clear`] empties them, [`mod@bench`] runs a packet
//! through a program with `BPF_PROG_TEST_RUN`, [`expect`] compares,
//! [`verifier`] tells what it costs to load them.
//!
//! Packets are built in layers: [`frame`] around [`ipv4`], which carries [`transport`] or a [`tunnel`]; [`encapsulation`]
//! knows all that belongs to one kind of tunnel, [`inner`] what tunnels must carry.

pub mod bench;
pub mod clear;
pub mod encapsulation;
pub mod expect;
pub mod frame;
pub mod inner;
pub mod ipv4;
pub mod maps;
pub mod object;
pub mod transport;
pub mod tunnel;
pub mod verifier;
