//! A named network namespace: created, entered, and used to start processes in.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{Handle, LinkUnspec, new_connection};

/// Where `ip netns` looks for named namespaces.
pub const DIRECTORY: &str = "/run/netns";

/// A network namespace mounted at `/run/netns/<name>`, so that `ip netns exec <name> …` works on it too.
///
/// Cheap to clone. It does not remove itself: the [`Lab`](crate::Lab) that created it does.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Creates the namespace, with loopback up and IPv6 off (its chatter would litter every capture).
    pub(crate) fn create(name: &str) -> Result<Self> {
        let path = path_of(name);
        fs::create_dir_all(DIRECTORY)
            .with_context(|| format!("cannot create {DIRECTORY}; the lab must run as root"))?;
        File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let created = on_fresh_thread(|| -> Result<()> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace; the lab must run as root")?;
            mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .with_context(|| format!("cannot mount a namespace at {}", path.display()))
        });
        let opened = created.and_then(|()| {
            let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            Ok(Self { name: name.to_owned(), file: Arc::new(file) })
        });
        let namespace = opened.inspect_err(|_| remove(name))?;
        namespace.prepare_interfaces()?;
        Ok(namespace)
    }

    /// Creates a namespace that no file names: it ends with its last user. Like a named one otherwise.
    pub fn anonymous(label: &str) -> Result<Self> {
        let file = on_fresh_thread(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace; that takes root")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        })?;
        let namespace = Self { name: label.to_owned(), file: Arc::new(file) };
        namespace.prepare_interfaces()?;
        Ok(namespace)
    }

    fn prepare_interfaces(&self) -> Result<()> {
        for scope in ["all", "default"] {
            let key = format!("net/ipv6/conf/{scope}/disable_ipv6");
            if Path::new("/proc/sys").join(&key).exists() {
                self.set_sysctl(&key, "1")?;
            }
        }
        self.netlink(|handle| async move {
            handle
                .link()
                .set(LinkUnspec::new_with_name("lo").up().build())
                .execute()
                .await
                .context("cannot bring up lo")
        })
    }

    /// The full name, lab id included: what `ip netns exec` takes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The descriptor by which netlink moves links here.
    pub(crate) fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `work` on a fresh thread inside the namespace. The calling thread stays where it is.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        on_fresh_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("cannot enter namespace {}", self.name))?;
            Ok(work())
        })
    }

    /// Runs `work` with a netlink connection of the namespace.
    pub fn netlink<T: Send, F: Future<Output = Result<T>>>(&self, work: impl FnOnce(Handle) -> F + Send) -> Result<T> {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (connection, handle, _) = new_connection().context("cannot open a netlink socket")?;
                tokio::spawn(connection);
                work(handle).await
            })
        })?
        .with_context(|| format!("in namespace {}", self.name))
    }

    /// Makes `command` start inside the namespace, in a process group of its own (a terminal's Ctrl-C is for the lab to
    /// handle), with no blocked signals, and killed by the kernel should the starting thread die.
    pub fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let namespace = Arc::clone(&self.file);
        command.process_group(0);
        // SAFETY: the closure runs in the forked child and makes system calls only; it neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                nix::sys::signal::SigSet::empty().thread_set_mask()?;
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                Ok(())
            })
        }
    }

    /// Runs a command inside the namespace to its end.
    pub fn output(&self, command: &mut Command) -> io::Result<Output> {
        self.prepare(command).stdin(Stdio::null()).output()
    }

    /// Writes `/proc/sys/<key>` as seen from inside.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("cannot set {} to {value} in namespace {}", path.display(), self.name))
    }

    /// Reads `/proc/sys/<key>` as seen from inside.
    pub fn sysctl(&self, key: &str) -> Result<String> {
        let path = Path::new("/proc/sys").join(key);
        let value =
            self.enter(|| fs::read_to_string(&path))?.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(value.trim().to_owned())
    }

    /// One of the kernel's own IPv4 counters (`/proc/net/snmp`, group `Ip`), such as `ForwDatagrams`.
    pub fn ip_counter(&self, name: &str) -> Result<u64> {
        let text = self.enter(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, values) = lines.next().zip(lines.next()).context("/proc/net/snmp has no Ip group")?;
        let position = names.split(' ').position(|column| column == name);
        position
            .and_then(|position| values.split(' ').nth(position))
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("/proc/net/snmp has no counter Ip {name}"))
    }

    /// Frames received and sent by an interface as the kernel counts them (`/proc/net/dev`).
    pub fn interface_packets(&self, interface: &str) -> Result<(u64, u64)> {
        let text = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let columns = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == interface)
            .map(|(_, columns)| {
                columns.split_whitespace().filter_map(|column| column.parse().ok()).collect::<Vec<u64>>()
            })
            .with_context(|| format!("namespace {} has no interface {interface}", self.name))?;
        Ok((columns[1], columns[9]))
    }
}

/// Unmounts and unlinks a namespace by name; says nothing when there is nothing to remove.
pub(crate) fn remove(name: &str) {
    let path = path_of(name);
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(&path);
}

fn path_of(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Runs `work` on a thread whose namespace may be changed freely, and hands its panic on.
fn on_fresh_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => anyhow!("a lab thread panicked: {message}"),
        Err(_) => anyhow!("a lab thread panicked"),
    })?
}
