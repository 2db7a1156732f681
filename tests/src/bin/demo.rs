//! `cargo xtask demo`: one client roams through a campus, and everything it notices is told.

use std::process::ExitCode;

fn main() -> ExitCode {
    mipd_lab::demo::main()
}
