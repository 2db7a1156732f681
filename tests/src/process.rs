//! A process the lab started: stopped by its own handle, never by name, and never left behind.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace::Namespace;
use crate::wait;

/// A running child. Dropping it kills and reaps it.
#[derive(Clone, Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    name: String,
}

impl Process {
    pub(crate) fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = namespace.prepare(command).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child: Arc::new(Mutex::new(child)), name })
    }

    /// Exclusive access to the child, for instance to take its pipes.
    pub fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exit status, once it has ended.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(self.child().try_wait()?)
    }

    /// Sends a signal; does nothing to a process that has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            kill(Pid::from_raw(child.id().cast_signed()), signal)?;
        }
        Ok(())
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        self.signal(signal)?;
        wait::until(patience, || self.ended())?
            .with_context(|| format!("{} has not ended {patience:?} after {signal}", self.name))
    }

    /// SIGKILL, and reaps.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The lab's own list holds one handle as well; whoever uses the process holds at least another.
        if Arc::strong_count(&self.child) <= 2 {
            self.kill();
        }
    }
}
