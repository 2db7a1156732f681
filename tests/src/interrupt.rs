//! Ctrl-C and SIGTERM: everything the lab made is removed, then the process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Takes the signals over, from all threads started afterwards as well.
pub fn handle(program: &'static str) -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("cannot block signals")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.wait().is_ok() {
            CAUGHT.store(true, Ordering::SeqCst);
            eprintln!("\n{program}: interrupted, cleaning up");
            crate::clean_all();
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}

/// After a failure: if a signal is what caused it, its thread ends the process when everything is clean.
pub fn leave_the_exit_to_it() {
    while CAUGHT.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::from_secs(1));
    }
}
