//! Another kernel for this machine's programs: a Debian kernel in QEMU, whose files are this machine's.
//!
//! The guest sees `/` as it is here, read-only under a layer of memory, has no network card, and runs one command as root.
//! Everything is emulated, so it works where machines cannot nest and needs no root here; throughput in it means nothing.
//!
//! * [`clock`] knows how fast a guest's clock runs;
//! * [`packages`] downloads kernels, [`kernels`] keeps them unpacked in the cache,
//! * [`initramfs`] is what such a kernel starts with, [`script`] what it runs,
//! * [`Guest`] starts QEMU.

mod clock;
mod initramfs;
mod kernels;
mod packages;
mod script;

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub use kernels::{Kernel, Line};

use crate::command;

/// Where a command finds the directory that a guest shares with us.
pub const JOB_DIRECTORY: &str = "/job";
/// The emulator of this machine's processor.
const QEMU: &str = "qemu-system-x86_64";
/// How `timeout` says that time was up.
const TIMED_OUT: i32 = 124;
/// How much of a console is shown when a guest fails.
const CONSOLE_LINES: usize = 15;

/// A machine to run one command on.
pub struct Guest<'a> {
    kernel: &'a Kernel,
    directory: PathBuf,
    processors: u8,
    limit: Duration,
    counts_instructions: bool,
    modules: Vec<&'a str>,
}

/// What came of the command.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status; 128 and more for signals.
    pub status: i32,
    /// What it wrote to standard output and standard error.
    pub output: String,
}

impl<'a> Guest<'a> {
    /// With one processor, five minutes and no modules. `directory` is made anew, is `/job` in the guest, and holds the
    /// console's log afterwards; what else is in it the command has put there.
    pub fn new(kernel: &'a Kernel, directory: PathBuf) -> Self {
        let limit = Duration::from_secs(300);
        Self { kernel, directory, processors: 1, limit, counts_instructions: false, modules: Vec::new() }
    }

    /// With so many processors.
    #[must_use]
    pub fn processors(mut self, processors: u8) -> Self {
        self.processors = processors;
        self
    }

    /// For at most this long. A guest that takes longer is killed.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Lets the guest's clock advance by one nanosecond per instruction, compiled BPF included, instead of with ours: what is
    /// timed in it is a number of instructions. Such a guest has one processor.
    #[must_use]
    pub fn counting_instructions(mut self) -> Self {
        self.counts_instructions = true;
        self.processors = 1;
        self
    }

    /// With these kernel modules loaded before the command runs.
    #[must_use]
    pub fn modules(mut self, modules: &[&'a str]) -> Self {
        self.modules.extend(modules);
        self
    }

    /// Boots, runs the command (its program, arguments, added environment and directory) and hands over each line of output as
    /// it comes.
    ///
    /// # Errors
    /// When the guest did not come to an end by itself; what the console says is in the message.
    pub fn run(&self, command: &Command, mut line: impl FnMut(&str)) -> Result<Outcome> {
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)
                .with_context(|| format!("cannot empty {}", self.directory.display()))?;
        }
        fs::create_dir_all(&self.directory).with_context(|| format!("cannot create {}", self.directory.display()))?;
        script::write(&self.directory, self.kernel, &self.modules, command)?;
        let initramfs = self.directory.join("initramfs");
        initramfs::write(&initramfs, self.kernel)?;

        let mut qemu = self.qemu(&initramfs);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = qemu.spawn().with_context(|| format!("cannot start {QEMU}"))?;
        let mut output = String::new();
        for bytes in BufReader::new(child.stdout.take().context("QEMU's output is not a pipe")?).split(b'\n') {
            let text = String::from_utf8_lossy(&bytes?).into_owned();
            line(&text);
            output.push_str(&text);
            output.push('\n');
        }
        let ended = child.wait()?;
        fs::remove_file(&initramfs).with_context(|| format!("cannot remove {}", initramfs.display()))?;
        match script::status(&self.directory) {
            Some(status) => Ok(Outcome { status, output }),
            None if ended.code() == Some(TIMED_OUT) => {
                bail!("a guest with kernel {} took longer than {:?}{}", self.kernel.release, self.limit, self.console())
            }
            None => bail!("a guest with kernel {} ended too early ({ended}){}", self.kernel.release, self.console()),
        }
    }

    fn qemu(&self, initramfs: &Path) -> Command {
        let mut qemu = command::limited(self.limit, QEMU);
        qemu.args(["-machine", "q35", "-cpu", "max", "-m", "2048", "-smp"]).arg(self.processors.to_string());
        if self.counts_instructions {
            qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]);
        } else {
            qemu.args(["-accel", "tcg,thread=multi,tb-size=512"]);
        }
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-nic", "none", "-display", "none"]);
        qemu.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(initramfs);
        // A panic ends the guest. Speculation is nobody's concern here, and its mitigations cost a third of the time.
        let parameters = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check";
        qemu.arg("-append").arg(match clock::frequency() {
            Some(frequency) if !self.counts_instructions => format!("{parameters} tsc_early_khz={frequency}"),
            _ => parameters.to_owned(),
        });
        qemu.arg("-serial").arg(option("file:", &self.console_log(), ""));
        qemu.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        qemu.args(["-chardev", "file,id=output,path=/dev/stdout", "-device", "virtserialport,chardev=output"]);
        for (tag, directory, access) in
            [(script::FILES, Path::new("/"), ",readonly=on"), (script::JOB, self.directory.as_path(), "")]
        {
            let share = format!("local,id={tag},security_model=none,multidevs=remap{access},path=");
            qemu.arg("-fsdev").arg(option(&share, directory, ""));
            qemu.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
        }
        qemu
    }

    fn console_log(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// The end of what the kernel said, to be appended to an error.
    fn console(&self) -> String {
        let log = self.console_log();
        let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
        format!("; its console, {}, ends with:\n{}", log.display(), last.join("\n"))
    }
}

/// A path within one of QEMU's options, where a comma is written twice.
fn option(before: &str, path: &Path, after: &str) -> String {
    format!("{before}{}{after}", path.display().to_string().replace(',', ",,"))
}

/// Why there can be no guests here: a sentence.
pub fn obstacle() -> Option<String> {
    if env::consts::ARCH != "x86_64" {
        return Some(format!("guests are for x86-64 machines, this one is {}", env::consts::ARCH));
    }
    let missing: Vec<_> = [QEMU, "busybox", "modprobe", "depmod", "xz", "zstd"]
        .into_iter()
        .filter(|program| command::find(program).is_none())
        .collect();
    (!missing.is_empty()).then(|| format!("there is no {} here: run `cargo xtask setup`", missing.join(" and no ")))
}
