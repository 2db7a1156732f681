//! Captures on wires, and questions to them by tshark's display filters.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::lab::Lab;
use crate::process::Process;

/// A running capture. Stop it before reading the file; dropping it stops it too.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts capturing all frames on a wire, by its name, and returns when the capture is live.
    pub fn start(lab: &Lab, wire: &str, file: &Path) -> Result<Self> {
        let mut command = Command::new("tcpdump");
        command.args(["-i", wire, "-U", "-s", "0", "--immediate-mode", "-Z", "root", "-w"]).arg(file);
        let process = lab
            .start(lab.wires(), command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))
            .context("captures need tcpdump; `cargo xtask setup` installs it")?;
        let stderr = process.child().stderr.take().context("tcpdump has no standard error")?;
        let mut said = String::new();
        let mut lines = BufReader::new(stderr);
        while lines.read_line(&mut said)? > 0 {
            if said.contains("listening on") {
                return Ok(Self { process, file: file.to_owned() });
            }
        }
        bail!("tcpdump on {wire} failed: {}", said.trim());
    }

    /// Ends the capture and gives its file.
    pub fn stop(self) -> Result<PcapFile> {
        self.process.stop(Signal::SIGINT, Duration::from_secs(5))?;
        Ok(PcapFile { path: self.file.clone() })
    }
}

/// A finished capture.
#[derive(Clone, Debug)]
pub struct PcapFile {
    path: PathBuf,
}

impl PcapFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many frames match a display filter.
    pub fn count(&self, filter: &str) -> Result<usize> {
        Ok(self.fields(filter, &["frame.number"])?.len())
    }

    /// The given fields of every frame that matches a display filter, tab-separated, one frame a line.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.path).args(["-n", "-2", "-Y", filter, "-T", "fields"]);
        for protocol in ["ip", "tcp", "udp"] {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let output = command.output().context("reading captures needs tshark; `cargo xtask setup` installs it")?;
        if !output.status.success() {
            bail!("tshark refuses filter `{filter}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Frames with a wrong IP, TCP, UDP or ICMP checksum. What an ICMP error quotes is cut short and proves nothing.
    pub fn bad_checksums(&self) -> Result<usize> {
        self.count(
            "ip.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\" \
             || (!icmp && (tcp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"))",
        )
    }
}
