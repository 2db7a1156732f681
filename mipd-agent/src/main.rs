//! The binary `mipd`.

mod kernel;

use std::process::ExitCode;

fn main() -> ExitCode {
    mipd_agent::cli::main(&kernel::Kernel)
}
