//! A home agent's router, and one box in the place of everybody else.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use ipnet::Ipv4Net;
use mipd_agent::dataplane::{
    BindingRoute, DataPlane, FastPath, HomeRoutes, HomeSettings, HomeSubnetSettings, InterfaceSettings, Roles,
    Settings, TunnelExit, TunnelMode,
};
use mipd_agent::wire::{
    frame::{Link, emit_udp},
    ip::Datagram,
};
use mipd_common::{mac::MacAddress, maps::SCHEMA};
use rtnetlink::LinkUnspec;
use tokio::runtime::Runtime;

use crate::{Host, Lab, topology::CORE_INTERFACE, traffic::frames::FramePort};

/// The home agent's address, in a home network without a link.
pub(super) const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
const HOME_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 12);
/// It comes before the other one: all slots are other ones then.
const ANOTHER_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 32, 0, 0), 16);
/// Where the care-of addresses are.
const CARE_OF_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 16);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 254);
const ROUTER_MAC: [u8; 6] = [0x02, 0, 10, 200, 0, 254];
const GENERATOR: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
const GENERATOR_MAC: [u8; 6] = [0x02, 0, 10, 200, 0, 1];
/// Between two packets of a stream.
const PACE: Duration = Duration::from_micros(50);
/// For all packets of a stream: what is counted as lost must not be lost here.
const ROOM: usize = 256 << 20;
const PORT: u16 = 7;
const ANOTHER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
/// After this nothing is under way any more.
const SILENCE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);

/// The lab.
#[derive(Debug)]
pub(super) struct Network {
    pub lab: Lab,
    pub router: Host,
    generator: Host,
}

/// The binding with this number.
pub(super) fn route(number: u32, tunnels: u32) -> BindingRoute {
    let exit = TunnelExit {
        care_of_address: care_of_address(number % tunnels),
        home_agent: HOME_AGENT,
        mode: TunnelMode::default(),
    };
    BindingRoute { home_address: client(number), exits: vec![exit] }
}

/// The client with this number: the home network's addresses behind the home agent's.
pub(super) fn client(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(HOME_AGENT.to_bits() + 1 + number)
}

/// The care-of address with this number.
pub(super) fn care_of_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(CARE_OF_NETWORK.network().to_bits() + 1 + number)
}

impl Network {
    pub fn build() -> Result<Self> {
        let lab = Lab::new("benchtables")?;
        let (generator, router) = (lab.host("generator")?, lab.host("home")?);
        router.forward()?;
        let wire = lab.wire("core")?;
        wire.connect(&generator, "eth0", GENERATOR_MAC)?;
        wire.connect(&router, CORE_INTERFACE, ROUTER_MAC)?;
        generator.add_address("eth0", Ipv4Net::new(GENERATOR, 24)?)?;
        router.add_address(CORE_INTERFACE, Ipv4Net::new(ROUTER, 24)?)?;
        router.add_address("lo", Ipv4Net::new(HOME_AGENT, 32)?)?;
        router.add_route(CARE_OF_NETWORK, GENERATOR)?;
        Ok(Self { lab, router, generator })
    }

    /// Does something on the router, in a runtime of its own.
    pub fn on_router<T: Send>(&self, work: impl FnOnce(&Runtime) -> Result<T> + Send) -> Result<T> {
        self.router.namespace().enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let _guard = runtime.enter();
            work(&runtime)
        })?
    }

    pub fn settings(&self, bindings: u32, tunnels: u32) -> Settings {
        Settings {
            bpffs_dir: self.lab.bpffs().join("tables"),
            state_dir: self.lab.directory().join("tables"),
            interfaces: vec![InterfaceSettings {
                name: CORE_INTERFACE.to_owned(),
                roles: Roles { home: true, core: true, ..Roles::default() },
                fast_path: FastPath::Auto,
            }],
            home: Some(HomeSettings {
                address: HOME_AGENT,
                subnets: vec![subnet(HOME_NETWORK)],
                maximum_tunnels: tunnels,
                maximum_bindings: bindings,
                maximum_slots: 1 << 22,
                mss_clamp: true,
            }),
            visit: None,
            access_point: None,
        }
    }

    /// Gives the way to all care-of addresses another MAC, and waits until every tunnel has it. To be called on the router.
    pub fn change_next_hop(&self, runtime: &Runtime, plane: &mut DataPlane) -> Result<Duration> {
        let index = nix::net::if_::if_nametoindex(CORE_INTERFACE)?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            let mut took = Duration::ZERO;
            for mac in [GENERATOR_MAC, ANOTHER_MAC, GENERATOR_MAC] {
                self.set_generator_mac(mac)?;
                let start = Instant::now();
                let neighbour = handle.neighbours().add(index, GENERATOR.into());
                neighbour.link_layer_address(&mac).replace().execute().await?;
                follow(plane, MacAddress(mac)).await?;
                if mac == ANOTHER_MAC {
                    took = start.elapsed();
                }
            }
            connection.abort();
            Ok(took)
        })
    }
}

impl Network {
    fn set_generator_mac(&self, mac: [u8; 6]) -> Result<()> {
        self.generator.namespace().netlink(async |handle| {
            let change = LinkUnspec::new_with_name("eth0").address(mac.to_vec()).build();
            Ok(handle.link().set(change).execute().await?)
        })
    }
}

/// Lets the data plane work until all its tunnels have this next hop.
async fn follow(plane: &mut DataPlane, mac: MacAddress) -> Result<()> {
    let (wanted, deadline) = (mac.to_string(), Instant::now() + PATIENCE);
    loop {
        let _ = tokio::time::timeout(Duration::from_millis(5), plane.next_event()).await;
        let tunnels = plane.tunnels();
        let there = tunnels.iter().filter(|tunnel| tunnel.next_hop_mac.as_ref() == Some(&wanted)).count();
        if there == tunnels.len() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "only {there} tunnels lead to {wanted} after {PATIENCE:?}");
    }
}

/// Moves every binding to another slot.
pub(super) fn with_another_subnet(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.home.iter_mut().for_each(|home| home.subnets.push(subnet(ANOTHER_NETWORK)));
    settings
}

fn subnet(prefix: Ipv4Net) -> HomeSubnetSettings {
    HomeSubnetSettings { prefix, interface: CORE_INTERFACE.to_owned(), routes: HomeRoutes::Subnet }
}

/// The kernel's memory for each pinned map, bytes.
pub(super) fn map_memory(settings: &Settings) -> Result<BTreeMap<String, u64>> {
    let mut maps = BTreeMap::new();
    let directory = settings.bpffs_dir.join(format!("v{SCHEMA}"));
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            continue;
        }
        let map = MapData::from_pin(&path)?;
        let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
        let memory = info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        maps.insert(name, memory.context("the kernel does not say how much memory a map takes")?);
    }
    Ok(maps)
}

/// Packets for one away client, one after another at an even pace, until it is stopped.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<u64>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub sent: u64,
    /// Came back in a tunnel.
    pub received: u64,
}

impl Stream {
    /// Starts sending from the generator, and returns when packets come back.
    pub fn start(network: &Network) -> Result<Self> {
        let (out, back) = (FramePort::open(&network.generator, "eth0")?, FramePort::open(&network.generator, "eth0")?);
        back.set_room(ROOM)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (first, has_begun) = std::sync::mpsc::channel();
        let (stopped, done) = (Arc::clone(&stop), Arc::clone(&stop));
        let receiver = std::thread::spawn(move || {
            let mut received = 0;
            let mut buffer = [0; 2048];
            let mut last = Instant::now();
            while last.elapsed() < SILENCE || !done.load(Ordering::Relaxed) {
                if back.next(&mut buffer).and_then(tunnelled).is_some() {
                    received += 1;
                    last = Instant::now();
                    if received == 1 {
                        let _ = first.send(());
                    }
                }
            }
            received
        });
        let sender = std::thread::spawn(move || {
            let frame = packet();
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                out.send(&frame)?;
                sent += 1;
                std::thread::sleep(PACE);
            }
            Ok(sent)
        });
        let stream = Self { stop, sender, receiver };
        if has_begun.recv_timeout(PATIENCE).is_err() {
            let outcome = stream.stop()?;
            anyhow::bail!("nothing comes back in a tunnel: {outcome:?}");
        }
        Ok(stream)
    }

    /// Ends it, and waits for what is under way.
    pub fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let failed = || anyhow::anyhow!("a thread of the packet stream has failed");
        let sent = self.sender.join().map_err(|_| failed())??;
        Ok(Outcome { sent, received: self.receiver.join().map_err(|_| failed())? })
    }
}

fn packet() -> Vec<u8> {
    let link = Link { destination: MacAddress(ROUTER_MAC), source: MacAddress(GENERATOR_MAC) };
    emit_udp(
        link,
        &Datagram {
            source: GENERATOR,
            source_port: PORT,
            destination: client(0),
            destination_port: PORT,
            ttl: 64,
            payload: &[0; 32],
        },
    )
}

/// Whether it is one of ours, from the router: IPv4 in IPv4 for the care-of address of the first client.
fn tunnelled(frame: &[u8]) -> Option<()> {
    let ours = frame.get(6..12)? == ROUTER_MAC
        && *frame.get(23)? == 4
        && frame.get(30..34)? == care_of_address(0).octets()
        && frame.get(50..54)? == client(0).octets();
    ours.then_some(())
}
