//! What is fuzzed: a function for each decoder and each role that takes any bytes and asserts what must hold.
//!
//! * [`decoders`]: bytes are a message; nothing panics, and what was read is written back the same;
//! * [`mutation`]: a little fuzzing without libFuzzer, for the ordinary tests.
//!
//! `tests/replay.rs` gives the ordinary tests their share: every file below `corpus` and `crashes`, and mutations of
//! them. `cargo xtask fuzz` drives the same functions with libFuzzer, which follows the coverage.

pub mod decoders;
pub mod mutation;

/// Something that is fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Its name, also that of its folders below `corpus` and `crashes`.
    pub name: &'static str,
    /// Panics if anything is wrong.
    pub check: fn(&[u8]),
    /// Inputs to start from, beside the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "messages", check: decoders::messages::check, seeds: decoders::messages::seeds },
    Target { name: "discovery", check: decoders::discovery::check, seeds: decoders::discovery::seeds },
    Target { name: "packets", check: decoders::packets::check, seeds: decoders::packets::seeds },
    Target { name: "records", check: decoders::records::check, seeds: decoders::records::seeds },
];
