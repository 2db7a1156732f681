//! The control socket of hostapd and `wpa_supplicant`: commands and answers in text, by datagrams between two files.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 4096;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A connection to one of the two programs.
#[derive(Debug)]
pub struct Control {
    socket: UnixDatagram,
    own: PathBuf,
}

impl Control {
    /// Connects to the socket of an interface. Fails as long as the program has not made it.
    pub fn open(server: &Path) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Beside the directory of sockets, which the program removes when it ends.
        let own = server.parent().and_then(Path::parent).context("a control socket without directory")?;
        let own = own.join(format!("control-{number}"));
        let control = Self { socket: UnixDatagram::bind(&own)?, own };
        control.socket.connect(server).with_context(|| format!("nobody is at {}", server.display()))?;
        control.socket.set_read_timeout(Some(PATIENCE))?;
        Ok(control)
    }

    /// Sends a command; gives the answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        self.socket.send(command.as_bytes()).with_context(|| format!("cannot ask {command}"))?;
        let mut answer = [0; LONGEST_ANSWER];
        let length = self.socket.recv(&mut answer).with_context(|| format!("no answer to {command}"))?;
        Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
    }

    /// Sends a command that is answered by OK.
    pub fn tell(&self, command: &str) -> Result<()> {
        let answer = self.ask(command)?;
        anyhow::ensure!(answer == "OK", "{command} was answered by {answer}");
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.own);
    }
}

/// The value of a line `name=value` of an answer.
pub(super) fn value<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let answer = "bssid=02:00:00:00:00:01\nwpa_state=COMPLETED";
        assert_eq!(value(answer, "wpa_state"), Some("COMPLETED"));
        assert_eq!(value(answer, "state"), None);
    }
}
