//! `FreeRADIUS` on boxes of a lab: a real server with the clients that a test gives it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;
use crate::wait;

const PROGRAM: &str = "freeradius";
/// How long a server may take until it listens, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Whether there is a `FreeRADIUS` here. If not, says so in the words by which `cargo xtask test` counts a test as skipped.
pub fn available() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(PROGRAM).is_file());
    if !found {
        eprintln!("SKIPPED: {PROGRAM} is not installed; `cargo xtask setup` installs it");
    }
    found
}

/// A client that a server knows, with its reply.
#[derive(Clone, Debug)]
pub struct User {
    /// The home address: the user's name.
    pub home_address: Ipv4Addr,
    /// The password that goes with it.
    pub password: String,
    /// The reply's AV pairs.
    pub av_pairs: Vec<String>,
}

impl User {
    /// A client with one association, HMAC-MD5, and the usual password.
    pub fn new(home_address: Ipv4Addr, spi: u32, key: &str) -> Self {
        let av_pair = format!("mobileip:spi#0=spi {spi:x} key hex {key} algorithm hmac-md5");
        Self { home_address, password: "cisco".to_owned(), av_pairs: vec![av_pair] }
    }

    /// An entry of the file `users`. Older servers sign an Accept with a Message-Authenticator only if its reply list says so.
    fn entry(&self) -> String {
        let pairs = self.av_pairs.iter().map(|pair| format!(",\n\tCisco-AVPair += {pair:?}"));
        format!(
            "{} Cleartext-Password := {:?}\n\tMessage-Authenticator = 0x00{}\n",
            self.home_address,
            self.password,
            pairs.collect::<String>(),
        )
    }
}

/// A running server. It ends with the lab at the latest.
#[derive(Debug)]
pub struct FreeRadius {
    address: SocketAddrV4,
    log: PathBuf,
    process: Process,
}

impl FreeRadius {
    /// Starts a server on a box, at one of its addresses and a free port, and waits until it listens.
    pub fn start(lab: &Lab, host: &Host, name: &str, ip: Ipv4Addr, secret: &str, users: &[User]) -> Result<Self> {
        let directory = lab.directory().join(name);
        // It refuses a folder that others can write to.
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let address = free_address(host, ip)?;
        fs::write(directory.join("radiusd.conf"), configuration(&directory, address, secret))?;
        fs::write(directory.join("users"), users.iter().map(User::entry).collect::<String>())?;
        let log = directory.join("log");
        let file = File::create(&log)?;
        let mut command = Command::new(PROGRAM);
        command.args(["-f", "-xx", "-l", "stdout", "-d"]).arg(&directory);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let process = lab.start(host.namespace(), &mut command)?;
        let server = Self { address, log, process };
        let ready = wait::until(START_PATIENCE, || {
            if let Some(status) = server.process.ended()? {
                bail!("{name} ended at its start ({status}):\n{}", server.log()?);
            }
            Ok(server.log()?.contains("Ready to process requests").then_some(()))
        })?;
        ready.with_context(|| format!("{name} does not listen after {START_PATIENCE:?}"))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Everything it logged.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))
    }

    /// How many requests about a client it got, retransmissions included.
    pub fn requests_about(&self, home_address: Ipv4Addr) -> Result<usize> {
        let line = format!("User-Name = \"{home_address}\"");
        let received = |packet: &&str| packet.starts_with("Access-Request") && packet.contains(&line);
        Ok(self.log()?.split("Received ").filter(received).count())
    }

    /// Ends it.
    pub fn stop(self) -> Result<()> {
        self.process.stop(Signal::SIGTERM, STOP_PATIENCE).map(drop)
    }
}

/// An address where nobody listens on that box.
pub fn free_address(host: &Host, ip: Ipv4Addr) -> Result<SocketAddrV4> {
    let port = host.namespace().enter(|| UdpSocket::bind((ip, 0))?.local_addr().map(|address| address.port()))?;
    Ok(SocketAddrV4::new(ip, port.with_context(|| format!("{} has no address {ip}", host.name()))?))
}

fn configuration(directory: &Path, address: SocketAddrV4, secret: &str) -> String {
    let (folder, ip, port) = (directory.display(), address.ip(), address.port());
    format!(
        r#"prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = "{folder}"
logdir = "{folder}"
run_dir = "{folder}"
pidfile = "{folder}/pid"
security {{
    reject_delay = 0
    status_server = no
    allow_vulnerable_openssl = yes
}}
client lab {{
    ipaddr = 0.0.0.0/0
    secret = "{secret}"
    require_message_authenticator = yes
}}
modules {{
    files {{
        filename = "{folder}/users"
    }}
    pap {{
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = {ip}
        port = {port}
    }}
    authorize {{
        files
        pap
    }}
    authenticate {{
        pap
    }}
}}
"#
    )
}
