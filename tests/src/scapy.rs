//! Scapy on a box of the lab: somebody else's mobile node, home agent or tunnel.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;

/// A script on a box, which answers each line of JSON with one. It ends with the lab, or when dropped.
#[derive(Debug)]
pub struct Script {
    process: Process,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// Starts `station.py`: a mobile node and a home agent.
    pub fn station(lab: &Lab, host: &Host) -> Result<Self> {
        Self::start(lab, host, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../mipd-agent/tests/interop/station.py"))
    }

    /// Starts a script.
    pub fn start(lab: &Lab, host: &Host, script: &Path) -> Result<Self> {
        let mut command = python();
        command.arg(script);
        // Scapy reads and writes settings in the home directory: not the user's.
        command.env("HOME", lab.directory()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        let process = lab.start(host.namespace(), command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (to, from) = {
            let mut child = process.child();
            (child.stdin.take().context("no standard input")?, child.stdout.take().context("no standard output")?)
        };
        Ok(Self { process, to, from: BufReader::new(from) })
    }

    /// Has it begin something; [`answer`](Self::answer) waits for the end.
    pub fn tell(&mut self, question: &Value) -> Result<()> {
        writeln!(self.to, "{question}").with_context(|| format!("the script has ended: {:?}", self.process.ended()))
    }

    /// What came of what it was told.
    pub fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the script gives no answer: {:?}", self.process.ended()))
    }

    /// Has it do something, and waits.
    pub fn ask(&mut self, question: &Value) -> Result<Value> {
        self.tell(question)?;
        self.answer()
    }
}

/// Whether Python has Scapy. If not, says so in the words by which `cargo xtask test` counts a test as skipped.
pub fn available() -> bool {
    let found = python().args(["-c", "import scapy"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: Scapy is not installed; `cargo xtask setup` does it");
    }
    found
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").env("PYTHONPATH", packages());
    command
}

/// Where `cargo xtask setup` puts Scapy.
fn packages() -> PathBuf {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("MIPD_PYTHON_PACKAGES")
        .or_else(|| Some(directory("XDG_CACHE_HOME")?.join("mipd/python")))
        .or_else(|| Some(directory("HOME")?.join(".cache/mipd/python")))
        .unwrap_or_default()
}
