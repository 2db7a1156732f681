//! Cores and what processes cost.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The core of the generator, and that of the agents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// Where the load comes from.
    pub generator: usize,
    /// Where the work is done.
    pub agents: usize,
}

impl Cores {
    /// The first two that this process may use; twice the same if there is only one.
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot ask which cores there are")?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let generator = cores.next().context("there is no core")?;
        Ok(Self { generator, agents: cores.next().unwrap_or(generator) })
    }
}

/// Keeps this thread, and the threads and processes that it starts, on one core.
pub(super) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot move to core {core}"))
}

/// Does something on one core: processes that it starts stay there, while this thread comes back.
pub(super) fn on_core<T>(core: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    pin(core)?;
    let done = work();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    done
}

/// Processor time that a process's threads have used so far, by thread name.
pub(super) fn processor_time(pid: u32) -> Result<Vec<(String, Duration)>> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        // schedstat(5): nanoseconds on the processor, nanoseconds waiting, time slices.
        let statistics = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let nanoseconds = statistics.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0);
        threads.push((name.trim().to_owned(), Duration::from_nanos(nanoseconds)));
    }
    Ok(threads)
}

/// Resident memory of a process that belongs to it alone, bytes: heap and stacks, not files or maps.
pub(super) fn anonymous_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let field = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = field.and_then(|field| field.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kibibytes.context("the kernel does not tell RssAnon")? * 1024)
}
