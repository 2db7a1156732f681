//! What is fuzzed: a function for each decoder and each role that takes any bytes and asserts what must hold.
//!
//! * [`decoders`]: bytes are a message; nothing panics, and what was read is written back the same;
//! * [`roles`]: bytes are a sequence of events; the state stays bounded, the counters true, the denied without effect;
//! * [`mutation`]: a little fuzzing without libFuzzer, for the ordinary tests.
//!
//! `tests/replay.rs` gives the ordinary tests their share: every file below `corpus` and `crashes`, and mutations of
//! them. `cargo xtask fuzz` drives the same functions with libFuzzer, which follows the coverage.

pub mod decoders;
pub mod mutation;
pub mod roles;

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
pub const TARGETS: [Target; 11] = [
    Target { name: "messages", check: decoders::messages::check, seeds: decoders::messages::seeds },
    Target { name: "discovery", check: decoders::discovery::check, seeds: decoders::discovery::seeds },
    Target { name: "packets", check: decoders::packets::check, seeds: decoders::packets::seeds },
    Target { name: "records", check: decoders::records::check, seeds: decoders::records::seeds },
    Target { name: "radius", check: decoders::radius::check, seeds: decoders::radius::seeds },
    Target { name: "home-agent", check: roles::home_agent::check, seeds: roles::home_agent::seeds },
    Target { name: "foreign-agent", check: roles::foreign_agent::check, seeds: roles::foreign_agent::seeds },
    Target { name: "proxy", check: roles::proxy::check, seeds: roles::proxy::seeds },
    Target { name: "listener", check: roles::listener::check, seeds: roles::listener::seeds },
    Target { name: "advertiser", check: roles::advertiser::check, seeds: roles::advertiser::seeds },
    Target { name: "radius-client", check: roles::radius::check, seeds: roles::radius::seeds },
];
