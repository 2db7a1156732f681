//! The boxes: a generator, a home agent, and a foreign agent between them.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use mipd_agent::{
    io::{
        batch::ReceiveBatch,
        datagram::{Datagram, REGISTRATION_PORT},
        frames::{FrameSocket, Want},
        udp::{Arrivals, RegistrationSocket},
    },
    mobility::link::{InterfaceIndex, Path, Transmit},
    wire::{
        frame::{self, Link},
        ip,
    },
};
use mipd_common::mac::MacAddress;

use super::{
    clients::Clients,
    load::{self, Load, Outcome, Request, Transport},
};
use crate::{
    Host, Lab,
    agent::{
        Agent,
        config::{FastPath, Settings},
    },
    bench::machine,
    topology::CORE_INTERFACE,
};

/// The home agent's address, in a home network without a link.
pub(super) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
/// The home network.
const HOME_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 12);
/// The first client's address.
pub(super) const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 64, 1, 0);
/// The foreign agents that the generator plays.
pub(super) const CARE_OF_ADDRESSES: [Ipv4Addr; 16] = {
    let mut addresses = [Ipv4Addr::UNSPECIFIED; 16];
    let mut number = 0;
    while number < 16 {
        addresses[number] = Ipv4Addr::new(10, 200, 0, number as u8 + 1);
        number += 1;
    }
    addresses
};
const HOME_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 254);
/// The foreign agent's.
pub(super) const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 210, 0, 1);
const FOREIGN_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 253);
const FOREIGN_MAC: [u8; 6] = [0x02, 0, 10, 210, 0, 1];
const TTL: u8 = 64;

/// A home agent, and the generator in the place of all foreign agents.
#[derive(Debug)]
pub(super) struct HomeNetwork {
    lab: Lab,
    generator: Host,
    home: Host,
}

impl HomeNetwork {
    pub fn build(label: &str) -> Result<Self> {
        let lab = Lab::new(&format!("bench{label}"))?;
        let generator = lab.host("generator")?;
        let home = home_router(&lab)?;
        let wire = lab.wire("core")?;
        wire.connect(&generator, "eth0", [0x02, 0, 10, 200, 0, 1])?;
        wire.connect(&home, CORE_INTERFACE, [0x02, 0, 10, 200, 0, 254])?;
        for address in CARE_OF_ADDRESSES {
            generator.add_address("eth0", net(address, 24))?;
        }
        home.add_address(CORE_INTERFACE, net(HOME_ROUTER, 24))?;
        generator.add_route(net(HOME_AGENT, 32), HOME_ROUTER)?;
        Ok(Self { lab, generator, home })
    }

    /// Starts the home agent on a core of its own.
    pub fn start_agent(&self, core: usize, clients: &Clients) -> Result<Agent> {
        start(&self.lab, &self.home, core, &home_agent(clients))
    }

    /// Sends back whatever comes to UDP port 434, from a core of its own.
    pub fn start_echo(&self, core: usize) -> Result<Echo> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, namespace) = (Arc::clone(&stop), self.home.namespace().clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            namespace.enter(|| {
                machine::pin(core)?;
                in_runtime(async || {
                    let socket = RegistrationSocket::open()?;
                    let _ = ready.send(());
                    let mut batch = ReceiveBatch::new();
                    while !stopped.load(Ordering::Relaxed) {
                        let received = socket.receive(&mut batch);
                        let Ok(datagrams) = tokio::time::timeout(Duration::from_millis(100), received).await else {
                            continue;
                        };
                        if let Arrivals::Datagrams(datagrams) = datagrams? {
                            let echoes: Vec<_> = datagrams.into_iter().map(echo).collect();
                            socket.send(&echoes, |_, _| {});
                        }
                    }
                    Ok(())
                })
            })?
        });
        is_ready.recv().context("the echo did not start")?;
        Ok(Echo { stop, thread: Some(thread) })
    }

    /// Runs a load from a core of its own.
    pub fn run(&self, core: usize, clients: &Clients, load: &Load<'_>) -> Result<Outcome> {
        self.generator.namespace().enter(|| {
            machine::pin(core)?;
            in_runtime(async || {
                let socket = RegistrationSocket::open()?;
                let mut transport = Datagrams { socket, batch: ReceiveBatch::new() };
                load::run(&mut transport, clients, load).await
            })
        })?
    }
}

/// A home agent and a foreign agent, and the generator in the place of all access points.
#[derive(Debug)]
pub(super) struct Pair {
    lab: Lab,
    generator: Host,
    foreign: Host,
    home: Host,
}

/// Both agents; they end when dropped.
#[derive(Debug)]
pub(super) struct Agents {
    pub foreign: Agent,
    pub home: Agent,
}

impl Pair {
    pub fn build() -> Result<Self> {
        let lab = Lab::new("benchpair")?;
        let generator = lab.host("generator")?;
        let foreign = lab.host("foreign")?;
        foreign.forward()?;
        let home = home_router(&lab)?;
        let core = lab.wire("core")?;
        core.connect(&foreign, CORE_INTERFACE, [0x02, 0, 10, 200, 0, 253])?;
        core.connect(&home, CORE_INTERFACE, [0x02, 0, 10, 200, 0, 254])?;
        foreign.add_address(CORE_INTERFACE, net(FOREIGN_ROUTER, 24))?;
        home.add_address(CORE_INTERFACE, net(HOME_ROUTER, 24))?;
        let access = lab.wire("access")?;
        access.connect(&generator, "eth0", [0x02, 0, 10, 210, 0, 2])?;
        access.connect(&foreign, "lan0", FOREIGN_MAC)?;
        foreign.add_address("lan0", net(CARE_OF_ADDRESS, 24))?;
        foreign.add_route(net(HOME_AGENT, 32), HOME_ROUTER)?;
        home.add_route(net(CARE_OF_ADDRESS, 24).trunc(), FOREIGN_ROUTER)?;
        Ok(Self { lab, generator, foreign, home })
    }

    /// Starts both agents, on one core.
    pub fn start_agents(&self, core: usize, clients: &Clients) -> Result<Agents> {
        let foreign = format!(
            "[foreign-agent]\ninterfaces = [\"lan0\"]\ncare-of-address = \"{CARE_OF_ADDRESS}\"\nmaximum-visitors = 1048576\n"
        );
        Ok(Agents {
            home: start(&self.lab, &self.home, core, &home_agent(clients))?,
            foreign: start(&self.lab, &self.foreign, core, &foreign)?,
        })
    }

    /// Runs a load from a core of its own.
    pub fn run(&self, core: usize, clients: &Clients, load: &Load<'_>) -> Result<Outcome> {
        self.generator.namespace().enter(|| {
            machine::pin(core)?;
            let index = nix::net::if_::if_nametoindex("eth0")?;
            in_runtime(async || {
                let socket = FrameSocket::open(InterfaceIndex(index), Want::AgentTraffic)?;
                let mut transport = Frames { socket, batch: ReceiveBatch::new() };
                load::run(&mut transport, clients, load).await
            })
        })?
    }
}

/// Runs until dropped.
#[derive(Debug)]
pub(super) struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// As foreign agents do: from each care-of address, by the kernel's routing.
struct Datagrams {
    socket: RegistrationSocket,
    batch: ReceiveBatch,
}

impl Transport for Datagrams {
    fn send(&mut self, requests: &[Request]) {
        let transmits: Vec<_> = requests
            .iter()
            .map(|request| Transmit {
                payload: request.payload.clone(),
                source: request.care_of_address,
                source_port: REGISTRATION_PORT,
                destination: HOME_AGENT,
                destination_port: REGISTRATION_PORT,
                ttl: TTL,
                path: Path::Routed,
            })
            .collect();
        self.socket.send(&transmits, |_, _| {});
    }

    async fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<()> {
        match self.socket.receive(&mut self.batch).await? {
            Arrivals::Datagrams(datagrams) => datagrams.iter().for_each(|datagram| each(&datagram.payload)),
            Arrivals::Undeliverable(request) => bail!("the home agent cannot be reached: {request:?}"),
        }
        Ok(())
    }
}

/// As access points do: frames from each client's own addresses.
struct Frames {
    socket: FrameSocket,
    batch: ReceiveBatch,
}

impl Transport for Frames {
    fn send(&mut self, requests: &[Request]) {
        for request in requests {
            let datagram = ip::Datagram {
                source: Clients::address(request.client),
                source_port: REGISTRATION_PORT,
                destination: CARE_OF_ADDRESS,
                destination_port: REGISTRATION_PORT,
                ttl: u8::MAX,
                payload: &request.payload,
            };
            let link = Link { destination: MacAddress(FOREIGN_MAC), source: Clients::mac(request.client) };
            // A frame that does not leave is a request that is lost, and counted so.
            let _ = self.socket.send(&frame::emit_udp(link, &datagram));
        }
    }

    async fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<()> {
        for frame in self.socket.receive(&mut self.batch).await? {
            let (_, datagram) = frame::parse_udp(&frame.bytes, frame.checksum_verified).context("a bad reply")?;
            each(datagram.payload);
        }
        Ok(())
    }
}

fn home_router(lab: &Lab) -> Result<Host> {
    let home = lab.host("home")?;
    home.forward()?;
    lab.wire("home")?.connect(&home, "lan0", [0x02, 0, 10, 64, 0, 1])?;
    home.add_address("lan0", net(HOME_AGENT, 32))?;
    Ok(home)
}

fn home_agent(clients: &Clients) -> String {
    format!(
        "{}\n[home-agent]\naddress = \"{HOME_AGENT}\"\nsubnets = [{{ prefix = \"{HOME_NETWORK}\", interface = \"lan0\" }}]\n\
         maximum-bindings = 1048576\n",
        clients.associations()
    )
}

fn start(lab: &Lab, host: &Host, core: usize, sections: &str) -> Result<Agent> {
    let mut settings = Settings::new(FastPath::Auto);
    // A line per binding would be measured, too.
    "warn".clone_into(&mut settings.log);
    let mut agent = Agent::configure_as(lab, host, &settings, sections)?;
    machine::on_core(core, || agent.launch())?;
    agent.await_ready()?;
    Ok(agent)
}

fn echo(datagram: Datagram) -> Transmit {
    Transmit {
        payload: datagram.payload,
        source: datagram.destination,
        source_port: REGISTRATION_PORT,
        destination: datagram.source,
        destination_port: datagram.source_port,
        ttl: TTL,
        path: Path::Routed,
    }
}

fn in_runtime<T>(work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
}

fn net(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, length)
}
