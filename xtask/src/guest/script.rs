//! What a guest runs once it has its files: a shell script in the directory that it shares with us.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::Kernel;
use crate::command;

/// Name of the share with this machine's files.
pub const FILES: &str = "files";
/// Name of the share with the script, its exit status, and what the command leaves for us.
pub const JOB: &str = "job";
/// The script within the share.
pub const NAME: &str = "run";
const STATUS: &str = "status";

/// Mounts what a running system has, loads modules, and runs `command` with its output going through a virtio port. A
/// file of modules is in the place where the kernel looks for them when it needs another.
pub fn write(directory: &Path, kernel: &Kernel, modules: &[&str], command: &Command) -> Result<()> {
    let release = &kernel.release;
    let text = format!(
        r"#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t tmpfs none /run
mkdir -p /run/netns /lib/modules/{release}
mount --bind {modules_here} /lib/modules/{release}
mount -t bpf none /sys/fs/bpf
mount -t debugfs none /sys/kernel/debug
mount -t tracefs none /sys/kernel/tracing
mount -t cgroup2 none /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
hostname guest
ip link set lo up
{load}cd {working_directory}
{command} > $(ls /dev/vport*p* | head -n 1) 2>&1 < /dev/null
echo $? > /job/{STATUS}
sync
busybox poweroff -f
",
        modules_here = command::quote(&kernel.modules().display().to_string()),
        load = modules.iter().fold(String::new(), |load, module| load + "modprobe " + module + "\n"),
        working_directory =
            command.get_current_dir().map_or("/job".to_owned(), |path| command::quote(&path.display().to_string())),
        command = with_environment(command),
    );
    let path = directory.join(NAME);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    make_executable(&path)
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

fn with_environment(command: &Command) -> String {
    let assignments = command.get_envs().filter_map(|(key, value)| {
        Some(format!("{}={} ", key.to_string_lossy(), command::quote(&value?.to_string_lossy())))
    });
    assignments.collect::<String>() + &command::describe(command)
}

/// The command's exit status, if it came to an end.
pub fn status(directory: &Path) -> Option<i32> {
    fs::read_to_string(directory.join(STATUS)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_arguments_and_environment() {
        let mut command = Command::new("/target/programs");
        command.args(["--filter", "two words"]).env("MIPD_EBPF_OBJECT", "/it's/here").env_remove("HOME");
        assert_eq!(
            with_environment(&command),
            r"MIPD_EBPF_OBJECT='/it'\''s/here' /target/programs --filter 'two words'"
        );
    }

    #[test]
    fn a_script_is_valid_shell_and_has_no_status_before_it_ran() {
        let directory = std::env::temp_dir().join(format!("mipd-xtask-script-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let kernel = Kernel { release: "6.1.0-9-amd64".to_owned(), directory: "/a directory".into() };
        write(&directory, &kernel, &["tun"], Command::new("true").current_dir("/x y")).unwrap();
        command::capture(Command::new("sh").arg("-n").arg(directory.join(NAME))).unwrap();
        assert_eq!(status(&directory), None);
        fs::write(directory.join(STATUS), "101\n").unwrap();
        assert_eq!(status(&directory), Some(101));
        fs::remove_dir_all(&directory).unwrap();
    }
}
