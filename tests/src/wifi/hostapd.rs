//! hostapd on an access point's radio.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mipd_common::mac::MacAddress;
use nix::sys::signal::Signal;

use super::Security;
use super::control::{self, Control};
use crate::host::Host;
use crate::lab::{Cleaner, Lab};
use crate::process::Process;
use crate::topology::{BRIDGE, RADIO};
use crate::wait;

/// Emulated machines are slow, and busy when others are.
const PATIENCE: Duration = Duration::from_mins(1);

/// A network as its access points announce it.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub ssid: String,
    /// Who may enter.
    pub security: Security,
    /// Whether frames between its stations go up to the bridge instead of back into the air (`ap_isolate`).
    pub isolated: bool,
}

/// hostapd, with its radio in the access point's bridge.
#[derive(Debug)]
pub struct Hostapd {
    host: Host,
    cleaner: Cleaner,
    directory: PathBuf,
    process: Option<Process>,
}

impl Hostapd {
    /// Starts it and waits until it announces the network.
    pub fn start(lab: &Lab, host: &Host, network: &Network) -> Result<Self> {
        let directory = lab.directory().join(format!("hostapd-{}", host.name()));
        fs::create_dir_all(&directory)?;
        let mut hostapd = Self { host: host.clone(), cleaner: lab.cleaner(), directory, process: None };
        hostapd.configure(network)?;
        hostapd.run()?;
        Ok(hostapd)
    }

    /// Writes its configuration, which counts from the next [`run`](Self::run) on.
    pub fn configure(&self, network: &Network) -> Result<()> {
        let mut text = format!(
            "interface={RADIO}\nbridge={BRIDGE}\ndriver=nl80211\nctrl_interface={}\nssid={}\nhw_mode=g\nchannel=1\n\
             ap_isolate={}\n",
            self.sockets().display(),
            network.ssid,
            u8::from(network.isolated),
        );
        if let Security::Wpa2(passphrase) = &network.security {
            text += "wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nwpa_passphrase=";
            text += passphrase;
            text += "\n";
        }
        fs::write(self.configuration(), text)?;
        Ok(())
    }

    /// Starts it, after [`stop`](Self::stop), and waits until it announces the network.
    pub fn run(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new("hostapd");
        command.arg("-t").arg(self.configuration()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = self.cleaner.start(self.host.namespace(), &mut command)?;
        self.process = Some(process.clone());
        let enabled = wait::until(PATIENCE, || {
            if let Some(status) = process.ended()? {
                bail!("hostapd on {} has ended ({status}):\n{}", self.host.name(), self.log_text());
            }
            let Ok(control) = self.control() else { return Ok(None) };
            Ok((control::value(&control.ask("STATUS")?, "state") == Some("ENABLED")).then_some(()))
        })?;
        enabled.with_context(|| format!("hostapd on {} announces nothing:\n{}", self.host.name(), self.log_text()))
    }

    /// Ends it as an operator would. Its stations are told to leave.
    pub fn stop(&mut self) -> Result<()> {
        let Some(process) = self.process.take() else { return Ok(()) };
        process.stop(Signal::SIGTERM, PATIENCE).map(drop)
    }

    /// Whether it has let a station in, keys included.
    pub fn has_admitted(&self, station: MacAddress) -> Result<bool> {
        let answer = self.control()?.ask(&format!("STA {station}"))?;
        Ok(control::value(&answer, "flags").is_some_and(|flags| flags.contains("[AUTHORIZED]")))
    }

    /// A connection to its control socket.
    pub fn control(&self) -> Result<Control> {
        Control::open(&self.sockets().join(RADIO))
    }

    /// The directory of its control sockets.
    pub fn sockets(&self) -> PathBuf {
        self.directory.join("sockets")
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("hostapd.conf")
    }

    /// What it has said.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.directory.join("hostapd.log")
    }
}
