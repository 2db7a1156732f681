//! The owner of everything a lab creates on the machine, and its removal.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::host::Host;
use crate::namespace::{self, Namespace};
use crate::pass_program;
use crate::process::Process;
use crate::wire::Wire;

/// Where pinned BPF objects live. bpffs belongs to the mount namespace, which all boxes of a lab share.
const BPFFS: &str = "/sys/fs/bpf";
/// First part of the name of everything a lab leaves on the machine.
const PREFIX: &str = "mipd-";
/// With this variable set, a lab's folder is renamed to `kept-…` instead of removed: for finding out what went wrong.
const KEEP: &str = "MIPD_LAB_KEEP";

static NEXT: AtomicU32 = AtomicU32::new(0);
static LABS: Mutex<Vec<Cleaner>> = Mutex::new(Vec::new());

/// A lab: an id, a `wires` namespace with all the bridges that join boxes, and whatever was added to it.
///
/// Dropping it kills its processes and removes its namespaces, pins and files; so does [`Cleaner::clean`], from a signal
/// handling thread. What a killed lab left is removed when the next one starts.
#[derive(Debug)]
pub struct Lab {
    cleaner: Cleaner,
    wires: Namespace,
    pass: Arc<OwnedFd>,
}

/// The handle that can undo a lab from any thread, once or more often.
#[derive(Clone, Debug)]
pub struct Cleaner {
    id: String,
    belongings: Arc<Mutex<Belongings>>,
}

#[derive(Debug, Default)]
struct Belongings {
    namespaces: Vec<String>,
    processes: Vec<Process>,
    removed: bool,
}

impl Lab {
    /// Starts an empty lab, its id made of `label`, this process's id and a number: `mipd-demo-4711-0`.
    pub fn new(label: &str) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("the lab needs root: it creates network namespaces and loads BPF programs");
        }
        prepare_machine()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{PREFIX}{label}-{}-{number}", std::process::id());
        let cleaner = Cleaner { id, belongings: Arc::default() };
        labs().push(cleaner.clone());
        let made = || -> Result<(Namespace, OwnedFd)> {
            fs::create_dir_all(cleaner.directory())
                .with_context(|| format!("cannot create {}", cleaner.directory().display()))?;
            Ok((cleaner.create_namespace("wires")?, pass_program::load()?))
        };
        let (wires, pass) = made().inspect_err(|_| cleaner.clean())?;
        Ok(Self { cleaner, wires, pass: Arc::new(pass) })
    }

    /// The id that is part of the name of everything this lab creates.
    pub fn id(&self) -> &str {
        &self.cleaner.id
    }

    /// A folder for configurations, logs and sockets, removed with the lab.
    pub fn directory(&self) -> PathBuf {
        self.cleaner.directory()
    }

    /// A folder on bpffs for what the agents pin, removed with the lab.
    pub fn bpffs(&self) -> PathBuf {
        self.cleaner.bpffs()
    }

    /// The namespace where all wires run, and where captures are taken.
    pub fn wires(&self) -> &Namespace {
        &self.wires
    }

    /// What can undo this lab from elsewhere.
    pub fn cleaner(&self) -> Cleaner {
        self.cleaner.clone()
    }

    /// Adds a box with nothing but a loopback interface.
    pub fn host(&self, name: &str) -> Result<Host> {
        Ok(Host::new(name, self.cleaner.create_namespace(name)?))
    }

    /// Adds a wire with no ends yet.
    pub fn wire(&self, name: &str) -> Result<Wire> {
        Wire::create(name, &self.wires, &self.pass)
    }

    /// Starts a process in a namespace of the lab; it ends with the lab at the latest.
    pub fn start(&self, namespace: &Namespace, command: &mut Command) -> Result<Process> {
        self.cleaner.start(namespace, command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cleaner.clean();
        labs().retain(|cleaner| cleaner.id != self.cleaner.id);
    }
}

impl Cleaner {
    /// Kills the lab's processes and removes its namespaces, pins and files.
    pub fn clean(&self) {
        let mut belongings = self.belongings();
        belongings.removed = true;
        for process in belongings.processes.drain(..) {
            process.kill();
        }
        for name in belongings.namespaces.drain(..) {
            namespace::remove(&name);
        }
        let _ = fs::remove_dir_all(self.bpffs());
        if std::env::var_os(KEEP).is_some() {
            let _ = fs::rename(self.directory(), std::env::temp_dir().join(format!("kept-{}", self.id)));
        }
        let _ = fs::remove_dir_all(self.directory());
    }

    pub(crate) fn start(&self, namespace: &Namespace, command: &mut Command) -> Result<Process> {
        let mut belongings = self.belongings();
        if belongings.removed {
            bail!("the lab is being removed");
        }
        let process = Process::start(namespace, command)?;
        belongings.processes.push(process.clone());
        Ok(process)
    }

    fn create_namespace(&self, name: &str) -> Result<Namespace> {
        let mut belongings = self.belongings();
        if belongings.removed {
            bail!("the lab is being removed");
        }
        let full = format!("{}-{name}", self.id);
        let namespace = Namespace::create(&full)?;
        belongings.namespaces.push(full);
        Ok(namespace)
    }

    fn belongings(&self) -> MutexGuard<'_, Belongings> {
        self.belongings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self) -> PathBuf {
        std::env::temp_dir().join(&self.id)
    }

    fn bpffs(&self) -> PathBuf {
        Path::new(BPFFS).join(&self.id)
    }
}

/// Removes every lab of this process; for the thread that handles signals.
pub fn clean_all() {
    for cleaner in labs().iter() {
        cleaner.clean();
    }
}

fn labs() -> MutexGuard<'static, Vec<Cleaner>> {
    LABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sweeps, and mounts bpffs where nobody has done so; one process at a time, for two mounts would hide each other's pins.
fn prepare_machine() -> Result<()> {
    let path = std::env::temp_dir().join("mipd-lab.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    sweep();
    if statfs(BPFFS).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount bpffs at {BPFFS}; the kernel may lack BPF"))
}

/// Removes what labs of processes that no longer exist have left behind.
fn sweep() {
    for name in names_in(Path::new(namespace::DIRECTORY)).filter(|name| is_left_over(name)) {
        namespace::remove(&name);
    }
    for directory in [PathBuf::from(BPFFS), std::env::temp_dir()] {
        for name in names_in(&directory).filter(|name| is_left_over(name)) {
            let _ = fs::remove_dir_all(directory.join(name));
        }
    }
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Whether `mipd-<label>-<pid>-<number>…` names something of a lab whose process is gone.
fn is_left_over(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

fn owner(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (_label, pid, number) = (parts.next()?, parts.next()?, parts.next()?);
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_with_a_process_id_and_a_number_belong_to_a_lab() {
        assert_eq!(owner("mipd-demo-4711-0-home-ap"), Some(4711));
        assert_eq!(owner("mipd-demo-4711-0"), Some(4711));
        assert_eq!(owner("mipd-demo"), None);
        assert_eq!(owner("mipd"), None);
        assert_eq!(owner("somebody-else-4711-0"), None);
        assert_eq!(owner("mipd-schema-1-one"), None);
    }
}
