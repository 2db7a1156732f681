//! A station: an ordinary box whose radio `wpa_supplicant` runs.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mipd_common::mac::MacAddress;

use super::Security;
use super::control::{self, Control};
use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;
use crate::radio::CLIENT_INTERFACE;
use crate::wait;

/// Emulated machines are slow, and busy when others are.
const PATIENCE: Duration = Duration::from_mins(1);
/// After this long without success a roam is begun anew.
const SECOND_THOUGHT: Duration = Duration::from_secs(8);
/// The only frequency in use, channel 1, so that scans are short.
const FREQUENCY: &str = "2412";

/// A station, associated or not.
#[derive(Debug)]
pub struct Station {
    /// Its box.
    pub host: Host,
    control: Control,
    log: PathBuf,
    _process: Process,
}

impl Station {
    /// Starts `wpa_supplicant` on a box with a radio, for one network, without associating yet.
    pub fn start(lab: &Lab, host: Host, ssid: &str, security: &Security) -> Result<Self> {
        let directory = lab.directory().join(format!("station-{}", host.name()));
        let sockets = directory.join("sockets");
        fs::create_dir_all(&directory)?;
        let key = match security {
            Security::Open => "key_mgmt=NONE".to_owned(),
            Security::Wpa2(passphrase) => format!("key_mgmt=WPA-PSK\n  psk=\"{passphrase}\""),
        };
        let configuration = directory.join("wpa_supplicant.conf");
        let text = format!(
            "ctrl_interface={}\nnetwork={{\n  ssid=\"{ssid}\"\n  {key}\n  scan_freq={FREQUENCY}\n  \
             freq_list={FREQUENCY}\n  disabled=1\n}}\n",
            sockets.display(),
        );
        fs::write(&configuration, text)?;
        let log = directory.join("wpa_supplicant.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("wpa_supplicant");
        command.args(["-D", "nl80211", "-t", "-i", CLIENT_INTERFACE, "-c"]).arg(&configuration);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = lab.start(host.namespace(), &mut command)?;
        let socket = sockets.join(CLIENT_INTERFACE);
        let control = wait::until(PATIENCE, || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("wpa_supplicant has ended ({status}): {}", fs::read_to_string(&log).unwrap_or_default());
            }
            Ok(Control::open(&socket).ok())
        })?;
        let control = control.context("wpa_supplicant has no control socket")?;
        Ok(Self { host, control, log, _process: process })
    }

    /// Looks for the network and associates at that access point of it, first of all.
    pub fn associate(&self, bssid: MacAddress) -> Result<()> {
        self.begin(bssid)?;
        self.await_association(bssid)?;
        // From now on every access point of the network will do.
        self.control.tell("SET_NETWORK 0 bssid any")
    }

    fn begin(&self, bssid: MacAddress) -> Result<()> {
        self.stay_with(bssid)?;
        self.control.tell("ENABLE_NETWORK 0")
    }

    /// Roams to another access point of the network. How long it was not associated, as it sees that itself.
    pub fn roam(&self, bssid: MacAddress) -> Result<Duration> {
        let seen = wait::until(PATIENCE, || {
            // Refused while another scan is going on, whose results will do as well.
            let _ = self.control.ask(&format!("SCAN freq={FREQUENCY}"))?;
            wait::until(Duration::from_secs(2), || {
                Ok((!self.control.ask(&format!("BSS {bssid}"))?.is_empty()).then_some(()))
            })
        })?;
        seen.with_context(|| format!("the station does not hear {bssid}:\n{}", self.log_text()))?;
        let start = Instant::now();
        let there = wait::until(PATIENCE, || {
            self.control.tell(&format!("ROAM {bssid}"))?;
            // A station that gets no answer within 200 ms goes back where it was, and has to be sent again.
            wait::until(SECOND_THOUGHT, || Ok(self.is_associated(bssid)?.then_some(())))
        })?;
        there.with_context(|| format!("the station does not get to {bssid}:\n{}", self.log_text()))?;
        Ok(start.elapsed())
    }

    /// Enters the network with another passphrase from now on.
    pub fn set_passphrase(&self, passphrase: &str) -> Result<()> {
        self.control.tell(&format!("SET_NETWORK 0 psk \"{passphrase}\""))
    }

    /// Stays with that access point of the network.
    pub fn stay_with(&self, bssid: MacAddress) -> Result<()> {
        self.control.tell(&format!("SET_NETWORK 0 bssid {bssid}"))
    }

    /// Leaves the network and begins to associate anew; does not wait.
    pub fn reassociate(&self) -> Result<()> {
        self.control.tell("REASSOCIATE")
    }

    /// Whether it is associated there, keys included, as it sees that.
    pub fn is_associated(&self, bssid: MacAddress) -> Result<bool> {
        let status = self.control.ask("STATUS")?;
        let there = control::value(&status, "bssid") == Some(&bssid.to_string());
        Ok(there && control::value(&status, "wpa_state") == Some("COMPLETED"))
    }

    /// Waits until it is associated there.
    pub fn await_association(&self, bssid: MacAddress) -> Result<()> {
        let associated = wait::until(PATIENCE, || Ok(self.is_associated(bssid)?.then_some(())))?;
        associated.with_context(|| format!("the station is not associated with {bssid}:\n{}", self.log_text()))
    }

    /// What `wpa_supplicant` has said.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
