//! The first files of a guest: busybox, the modules that lead to the real ones, and a script that changes over to those.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{Kernel, script};
use crate::command;

/// Modules without which there are no files and no output, unless they are built in.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"];
const APPLETS: [&str; 8] = ["sh", "mount", "insmod", "mkdir", "switch_root", "poweroff", "echo", "umount"];

/// Writes an archive that `kernel` can start with.
pub fn write(path: &Path, kernel: &Kernel) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = Archive { to: BufWriter::new(file), inodes: 0 };
    archive.fill(kernel).with_context(|| format!("cannot write {}", path.display()))
}

/// `/init`. Reads of this machine's files are cached for good, for nothing else is expected to write them meanwhile.
fn init(modules: &[String]) -> String {
    let load = modules.iter().fold(String::new(), |load, module| load + "insmod /modules/" + module + "\n");
    format!(
        r"#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
{load}transport=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o ro,$transport,cache=loose {files} /files || poweroff -f
mount -t tmpfs none /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/files,upperdir=/layer/upper,workdir=/layer/work none /system || poweroff -f
mkdir -p /system/job
mount -t 9p -o $transport,cache=none {job} /system/job || poweroff -f
mount -t proc none /system/proc
mount -t sysfs none /system/sys
mount -t devtmpfs none /system/dev
mkdir -p /system/dev/pts
mount -t devpts none /system/dev/pts
exec switch_root /system /job/{script}
",
        files = script::FILES,
        job = script::JOB,
        script = script::NAME,
    )
}

/// An archive in cpio's "newc" format, the one that kernels unpack.
struct Archive<W> {
    to: W,
    inodes: u32,
}

impl<W: Write> Archive<W> {
    fn fill(&mut self, kernel: &Kernel) -> Result<()> {
        for directory in ["bin", "proc", "sys", "dev", "modules", "files", "layer", "system"] {
            self.entry(directory, 0o40755, &[])?;
        }
        self.entry("bin/busybox", 0o100_755, &busybox()?)?;
        for applet in APPLETS {
            self.entry(&format!("bin/{applet}"), 0o120_777, b"busybox")?;
        }
        let mut modules = Vec::new();
        for module in MODULES {
            for file in kernel.files_of(module)? {
                let name = module_name(&file).with_context(|| format!("{} is no module", file.display()))?;
                if !modules.contains(&name) {
                    self.entry(&format!("modules/{name}"), 0o100_644, &decompressed(&file)?)?;
                    modules.push(name);
                }
            }
        }
        self.entry("init", 0o100_755, init(&modules).as_bytes())?;
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.to.flush()?)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inodes += 1;
        let header = [
            self.inodes,
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            content.len() as u32,
            0, // device, major and minor
            0,
            0, // the device that a node stands for, major and minor
            0,
            name.len() as u32 + 1,
            0, // no checksum in this format
        ];
        write!(self.to, "070701")?;
        for field in header {
            write!(self.to, "{field:08x}")?;
        }
        write!(self.to, "{name}\0")?;
        self.pad(6 + 8 * header.len() + name.len() + 1)?;
        self.to.write_all(content)?;
        self.pad(content.len())
    }

    /// Everything begins at a multiple of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.to.write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

/// A busybox that runs without libraries.
fn busybox() -> Result<Vec<u8>> {
    let path = command::find("busybox").context("there is no busybox here: run `cargo xtask setup`")?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.windows(LOADER.len()).any(|window| window == LOADER) {
        bail!("{} needs libraries: install busybox-static in its place", path.display());
    }
    Ok(bytes)
}

/// What every dynamically linked program for x86-64 names.
const LOADER: &[u8] = b"/lib64/ld-linux";

/// `9p.ko` of `…/fs/9p/9p.ko.xz`.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let end = name.find(".ko")? + ".ko".len();
    Some(name[..end].to_owned())
}

fn decompressed(module: &Path) -> Result<Vec<u8>> {
    let extension = module.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let program = match extension {
        "ko" => return fs::read(module).with_context(|| format!("cannot read {}", module.display())),
        "xz" | "zst" => {
            if extension == "xz" {
                "xz"
            } else {
                "zstd"
            }
        }
        other => bail!("{} is compressed in an unknown way: {other}", module.display()),
    };
    let output = Command::new(program).arg("-dcq").arg(module).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} cannot decompress {}: {}", module.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_cpio_writes() {
        let mut archive = Archive { to: Vec::new(), inodes: 0 };
        archive.entry("init", 0o100_755, b"hello").unwrap();
        let text = String::from_utf8(archive.to).unwrap();
        let header = "070701000000010000\
            81ed00000000000000000000000100000000000000050000000000000000000000000000000000000005000000\
            00init\0\0";
        assert_eq!(text, format!("{header}hello\0\0\0"));
    }

    #[test]
    fn modules_are_loaded_by_their_plain_names() {
        assert_eq!(module_name(Path::new("/m/kernel/fs/9p/9p.ko.xz")).as_deref(), Some("9p.ko"));
        assert_eq!(module_name(Path::new("/m/overlay.ko")).as_deref(), Some("overlay.ko"));
        assert_eq!(module_name(Path::new("/m/modules.dep")), None);
        assert!(init(&["9p.ko".to_owned()]).contains("\ninsmod /modules/9p.ko\n"));
    }
}
