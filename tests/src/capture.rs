//! Captures on wires, and questions to them by tshark's display filters.
//!
//! A wire carries finished frames: every end of it has its offloads off. So no checksum in a capture may be wrong, and each
//! capture makes sure of that when it ends, whether or not its test thinks of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::lab::Lab;
use crate::process::Process;

/// Wrong checksums. What an ICMP error quotes is cut short and proves nothing. Where TCP's checksum is zero, once in 65,536
/// segments, Linux writes 0xffff without offloads, which is the same number to whoever verifies it, but not to tshark.
const BAD_CHECKSUMS: &str = "ip.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\" \
    || gre.checksum.status == \"Bad\" || (!icmp && ((tcp.checksum.status == \"Bad\" && !tcp.checksum.ffff) \
    || udp.checksum.status == \"Bad\"))";

/// A running capture. Stop it before reading the file; dropping it stops it too. Both look at the checksums.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
    stopped: bool,
}

impl Capture {
    /// Starts capturing all frames on a wire, by its name, and returns when the capture is live.
    pub fn start(lab: &Lab, wire: &str, file: &Path) -> Result<Self> {
        Self::of(lab, wire, file, "2048", None)
    }

    /// The same for the beginnings of those frames that pass a filter (in libpcap's language). Checksums are not looked at.
    pub fn headers(lab: &Lab, wire: &str, file: &Path, filter: &str) -> Result<Self> {
        Self::of(lab, wire, file, "96", Some(filter))
    }

    /// Ends a capture of headers and gives its frames, in order of time.
    pub fn take_headers(mut self) -> Result<Vec<Captured>> {
        let file = self.end()?;
        let mut frames = captured(&fs::read(file.path())?)?;
        frames.sort_by_key(|frame| frame.at);
        Ok(frames)
    }

    fn of(lab: &Lab, wire: &str, file: &Path, length: &str, filter: Option<&str>) -> Result<Self> {
        let mut command = Command::new("tcpdump");
        // Longer than any frame on a wire, but not much: what a burst needs room for is this times the frames.
        command
            .args(["-i", wire, "-U", "-s", length, "-B", "8192", "--immediate-mode", "-Z", "root", "-w"])
            .arg(file)
            .args(filter);
        let process = lab
            .start(lab.wires(), command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))
            .context("captures need tcpdump; `cargo xtask setup` installs it")?;
        let stderr = process.child().stderr.take().context("tcpdump has no standard error")?;
        let mut said = String::new();
        let mut lines = BufReader::new(stderr);
        while lines.read_line(&mut said)? > 0 {
            if said.contains("listening on") {
                // Frames that are cut short prove nothing about checksums.
                return Ok(Self { process, file: file.to_owned(), stopped: filter.is_some() });
            }
        }
        bail!("tcpdump on {wire} failed: {}", said.trim());
    }

    /// The frames captured so far.
    pub fn frames(&self) -> Result<Vec<Vec<u8>>> {
        frames_of(&fs::read(&self.file)?)
    }

    /// Ends the capture and gives its file. An error if a checksum in it is wrong.
    pub fn stop(mut self) -> Result<PcapFile> {
        let file = self.end()?;
        file.ensure_checksums()?;
        Ok(file)
    }

    fn end(&mut self) -> Result<PcapFile> {
        self.stopped = true;
        self.process.stop(Signal::SIGINT, Duration::from_secs(5))?;
        Ok(PcapFile { path: self.file.clone() })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.stopped || std::thread::panicking() {
            return;
        }
        // A capture that cannot be ended or read (its lab may be gone) says nothing about checksums.
        if let Ok(file) = self.end()
            && file.bad_checksums().is_ok_and(|bad| bad > 0)
            && let Err(error) = file.ensure_checksums()
        {
            panic!("{error:#}");
        }
    }
}

/// A frame as it was captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Since the Unix epoch, microseconds.
    pub at: Duration,
    /// The frame, or its beginning.
    pub bytes: Vec<u8>,
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

    /// How many frames have a wrong checksum. Of a capture that has been stopped without an error, none has.
    pub fn bad_checksums(&self) -> Result<usize> {
        self.count(BAD_CHECKSUMS)
    }

    fn ensure_checksums(&self) -> Result<()> {
        let bad = self.fields(BAD_CHECKSUMS, &["frame.number", "frame.protocols", "ip.src", "ip.dst", "frame.len"])?;
        let file = self.path.display();
        ensure!(bad.is_empty(), "{} wrong checksums in {file}: {}", bad.len(), bad[..bad.len().min(5)].join("; "));
        Ok(())
    }
}

/// The frames in a file as tcpdump writes it (libpcap format, this machine's byte order); one that is being written counts
/// when it is complete.
fn frames_of(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    Ok(captured(file)?.into_iter().map(|frame| frame.bytes).collect())
}

/// The same with the times.
fn captured(file: &[u8]) -> Result<Vec<Captured>> {
    let Some((header, mut rest)) = file.split_at_checked(24) else { return Ok(Vec::new()) };
    let magic = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    // Microseconds or nanoseconds.
    let unit = match magic {
        0xa1b2_c3d4 => 1_000,
        _ => 1,
    };
    ensure!(matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d), "a capture in another format, {magic:#x}");
    let mut frames = Vec::new();
    while let Some((record, after)) = rest.split_at_checked(16) {
        let word = |at: usize| u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let length = word(8) as usize;
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        let at = Duration::new(word(0).into(), word(4).saturating_mul(unit));
        frames.push(Captured { at, bytes: frame.to_vec() });
        rest = after;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{PcapFile, frames_of};
    use mipd_common::mac::MacAddress;

    use crate::packets::frame::Frame;
    use crate::packets::ipv4::Ipv4;

    const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    /// A capture of one packet.
    fn captured(packet: &Ipv4) -> (tempfile::TempDir, PcapFile) {
        let frame = Frame::new(MacAddress([2; 6]), MacAddress([4; 6])).ipv4(packet).bytes();
        let length = (frame.len() as u32).to_ne_bytes();
        let header =
            [0xa1b2_c3d4_u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4], 2048_u32.to_ne_bytes(), 1_u32.to_ne_bytes()];
        let mut file = header.concat();
        // Version 2.4.
        file[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        file[6..8].copy_from_slice(&4_u16.to_ne_bytes());
        file.extend([[0; 4], [0; 4], length, length].concat());
        file.extend(frame);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture");
        std::fs::write(&path, file).unwrap();
        (directory, PcapFile { path })
    }

    #[test]
    fn a_capture_with_a_wrong_checksum_is_an_error() {
        let packet = Ipv4::tcp_data((ONE, 1), (OTHER, 2), 10);
        let (_directory, right) = captured(&packet);
        right.ensure_checksums().unwrap();
        let mut transport = packet.bytes();
        *transport.last_mut().unwrap() ^= 1;
        let wrapped = Ipv4::new(ONE, OTHER).protocol(4).payload_bytes(&transport);
        for wrong in [packet.wrong_checksum(), wrapped] {
            let (_directory, wrong) = captured(&wrong);
            let refused = wrong.ensure_checksums().unwrap_err().to_string();
            assert!(refused.contains("wrong checksums"), "{refused}");
        }
    }

    #[test]
    fn a_checksum_that_is_zero_may_be_written_as_its_complement() {
        let (field, last) = (16..18, 28..30);
        let mut segment = Ipv4::tcp_data((ONE, 1), (OTHER, 2), 10).bytes().split_off(20);
        let word = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        // What is added to the data is taken from the checksum.
        let sum = word(&segment[field.clone()]) + word(&segment[last.clone()]);
        segment[last.clone()].copy_from_slice(&(((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
        segment[field].fill(0xff);
        let (_directory, right) = captured(&Ipv4::new(ONE, OTHER).protocol(6).payload_bytes(&segment));
        right.ensure_checksums().unwrap();
        segment[last.start] ^= 1;
        let (_directory, wrong) = captured(&Ipv4::new(ONE, OTHER).protocol(6).payload_bytes(&segment));
        wrong.ensure_checksums().unwrap_err();
    }

    #[test]
    fn frames_are_read_until_one_is_incomplete() {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.resize(24, 0);
        for length in [3_u32, 2] {
            file.extend([0; 8]);
            file.extend(length.to_ne_bytes());
            file.extend(length.to_ne_bytes());
            file.extend(vec![7; length as usize]);
        }
        assert_eq!(frames_of(&file).unwrap(), [vec![7; 3], vec![7; 2]]);
        file.pop();
        assert_eq!(frames_of(&file).unwrap(), [vec![7; 3]]);
        assert_eq!(frames_of(&file[..10]).unwrap(), Vec::<Vec<u8>>::new());
        assert!(frames_of(&[1; 24]).is_err());
    }
}
