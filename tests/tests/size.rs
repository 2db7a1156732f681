//! Packets that are larger than what a tunnel takes: their senders are told, fragments arrive, TCP goes on, and a link that
//! becomes narrower on the way is found out.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place, Traffic};
use mipd_lab::topology::{CLIENT, CORE_INTERFACE, CORRESPONDENT};
use mipd_lab::{Carrier, Host, Namespace, wait};

const PATIENCE: Duration = Duration::from_secs(15);
const PORT: u16 = 4712;
/// IPv4 and UDP header.
const HEADERS: usize = 28;
/// Fresh bytes of the TCP connection, each way, that say it goes on.
const PROGRESS: u64 = 100_000;

#[test]
fn senders_learn_what_a_tunnel_takes_by_xdp() -> Result<()> {
    senders_learn_what_a_tunnel_takes("sizexdp", FastPath::Auto)
}

#[test]
fn senders_learn_what_a_tunnel_takes_by_tc() -> Result<()> {
    senders_learn_what_a_tunnel_takes("sizetc", FastPath::Tc)
}

#[test]
fn senders_learn_what_a_tunnel_takes_by_the_kernel() -> Result<()> {
    senders_learn_what_a_tunnel_takes("sizeoff", FastPath::Off)
}

fn senders_learn_what_a_tunnel_takes(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    // Without help, TCP depends on being told.
    let mut stage = Deployment::build(label, &Settings { mss_clamp: false, ..Settings::new(fast_path) })?;
    stage.agents.start()?;
    let traffic = stage.start_traffic()?;
    stage.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let down = Probe::open(stage.campus.correspondent.namespace(), CLIENT)?;
    down.learns(1480)?;

    // While the connection is in full swing.
    set_link_mtu(&stage.campus.core, "to-fa1", &stage.campus.fa1.host, 1400)?;
    down.learns(1380)?;
    let progress = traffic.connection.progresses(PROGRESS, PATIENCE)?;
    progress.context("TCP does not get over a link that has become narrower")?;
    let tunnel = await_path_mtu(stage.router(Place::Home), 1400)?;
    ensure!(tunnel["mtu"] == 1380 && tunnel["path_mtu_router"] == "10.0.1.1", "{tunnel}");
    ensure!(tunnel["path_mtu_remaining_s"].as_u64().is_some_and(|left| (1..=600).contains(&left)), "{tunnel}");

    let ear = Ear::open(stage.campus.client.host.namespace(), CLIENT)?;
    ensure!(down.send(1381).is_err(), "the correspondent's stack does not know the limit");
    for length in [1380, 1000] {
        down.sends(length)?;
        ear.hears(length - HEADERS).with_context(|| format!("{length} bytes that must not be fragmented"))?;
    }
    let large = UdpSender::open(stage.campus.correspondent.namespace(), CLIENT)?;
    arrive_in_pieces(&large, &ear, [1381, 1500, 4028])?;
    end_intact(traffic)
}

/// Packets of these lengths, which may be fragmented, arrive whole.
fn arrive_in_pieces(sender: &UdpSender, ear: &Ear, lengths: [usize; 3]) -> Result<()> {
    for length in lengths {
        sender.send(length)?;
        ear.hears(length - HEADERS).with_context(|| format!("{length} bytes that may be fragmented"))?;
    }
    Ok(())
}

/// Ends the traffic: the two ends of the connection have seen the same bytes.
fn end_intact(traffic: Traffic) -> Result<()> {
    drop(traffic.pings);
    let outcome = traffic.connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "{outcome:?}");
    Ok(())
}

#[test]
fn a_visitor_learns_what_its_reverse_tunnel_takes() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { mss_clamp: false, reverse_tunnel: true, ..Settings::new(FastPath::Auto) };
    let mut stage = Deployment::build("sizerev", &settings)?;
    stage.agents.start()?;
    let traffic = stage.start_traffic()?;
    stage.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let up = Probe::open(stage.campus.client.host.namespace(), CORRESPONDENT)?;
    up.learns(1480)?;
    ensure!(stage.agents.fa1.counter("answered_too_big")? > 0, "the visitor is told by others than the program");

    set_link_mtu(&stage.campus.core, "to-ha", &stage.campus.ha.host, 1300)?;
    up.learns(1280)?;
    let progress = traffic.connection.progresses(PROGRESS, PATIENCE)?;
    progress.context("TCP does not get over a link that has become narrower")?;
    ensure!(stage.agents.fa1.counter("icmp_errors_relayed")? > 0, "the foreign agent relays nothing");
    let tunnel = await_path_mtu(&stage.agents.fa1, 1300)?;
    ensure!(tunnel["path_mtu_router"] == "10.0.2.1", "{tunnel}");

    let ear = Ear::open(stage.campus.correspondent.namespace(), CORRESPONDENT)?;
    up.sends(1280)?;
    ear.hears(1280 - HEADERS)?;
    let large = UdpSender::open(stage.campus.client.host.namespace(), CORRESPONDENT)?;
    arrive_in_pieces(&large, &ear, [1281, 1500, 4028])?;
    end_intact(traffic)
}

#[test]
fn tcp_is_told_the_segments_that_fit_by_xdp() -> Result<()> {
    tcp_is_told_the_segments_that_fit("mssxdp", FastPath::Auto, false)?;
    tcp_is_told_the_segments_that_fit("mssxdpr", FastPath::Auto, true)
}

#[test]
fn tcp_is_told_the_segments_that_fit_by_the_kernel() -> Result<()> {
    tcp_is_told_the_segments_that_fit("mssoff", FastPath::Off, false)?;
    tcp_is_told_the_segments_that_fit("mssoffr", FastPath::Off, true)
}

fn tcp_is_told_the_segments_that_fit(label: &str, fast_path: FastPath, reverse_tunnel: bool) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut stage = Deployment::build(label, &Settings { reverse_tunnel, ..Settings::new(fast_path) })?;
    stage.agents.start()?;
    let pings = stage.start_pings()?;
    stage.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let (client, correspondent) = (stage.campus.client.host.namespace(), stage.campus.correspondent.namespace());
    // 1,480 bytes less the headers, and less the timestamps that every segment carries.
    for (from, to, address) in [(client, correspondent, CORRESPONDENT), (correspondent, client, CLIENT)] {
        let (near, far) = connect(from, to, address)?;
        for end in [near, far] {
            let segment = option(&end, libc::IPPROTO_TCP, libc::TCP_MAXSEG)?;
            ensure!(segment == 1428, "a connection to {address} uses segments of {segment} bytes");
        }
    }
    drop(pings);
    Ok(())
}

#[test]
fn an_error_of_a_router_inside_the_tunnel_reaches_the_sender() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut stage = Deployment::build("icmprelay", &Settings::new(FastPath::Auto))?;
    stage.agents.start()?;
    let pings = stage.start_pings()?;
    stage.roam(Place::Visited1Ap1, Carrier::Kept)?;
    drop(pings);
    run(&stage.campus.core, &["route", "add", "unreachable", "10.2.0.1/32"])?;
    let probe = Probe::open(stage.campus.correspondent.namespace(), CLIENT)?;
    set_option(&probe.0, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    let told = wait::until(PATIENCE, || {
        Ok(probe.send(100).err().filter(|error| error.raw_os_error() == Some(libc::EHOSTUNREACH)))
    })?;
    told.context("the correspondent does not hear that there is no way")?;
    ensure!(stage.router(Place::Home).counter("icmp_errors_relayed")? > 0, "somebody else told it");
    Ok(())
}

/// Sets the MTU of both ends of the link between the core and a router.
fn set_link_mtu(core: &Host, core_side: &str, router: &Host, mtu: u16) -> Result<()> {
    let mtu = mtu.to_string();
    run(core, &["link", "set", core_side, "mtu", &mtu])?;
    run(router, &["link", "set", CORE_INTERFACE, "mtu", &mtu])
}

fn run(host: &Host, arguments: &[&str]) -> Result<()> {
    let output = host.namespace().output(Command::new("ip").args(arguments))?;
    ensure!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The row of a tunnel whose path a router has told to have this MTU.
fn await_path_mtu(agent: &mipd_lab::agent::Agent, mtu: u16) -> Result<serde_json::Value> {
    let row = wait::until(PATIENCE, || {
        let tunnels = agent.show("tunnels")?;
        let mut rows = tunnels.as_array().into_iter().flatten();
        Ok(rows.find(|row| row["path_mtu"] == mtu && row["path_mtu_source"] == "icmp").cloned())
    })?;
    row.with_context(|| format!("no tunnel with path MTU {mtu}: {}", agent.show_text("tunnels").unwrap_or_default()))
}

fn connect(from: &Namespace, to: &Namespace, address: Ipv4Addr) -> Result<(TcpStream, TcpStream)> {
    let listener = to.enter(|| TcpListener::bind((address, PORT)))??;
    let target = SocketAddrV4::new(address, PORT).into();
    let near = from.enter(|| TcpStream::connect_timeout(&target, PATIENCE))??;
    Ok((near, listener.accept()?.0))
}

/// Sends datagrams that must not be fragmented, and learns how large they may be.
struct Probe(UdpSocket);

impl Probe {
    fn open(namespace: &Namespace, target: Ipv4Addr) -> Result<Self> {
        let socket = connected(namespace, target)?;
        set_option(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
        Ok(Self(socket))
    }

    /// Sends a packet of `length` bytes, headers included.
    fn send(&self, length: usize) -> io::Result<()> {
        self.0.send(&vec![0x5a; length - HEADERS]).map(drop)
    }

    /// The same, after errors about earlier packets that are still on their way.
    fn sends(&self, length: usize) -> Result<()> {
        let sent = wait::until(PATIENCE, || Ok(self.send(length).ok()))?;
        sent.with_context(|| format!("cannot send {length} bytes"))
    }

    /// Sends the largest packets that it believes possible until it believes `mtu`.
    fn learns(&self, mtu: usize) -> Result<()> {
        let known = || Ok::<_, io::Error>(option(&self.0, libc::IPPROTO_IP, libc::IP_MTU)?.cast_unsigned() as usize);
        let learned = wait::until(PATIENCE, || {
            let now = known()?;
            if now != mtu {
                // Refused if it has just become smaller.
                let _ = self.send(now);
            }
            Ok((now == mtu).then_some(()))
        })?;
        learned.with_context(|| format!("believes in {} instead of {mtu} bytes", known().unwrap_or_default()))
    }
}

/// Sends datagrams that may be fragmented.
struct UdpSender(UdpSocket);

impl UdpSender {
    fn open(namespace: &Namespace, target: Ipv4Addr) -> Result<Self> {
        let socket = connected(namespace, target)?;
        set_option(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)?;
        Ok(Self(socket))
    }

    /// Sends a packet of `length` bytes, headers included.
    fn send(&self, length: usize) -> io::Result<()> {
        self.0.send(&vec![0x5a; length - HEADERS]).map(drop)
    }
}

fn connected(namespace: &Namespace, target: Ipv4Addr) -> Result<UdpSocket> {
    let socket = namespace.enter(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((target, PORT))?;
        Ok::<_, io::Error>(socket)
    })??;
    Ok(socket)
}

/// Receives what arrives at the port.
struct Ear(UdpSocket);

impl Ear {
    fn open(namespace: &Namespace, address: Ipv4Addr) -> Result<Self> {
        let socket = namespace.enter(|| UdpSocket::bind((address, PORT)))??;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Waits for a datagram with so many bytes of data; others are earlier probes.
    fn hears(&self, length: usize) -> Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let received = self.0.recv(&mut buffer).context("did not arrive")?;
            if received == length {
                ensure!(buffer[..received].iter().all(|byte| *byte == 0x5a), "arrived damaged");
                return Ok(());
            }
        }
    }
}

fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option value is a live integer and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<i32>() as u32)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn option(socket: &impl AsRawFd, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut length) = (0_i32, size_of::<i32>() as u32);
    // SAFETY: the option value is an integer that lives on, and its size is passed with it.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
