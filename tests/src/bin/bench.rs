//! `cargo xtask bench`: how fast the agents are.

use std::process::ExitCode;

fn main() -> ExitCode {
    mipd_lab::bench::main()
}
