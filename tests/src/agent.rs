//! `mipd` on the boxes of a lab: configured, started, asked, killed.

pub mod config;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use self::config::{Role, Settings};
use crate::host::Host;
use crate::lab::{Cleaner, Lab};
use crate::process::Process;
use crate::wait;

/// How long an agent may take until it answers on its control socket, on a busy machine.
const START_PATIENCE: Duration = Duration::from_mins(1);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// An agent on a box, running or not.
#[derive(Debug)]
pub struct Agent {
    host: Host,
    cleaner: Cleaner,
    binary: PathBuf,
    configuration: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Agent {
    /// Writes the configuration of an agent without starting it.
    pub fn configure(lab: &Lab, host: &Host, role: &Role, settings: &Settings) -> Result<Self> {
        let agent = Self::place(lab, host)?;
        agent.reconfigure(lab, role, settings)?;
        Ok(agent)
    }

    /// Writes the configuration of an agent whose roles and associations are given as text.
    pub fn configure_as(lab: &Lab, host: &Host, settings: &Settings, sections: &str) -> Result<Self> {
        let agent = Self::place(lab, host)?;
        agent.write_configuration(&config::custom_text(sections, settings, &agent.paths(lab)))?;
        Ok(agent)
    }

    fn place(lab: &Lab, host: &Host) -> Result<Self> {
        let directory = lab.directory().join(host.name());
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let pins = lab.bpffs().join(host.name());
        fs::create_dir_all(&pins)
            .with_context(|| format!("cannot create {}; is bpffs mounted at /sys/fs/bpf?", pins.display()))?;
        Ok(Self {
            host: host.clone(),
            cleaner: lab.cleaner(),
            binary: binary()?,
            configuration: directory.join("mipd.toml"),
            socket: directory.join("mipd.sock"),
            log: directory.join("mipd.log"),
            process: None,
        })
    }

    fn paths(&self, lab: &Lab) -> config::Paths {
        config::Paths {
            state: lab.directory().join(self.host.name()).join("state"),
            socket: self.socket.clone(),
            bpffs: lab.bpffs().join(self.host.name()),
        }
    }

    /// Writes the configuration anew; it counts from the next start on.
    pub fn reconfigure(&self, lab: &Lab, role: &Role, settings: &Settings) -> Result<()> {
        let paths = self.paths(lab);
        fs::create_dir_all(&paths.state)?;
        self.write_configuration(&config::text(role, settings, &paths))
    }

    fn write_configuration(&self, text: &str) -> Result<()> {
        fs::write(&self.configuration, text)?;
        // It holds a key, and the agent refuses one that others can read.
        fs::set_permissions(&self.configuration, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(())
    }

    /// Writes the configuration, starts the agent and waits until it answers.
    pub fn start(lab: &Lab, host: &Host, role: &Role, settings: &Settings) -> Result<Self> {
        let mut agent = Self::configure(lab, host, role, settings)?;
        agent.run()?;
        Ok(agent)
    }

    /// The box it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts the agent and waits until it answers. What it logs is added to its log file.
    pub fn run(&mut self) -> Result<()> {
        self.launch()?;
        self.await_ready()
    }

    /// Starts the agent without waiting for it, so that several can start at once.
    pub fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(["run", "--config"]).arg(&self.configuration);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(self.cleaner.start(self.host.namespace(), &mut command)?);
        Ok(())
    }

    /// Waits until a launched agent answers on its control socket.
    pub fn await_ready(&self) -> Result<()> {
        let name = self.host.name();
        let process = self.process.as_ref().with_context(|| format!("the agent on {name} has not been started"))?;
        let ready = wait::until(START_PATIENCE, || {
            if let Some(status) = process.ended()? {
                bail!("the agent on {name} ended at its start ({status}):\n{}", self.log_tail());
            }
            Ok(self.show("interfaces").ok())
        })?;
        match ready {
            Some(_) => Ok(()),
            None => bail!("the agent on {name} does not answer after {START_PATIENCE:?}:\n{}", self.log_tail()),
        }
    }

    /// Ends the agent as an operator would: SIGTERM, and a clean end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        let status = process.stop(Signal::SIGTERM, STOP_PATIENCE)?;
        if !status.success() {
            bail!("the agent on {} ended badly ({status}):\n{}", self.host.name(), self.log_tail());
        }
        Ok(())
    }

    /// Kills the agent without warning (SIGKILL).
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// The agent's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child().id())
    }

    /// Whether the agent's process is alive.
    pub fn is_running(&self) -> Result<bool> {
        self.process.as_ref().map_or(Ok(false), |process| Ok(process.ended()?.is_none()))
    }

    /// One of the tables of `mipd show`, as JSON from the running agent.
    pub fn show(&self, what: &str) -> Result<Value> {
        parse(what, &self.ask(&["show", what, "--json"], "--socket", &self.socket)?)
    }

    /// One of the tables of `mipd show`, as people see it.
    pub fn show_text(&self, what: &str) -> Result<String> {
        self.ask(&["show", what], "--socket", &self.socket)
    }

    /// One of the tables of `mipd show --maps`: from the pinned maps, agent or no agent.
    pub fn show_maps(&self, what: &str) -> Result<Value> {
        parse(what, &self.ask(&["show", what, "--json", "--maps"], "--config", &self.configuration)?)
    }

    /// The rows of a table that concern a client, by home address.
    pub fn rows_of(&self, what: &str, home_address: Ipv4Addr) -> Result<Vec<Value>> {
        let wanted = home_address.to_string();
        let rows = self.show(what)?;
        let rows = rows.as_array().with_context(|| format!("`mipd show {what} --json` is no array"))?;
        Ok(rows.iter().filter(|row| row["home_address"] == wanted.as_str()).cloned().collect())
    }

    /// Waits until a table has rows, and gives them.
    pub fn await_rows(&self, what: &str, patience: Duration) -> Result<Vec<Value>> {
        let rows = wait::until(patience, || {
            let rows = self.show(what)?.as_array().cloned().unwrap_or_default();
            Ok((!rows.is_empty()).then_some(rows))
        })?;
        rows.with_context(|| {
            format!("`mipd show {what}` on {} is empty after {patience:?}:\n{}", self.host.name(), self.log_tail())
        })
    }

    /// Waits until a counter has grown beyond `before`.
    pub fn await_count(&self, name: &str, before: u64, patience: Duration) -> Result<u64> {
        let count = wait::until(patience, || Ok(Some(self.counter(name)?).filter(|count| *count > before)))?;
        count
            .with_context(|| format!("counter {name} on {} is not above {before} after {patience:?}", self.host.name()))
    }

    /// Sum of the counters of that name, over roles, interfaces and hooks.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let rows = self.show("counters")?;
        let rows = rows.as_array().context("`mipd show counters --json` is no array")?;
        Ok(rows.iter().filter(|row| row["name"] == name).filter_map(|row| row["value"].as_u64()).sum())
    }

    /// `mipd trace`, as JSON: the steps of one client, by MAC or address.
    pub fn trace(&self, client: &str) -> Result<Vec<Value>> {
        let steps = parse("trace", &self.ask(&["trace", client, "--json"], "--socket", &self.socket)?)?;
        steps.as_array().cloned().context("`mipd trace --json` is no array")
    }

    /// `mipd trace`, as people see it.
    pub fn trace_text(&self, client: &str) -> Result<String> {
        self.ask(&["trace", client], "--socket", &self.socket)
    }

    /// `mipd check` of this box, with its warnings.
    pub fn check(&self) -> Result<String> {
        self.ask(&["check"], "--config", &self.configuration)
    }

    /// `mipd deregister ADDRESS`.
    pub fn deregister(&self, address: Ipv4Addr) -> Result<()> {
        self.ask(&["deregister", &address.to_string()], "--socket", &self.socket).map(drop)
    }

    /// `mipd clear subnet-map`.
    pub fn clear_subnet_map(&self) -> Result<()> {
        self.ask(&["clear", "subnet-map"], "--socket", &self.socket).map(drop)
    }

    /// `mipd unload`: takes everything off the box that the agent has put there.
    pub fn unload(&self) -> Result<()> {
        self.ask(&["unload"], "--config", &self.configuration).map(drop)
    }

    /// The last lines of the agent's log.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Where the agent's log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn ask(&self, words: &[&str], option: &str, path: &Path) -> Result<String> {
        let mut command = Command::new(&self.binary);
        let output = self.host.namespace().output(command.args(words).arg(option).arg(path))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("on {}, `mipd {}`: {}", self.host.name(), words.join(" "), complaint.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn parse(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("`mipd … {what} --json` printed no JSON: {text}"))
}

/// The binary to run: `MIPD_BINARY`, or the one in the folder of the build that this program belongs to.
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MIPD_BINARY") {
        return Ok(path.into());
    }
    let program = std::env::current_exe()?;
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join("mipd")).find(|path| path.is_file());
    found.context("there is no mipd beside this program: run `cargo xtask build`, or set MIPD_BINARY")
}
