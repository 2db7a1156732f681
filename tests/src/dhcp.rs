//! Real DHCP on boxes of a lab: dnsmasq as server, ISC dhclient and busybox' udhcpc as clients.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use nix::sys::signal::Signal;

use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;
use crate::radio::CLIENT_INTERFACE;
use crate::wait;

const STOP_PATIENCE: Duration = Duration::from_secs(5);
const PROGRAMS: [&str; 3] = ["dnsmasq", "dhclient", "busybox"];

/// What a client's configuration script does: an address and a default route, and a line in the client's diary. Both
/// clients' words for what has happened are understood.
const SCRIPT: &str = r#"#!/bin/sh
say() { echo "$*" >> "$DIARY"; }
keep() {
    ip address replace "$1/24" dev "$3"
    ip route replace default via "$2"
    say "$4 $1"
}
case "${reason:-$1}" in
    BOUND | RENEW | REBIND | REBOOT) keep "$new_ip_address" "$new_routers" "$interface" "$reason" ;;
    PREINIT) ip address flush dev "$interface"; ip link set "$interface" up ;;
    EXPIRE | FAIL | RELEASE | STOP) ip address flush dev "$interface"; say "$reason" ;;
    bound | renew) keep "$ip" "$router" "$interface" "$1" ;;
    deconfig) ip address flush dev "$interface"; ip link set "$interface" up ;;
    nak) say nak ;;
esac
exit 0
"#;

/// Whether the programs are here. If not, says so in the words by which `cargo xtask test` counts a test as skipped.
pub fn available() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    let missing = PROGRAMS.iter().find(|program| !folders.iter().any(|folder| folder.join(program).is_file()));
    if let Some(program) = missing {
        eprintln!("SKIPPED: {program} is not installed; `cargo xtask setup` installs it");
    }
    missing.is_none()
}

/// A dnsmasq that considers itself the only server of its subnet, so that it refuses addresses of others.
#[derive(Debug)]
pub struct Server {
    log: PathBuf,
    process: Process,
}

impl Server {
    /// Starts a server on a box, for the twenty addresses of a LAN from `.100` on, and waits until it serves. It listens on
    /// all interfaces. What it says is added to its log, and its leases are those of an earlier one of that name.
    pub fn start(lab: &Lab, host: &Host, lan: Ipv4Net) -> Result<Self> {
        let log = lab.directory().join(format!("{}.dnsmasq", host.name()));
        let leases = lab.directory().join(format!("{}.leases", host.name()));
        let [a, b, c, _] = lan.addr().octets();
        let file = File::options().create(true).append(true).open(&log)?;
        let before = fs::read_to_string(&log)?.len();
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file="]);
        command.args(["--log-dhcp", "--log-facility=-", "--no-ping", "--no-resolv", "--dhcp-authoritative"]);
        command.arg(format!("--dhcp-leasefile={}", leases.display()));
        command.arg(format!("--dhcp-range={a}.{b}.{c}.100,{a}.{b}.{c}.119,{},10m", lan.netmask()));
        command.arg(format!("--dhcp-option=option:router,{}", lan.addr()));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let process = lab.start(host.namespace(), &mut command)?;
        let server = Self { log, process };
        let serves = || {
            if let Some(status) = server.process.ended()? {
                bail!("dnsmasq on {} ended ({status}): {}", host.name(), server.log()?);
            }
            Ok(server.log()?[before..].contains("DHCP, IP range").then_some(()))
        };
        wait::until(Duration::from_secs(10), serves)?.context("dnsmasq does not serve")?;
        Ok(server)
    }

    /// All that it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until it has logged something of a client.
    pub fn await_log(&self, what: &str, patience: Duration) -> Result<()> {
        let logged = wait::until(patience, || Ok(self.log()?.contains(what).then_some(())))?;
        logged.with_context(|| format!("the server has not logged `{what}`:\n{}", self.log().unwrap_or_default()))
    }

    /// Ends it.
    pub fn stop(self) -> Result<()> {
        self.process.stop(Signal::SIGTERM, STOP_PATIENCE).map(drop)
    }
}

/// A DHCP client on a box of the lab, running or not. Its leases outlive it.
#[derive(Debug)]
pub struct Client {
    host: Host,
    directory: PathBuf,
    process: Option<Process>,
}

impl Client {
    /// A client on a box that has never had a lease.
    pub fn new(lab: &Lab, host: &Host) -> Result<Self> {
        let directory = lab.directory().join("dhcp-client");
        fs::create_dir_all(&directory)?;
        let script = directory.join("script");
        fs::write(&script, SCRIPT)?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::write(directory.join("diary"), "")?;
        Ok(Self { host: host.clone(), directory, process: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts dhclient, which asks for the address that it had last. `settings` are lines of its configuration.
    pub fn start(&mut self, lab: &Lab, settings: &str) -> Result<()> {
        fs::write(self.path("conf"), format!("timeout 60;\nreboot 20;\ninitial-interval 1;\nretry 2;\n{settings}"))?;
        let mut command = self.dhclient();
        self.process = Some(lab.start(self.host.namespace(), command.args(["-d", CLIENT_INTERFACE]))?);
        Ok(())
    }

    /// Starts udhcpc, which begins anew.
    pub fn start_udhcpc(&mut self, lab: &Lab) -> Result<()> {
        let mut command = Command::new("busybox");
        command.args(["udhcpc", "-f", "-i", CLIENT_INTERFACE, "-t", "20", "-T", "1", "-s"]).arg(self.path("script"));
        self.process = Some(lab.start(self.host.namespace(), self.keep_diary(&mut command)?)?);
        Ok(())
    }

    /// Has udhcpc renew its lease now.
    pub fn renew_udhcpc(&self) -> Result<()> {
        self.process.as_ref().context("no client runs")?.signal(Signal::SIGUSR1)
    }

    /// Takes its power away: no release, and no address afterwards.
    pub fn power_off(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.kill();
        }
        self.host.namespace().output(Command::new("ip").args(["address", "flush", "dev", CLIENT_INTERFACE]))?;
        Ok(())
    }

    /// Gives the lease back.
    pub fn release(&mut self) -> Result<()> {
        let output = self.host.namespace().output(self.dhclient().args(["-r", CLIENT_INTERFACE]))?;
        if !output.status.success() {
            bail!("dhclient -r failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.process = None;
        Ok(())
    }

    /// Forgets its leases.
    pub fn forget(&self) -> Result<()> {
        Ok(fs::write(self.path("leases"), "")?)
    }

    fn dhclient(&self) -> Command {
        let mut command = Command::new("dhclient");
        command.args(["-4", "-v"]);
        for (option, name) in [("-cf", "conf"), ("-lf", "leases"), ("-pf", "pid"), ("-sf", "script")] {
            command.arg(option).arg(self.path(name));
        }
        // Its script's environment is what dhclient was told to pass on.
        command.arg("-e").arg(format!("DIARY={}", self.path("diary").display()));
        let log = File::options().create(true).append(true).open(self.path("log"));
        command.stdin(Stdio::null());
        if let Ok(log) = log
            && let Ok(copy) = log.try_clone()
        {
            command.stdout(log).stderr(copy);
        }
        command
    }

    fn keep_diary<'c>(&self, command: &'c mut Command) -> Result<&'c mut Command> {
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        Ok(command.env("DIARY", self.path("diary")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
    }

    /// What has happened to it: lines such as `BOUND 10.1.0.100`, in the words of the client program.
    pub fn diary(&self) -> Result<Vec<String>> {
        Ok(read(&self.path("diary"))?.lines().map(str::to_owned).collect())
    }

    /// Waits until the diary goes on after its first `before` lines with `word`, and gives the address in that line.
    pub fn await_entry(&self, before: usize, word: &str, patience: Duration) -> Result<Ipv4Addr> {
        let found = wait::until(patience, || {
            let diary = self.diary()?;
            let entry = diary.iter().skip(before).find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
            Ok(entry)
        })?;
        found.with_context(|| {
            let diary = self.diary().unwrap_or_default().join(", ");
            format!("no {word} in the client's diary: {diary}\n{}", read(&self.path("log")).unwrap_or_default())
        })
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
