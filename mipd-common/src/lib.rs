//! What the kernel programs and the agent agree on.
//!
//! * [`maps`]: the layout of every BPF map, its keys and values;
//! * [`table`]: hash tables in arrays, and where their entries are;
//! * [`packet`]: header layouts and checksum arithmetic used on both sides;
//! * [`mac`]: Ethernet addresses;
//! * [`programs`]: the kernel programs' names;
//! * [`mod@bench`]: what the programs that only measurements use are told.
//!
//! Nothing here allocates, panics or depends on the operating system.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod bench;
pub mod mac;
pub mod maps;
pub mod packet;
pub mod programs;
pub mod table;
