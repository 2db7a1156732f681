//! The data plane on a real kernel, each test in network and mount namespaces of its own that end with its thread.
//!
//! What the data plane did is looked at with `ip`, `tc` and `bridge`, not with its own code. Needs root.

#[path = "dataplane/tables.rs"]
mod tables;

use std::{
    fmt::Write as _,
    fs,
    future::Future,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};
use mipd_agent::dataplane::{
    BindingRoute, DataPlane, DataPlaneError, Encapsulation, Event, FromUdp, GreKeys, Inspection, PathMtuSource,
    Refusal, Settings, SightingKind, StationEntry, TunnelExit, TunnelMode, UdpArrival, UdpEnds, VisitorRoute,
    settings::{
        AccessPointSettings, FastPath, HomeRoutes, HomeSettings, HomeSubnetSettings, InterfaceSettings, Mark, Roles,
        VisitSettings,
    },
    unload,
};
use mipd_common::{mac::MacAddress, maps::SCHEMA};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const CARE_OF: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
const CLIENT_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 5]);
const FAR_AGENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// A router with interfaces `lan0` (home), `lan1` (access) and `core`, whose other ends are in a namespace beyond.
struct Router {
    bpffs: PathBuf,
    state: PathBuf,
    beyond: Beyond,
}

/// The namespace at the other end of every cable. It ends with this value.
struct Beyond {
    path: String,
    work: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    done: mpsc::Receiver<()>,
}

impl Beyond {
    fn new() -> Self {
        let (work, inbox) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (ready, done) = mpsc::channel();
        let (send_path, path) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            let thread = nix::unistd::gettid();
            send_path.send(format!("/proc/{}/task/{thread}/ns/net", std::process::id())).unwrap();
            for work in inbox {
                work();
                ready.send(()).unwrap();
            }
        });
        Self { path: path.recv().unwrap(), work, done }
    }

    fn enter(&self, work: impl FnOnce() + Send + 'static) {
        self.work.send(Box::new(work)).unwrap();
        self.done.recv().expect("the work beyond failed");
    }

    fn run(&self, command: &str) {
        let command = command.to_owned();
        self.enter(move || drop(sh(&command)));
    }

    /// A packet socket bound to the other end of a cable.
    fn packet_socket(&self, interface: &str) -> socket2::Socket {
        let (sender, receiver) = mpsc::channel();
        let interface = interface.to_owned();
        self.enter(move || sender.send(packet_socket(&interface)).unwrap());
        receiver.recv().unwrap()
    }
}

fn packet_socket(interface: &str) -> socket2::Socket {
    let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol.into())).unwrap();
    socket.bind(&packet_address(interface, protocol)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// The address of an interface for packet sockets.
fn packet_address(interface: &str, protocol: i32) -> socket2::SockAddr {
    let index = index(interface);
    // SAFETY: `sockaddr_ll` fits into the storage, and its length is given.
    unsafe {
        socket2::SockAddr::try_init(|storage, length| {
            let address = &mut *storage.cast::<libc::sockaddr_ll>();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = protocol.cast_unsigned() as u16;
            address.sll_ifindex = index.cast_signed();
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }
    .unwrap()
    .1
}

/// The next frame that `wanted` accepts.
fn receive(socket: &socket2::Socket, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut buffer = [0; 2048];
    loop {
        let length = (&mut &*socket).read(&mut buffer).expect("no such frame came");
        if wanted(&buffer[..length]) {
            return buffer[..length].to_vec();
        }
    }
}

/// Held while another process runs. When it begins it has copies of all our descriptors, locks and devices of other
/// tests' data planes included, and there is no telling when exactly it gives them up.
static RUNNING: Mutex<()> = Mutex::new(());

fn run(command: &[&str]) -> String {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(command[0]).args(&command[1..]).output().expect("iproute2 is needed");
    drop(running);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `kill -9` does: everything of the agent is closed, nothing is said to anyone.
fn stop(data_plane: DataPlane) {
    drop(data_plane);
    drop(RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
}

fn sh(command: &str) -> String {
    run(&command.split(' ').collect::<Vec<_>>())
}

/// Runs `test` in fresh namespaces, on a thread and runtime of its own, and passes on its panic.
fn in_namespaces<F: Future<Output = ()>>(test: impl FnOnce(Router) -> F + Send) {
    thread::scope(|scope| {
        let body = scope.spawn(|| {
            let directory = tempfile::tempdir().unwrap();
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("needs root");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
            let bpffs = directory.path().join("bpf");
            fs::create_dir(&bpffs).unwrap();
            mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>).unwrap();
            let router =
                Router { bpffs: bpffs.join("mipd"), state: directory.path().join("state"), beyond: Beyond::new() };
            router.wire();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test(router));
        });
        if let Err(panic) = body.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn home_subnet(prefix: &str) -> HomeSubnetSettings {
    HomeSubnetSettings { prefix: prefix.parse().unwrap(), interface: "lan0".to_owned(), routes: HomeRoutes::Host }
}

impl Router {
    fn wire(&self) {
        // Its chatter would change neighbours and forwarding entries behind our back.
        self.beyond.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        set_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        set_sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        sh("ip link set lo up");
        set_sysctl("net/ipv4/ip_forward", "1");
        set_sysctl("net/ipv4/conf/all/rp_filter", "1");
        set_sysctl("net/ipv4/conf/all/send_redirects", "1");
        for (name, address, far) in [
            ("lan0", "10.1.0.1/24", "10.1.0.99/24"),
            ("lan1", "10.2.0.1/24", "10.2.0.99/24"),
            ("core", "10.0.0.1/24", "10.0.0.2/24"),
        ] {
            sh(&format!("ip link add {name} type veth peer name {name} netns {}", self.beyond.path));
            sh(&format!("ip addr add {address} dev {name}"));
            sh(&format!("ip link set {name} up"));
            self.beyond.run(&format!("ip addr add {far} dev {name}"));
            self.beyond.run(&format!("ip link set {name} up"));
        }
        wait_for(|| sh("ip link").matches("state UP").count() == 3);
        sh("ip route add default via 10.0.0.2");
        sh("ip neigh add 10.0.0.77 lladdr 02:00:00:00:00:77 dev core nud permanent");
    }

    fn settings(&self) -> Settings {
        let interface =
            |name: &str, roles: Roles| InterfaceSettings { name: name.to_owned(), roles, fast_path: FastPath::Auto };
        Settings {
            bpffs_dir: self.bpffs.clone(),
            state_dir: self.state.clone(),
            interfaces: vec![
                interface("lan0", Roles { home: true, ..Roles::default() }),
                interface("lan1", Roles { access: true, ..Roles::default() }),
                interface("core", Roles { core: true, ..Roles::default() }),
            ],
            home: Some(HomeSettings {
                address: HOME_AGENT,
                subnets: vec![home_subnet("10.1.0.0/24")],
                maximum_tunnels: 64,
                maximum_bindings: 64,
                maximum_slots: 1 << 22,
                mss_clamp: true,
            }),
            visit: Some(VisitSettings {
                care_of_address: CARE_OF,
                maximum_visitors: 64,
                maximum_tunnels: 64,
                mss_clamp: true,
                mark: Mark::default(),
                table: VisitSettings::DEFAULT_TABLE,
            }),
            access_point: None,
        }
    }

    fn unload(&self) {
        let _none_runs = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        unload(&self.bpffs, &self.state).unwrap();
    }

    /// Where this version of the agent pins.
    fn pins(&self) -> PathBuf {
        self.bpffs.join(format!("v{SCHEMA}"))
    }

    fn inspect(&self) -> Inspection {
        Inspection::open(&self.bpffs).unwrap()
    }

    /// Everything that the data plane could have changed, as other programs see it.
    fn snapshot(&self) -> String {
        let mut text = String::new();
        for command in [
            "ip link",
            "ip addr",
            "ip route show table all",
            "ip rule",
            "ip neigh show nud permanent",
            "tc qdisc",
            "bridge fdb show",
        ] {
            // The kernel lists addresses that were added again in another order.
            let mut lines: Vec<_> = sh(command).lines().map(str::to_owned).collect();
            lines.sort();
            writeln!(text, "# {command}\n{}", lines.join("\n")).unwrap();
        }
        for directory in ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"] {
            for interface in sorted(Path::new(directory)) {
                for key in ["rp_filter", "send_redirects", "disable_ipv6"] {
                    if let Ok(value) = fs::read_to_string(interface.join(key)) {
                        writeln!(text, "{}/{key} = {}", interface.display(), value.trim()).unwrap();
                    }
                }
            }
        }
        for directory in [self.bpffs.parent().unwrap(), &self.bpffs, &self.state] {
            writeln!(text, "{} {:?}", directory.display(), sorted(directory)).unwrap();
        }
        text
    }
}

/// Like `assert_eq!`, but shows only what differs.
fn assert_same(now: &str, before: &str) {
    let surplus = |of: &str, over: &str| -> Vec<String> {
        let count = |text: &str, wanted: &str| text.lines().filter(|line| *line == wanted).count();
        of.lines().filter(|line| count(of, line) > count(over, line)).map(str::to_owned).collect()
    };
    let (missing, new) = (surplus(before, now), surplus(now, before));
    assert!(now == before, "gone: {missing:#?}\nnew: {new:#?}");
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn set_sysctl(path: &str, value: &str) {
    fs::write(Path::new("/proc/sys").join(path), value).unwrap();
}

fn sysctl(path: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys").join(path)).unwrap().trim().to_owned()
}

fn exit(care_of_address: Ipv4Addr, mode: TunnelMode) -> TunnelExit {
    TunnelExit { care_of_address, home_agent: HOME_AGENT, mode }
}

fn binding(home_address: Ipv4Addr, care_of_address: Ipv4Addr) -> BindingRoute {
    BindingRoute { home_address, exits: vec![exit(care_of_address, TunnelMode::default())] }
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

fn visitor(home_agent: Ipv4Addr, home_address: Ipv4Addr, reverse_tunnel: bool) -> VisitorRoute {
    VisitorRoute {
        home_address,
        home_agent,
        care_of_address: CARE_OF,
        mac: CLIENT_MAC,
        interface: index("lan1"),
        mode: TunnelMode::default(),
        reverse_tunnel,
        encapsulating_delivery: false,
    }
}

/// Lets the data plane work until `condition` holds; fails after ten seconds.
async fn until(data_plane: &mut DataPlane, condition: impl Fn(&DataPlane) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition(data_plane) {
        assert!(Instant::now() < deadline, "still not so: {:#?}", data_plane.tunnels());
        let _ = tokio::time::timeout(Duration::from_millis(20), data_plane.next_event()).await;
    }
}

/// Waits for the kernel; fails after ten seconds.
fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "the kernel did not get there");
        thread::yield_now();
    }
}

fn contains(text: &str, words: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").contains(words))
}

#[test]
fn unload_leaves_the_box_exactly_as_it_was() {
    in_namespaces(|router| async move {
        let before = router.snapshot();
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.set_client_mac(CLIENT, CLIENT_MAC).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, Ipv4Addr::new(10, 9, 0, 7), true)).unwrap();
        assert_ne!(router.snapshot(), before);
        assert!(matches!(unload(&router.bpffs, &router.state), Err(DataPlaneError::AlreadyRunning { .. })));
        stop(data_plane);
        router.unload();
        fs::remove_dir(&router.state).unwrap();
        assert_same(&router.snapshot(), &before);
        router.unload();
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn a_started_router_has_devices_addresses_rules_settings_and_programs() {
    in_namespaces(|router| async move {
        let data_plane = DataPlane::start(router.settings()).unwrap();
        assert!(contains(&sh("ip addr show mip-home"), "inet 10.1.0.1/32"));
        assert!(contains(&sh("ip addr show mip-visit"), "inet 10.2.0.1/32"));
        assert!(contains(&sh("ip rule"), "434: from all iif mip-visit lookup 434"));
        assert!(contains(&sh("ip rule"), "435: from all fwmark 0x4d000000/0xff000000 lookup 435"));
        assert!(contains(&sh("ip route show table 435"), "default dev mip-visit"));
        for interface in ["lan0", "lan1", "core", "mip-home", "mip-visit"] {
            let own: u8 = sysctl(&format!("net/ipv4/conf/{interface}/rp_filter")).parse().unwrap();
            assert_eq!(own, 2, "{interface}");
        }
        assert_eq!(sysctl("net/ipv4/conf/all/rp_filter"), "1");
        assert_eq!(sysctl("net/ipv4/conf/all/send_redirects"), "0");
        assert_eq!(sysctl("net/ipv4/conf/lan1/send_redirects"), "0");
        assert_eq!(sysctl("net/ipv4/conf/mip-home/send_redirects"), "0");
        for report in data_plane.interfaces() {
            assert_eq!(report.attached.to_string(), "xdp+tc", "{report:?}");
            assert!(contains(&sh(&format!("ip -d link show {}", report.name)), "prog/xdp id"));
        }
        let seen = router.inspect().interfaces().unwrap();
        assert!(seen.iter().any(|interface| interface.name == "mip-home" && interface.programs == ["home_tun_egress"]));
    });
}

#[test]
fn a_binding_has_a_route_a_slot_and_a_tunnel_that_bindings_share() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let second = Ipv4Addr::new(10, 1, 0, 6);
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(second, FAR_AGENT)).unwrap();
        assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home proto 143 scope link mtu 1480"));
        let bindings = router.inspect().bindings().unwrap();
        assert_eq!(bindings.len(), 2);
        assert!(bindings.iter().all(|binding| binding.care_of_address == Some(FAR_AGENT) && binding.tunnel == 1));

        let elsewhere = Ipv4Addr::new(10, 8, 0, 1);
        data_plane.install_binding(&binding(CLIENT, elsewhere)).unwrap();
        assert_eq!(data_plane.tunnels().len(), 2);
        data_plane.remove_binding(second).unwrap();
        data_plane.remove_binding(second).unwrap();
        let tunnels = data_plane.tunnels();
        assert_eq!(tunnels.iter().map(|tunnel| tunnel.remote).collect::<Vec<_>>(), [Some(elsewhere)]);
        assert!(!contains(&sh("ip route"), "10.1.0.6"));
        assert!(matches!(
            data_plane.install_binding(&binding(Ipv4Addr::new(10, 7, 0, 1), FAR_AGENT)),
            Err(DataPlaneError::NotAHomeAddress(_))
        ));
    });
}

#[test]
fn clients_share_a_tunnel_only_if_all_that_was_agreed_on_is_the_same() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let gre = |send, receive| TunnelMode {
            encapsulation: Encapsulation::Gre(Some(GreKeys { send, receive })),
            udp: None,
        };
        let over_udp = |port| TunnelMode {
            encapsulation: Encapsulation::IpInIp,
            udp: Some(UdpEnds { port: 434, peer: SocketAddrV4::new(FAR_AGENT, port) }),
        };
        let modes = [TunnelMode::default(), gre(1, 2), gre(1, 3), over_udp(434), over_udp(40_000)];
        let mut install = |home_address, care_of_address, mode| {
            let route = BindingRoute { home_address, exits: vec![exit(care_of_address, mode)] };
            data_plane.install_binding(&route).unwrap();
            data_plane.tunnels()
        };
        for (index, mode) in modes.into_iter().enumerate() {
            // Behind a NAT the care-of address may be anything, even ours.
            let care_of_address = if mode.udp.is_some() { CARE_OF } else { FAR_AGENT };
            for client in [10 + 2 * index, 11 + 2 * index] {
                let tunnels = install(Ipv4Addr::new(10, 1, 0, client as u8), care_of_address, mode);
                assert_eq!(tunnels.len(), index + 1, "{mode:?}");
                let newest = tunnels.last().unwrap();
                assert_eq!((newest.encapsulation, newest.remote), (mode.name(), Some(FAR_AGENT)));
                assert_eq!(newest.gre_keys, mode.encapsulation.keys());
                assert_eq!(newest.udp_peer, mode.udp.map(|udp| udp.peer));
                assert_eq!(newest.inner_mtu, 1_500 - mode.overhead());
            }
        }
        assert!(contains(&sh("ip route"), "10.1.0.12 dev mip-home proto 143 scope link mtu 1472"));
        assert!(contains(&sh("ip route"), "10.1.0.19 dev mip-home proto 143 scope link mtu 1468"));
        assert_eq!(router.inspect().tunnels().unwrap(), data_plane.tunnels());

        // The NAT's mapping has changed.
        let route = BindingRoute { home_address: Ipv4Addr::new(10, 1, 0, 18), exits: vec![exit(CARE_OF, over_udp(1))] };
        data_plane.install_binding(&route).unwrap();
        assert_eq!(data_plane.tunnels().len(), 6);
    });
}

#[test]
fn tunnels_of_every_kind_are_adopted_after_a_restart() {
    in_namespaces(|router| async move {
        let peer = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 77), 40_000);
        let keyed = Encapsulation::Gre(Some(GreKeys { send: 7, receive: 8 }));
        let modes = [
            TunnelMode { encapsulation: Encapsulation::Minimal, udp: None },
            TunnelMode { encapsulation: keyed, udp: None },
            TunnelMode { encapsulation: keyed, udp: Some(UdpEnds { port: 434, peer }) },
        ];
        let routes: Vec<_> = (10..)
            .zip(modes)
            .map(|(client, mode)| BindingRoute {
                home_address: Ipv4Addr::new(10, 1, 0, client),
                exits: vec![exit(FAR_AGENT, mode)],
            })
            .collect();
        let visitors: Vec<_> = (10..)
            .zip(modes)
            .map(|(client, mode)| VisitorRoute {
                mode,
                ..visitor(FAR_AGENT, Ipv4Addr::new(10, 9, 0, client), client % 2 == 0)
            })
            .collect();
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        for route in &routes {
            data_plane.install_binding(route).unwrap();
        }
        for visitor in &visitors {
            data_plane.install_visitor(*visitor).unwrap();
        }
        until(&mut data_plane, |data_plane| data_plane.tunnels().iter().all(|tunnel| tunnel.resolved)).await;
        let (before, seen) = (data_plane.tunnels(), router.inspect().visitors().unwrap());
        assert_eq!(seen.iter().map(|seen| seen.encapsulation).collect::<Vec<_>>(), ["minimal", "gre", "udp/gre"]);
        stop(data_plane);

        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        assert_eq!(data_plane.tunnels(), before);
        for route in &routes {
            data_plane.install_binding(route).unwrap();
        }
        for visitor in &visitors {
            data_plane.install_visitor(*visitor).unwrap();
        }
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 0);
        assert_eq!(data_plane.tunnels(), before);
        assert_eq!(router.inspect().visitors().unwrap(), seen);
    });
}

#[test]
fn a_client_without_an_exit_yet_is_away_and_gets_nothing() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let nowhere = BindingRoute { home_address: CLIENT, exits: Vec::new() };
        let two = BindingRoute {
            home_address: CLIENT,
            exits: [FAR_AGENT, Ipv4Addr::new(10, 8, 0, 1)].map(|to| exit(to, TunnelMode::default())).to_vec(),
        };
        for before in [None, Some(binding(CLIENT, FAR_AGENT)), Some(two)] {
            if let Some(route) = &before {
                data_plane.install_binding(route).unwrap();
            }
            for _ in 0..2 {
                data_plane.install_binding(&nowhere).unwrap();
                let tunnels = data_plane.tunnels();
                assert_eq!(
                    tunnels.iter().map(|tunnel| tunnel.encapsulation).collect::<Vec<_>>(),
                    ["copies"],
                    "{before:?}"
                );
            }
            assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home"));
        }
        let count = |data_plane: &DataPlane| {
            let reports = data_plane.counters().unwrap();
            let counters = reports.iter().flat_map(|report| &report.counters);
            counters.filter(|counter| counter.name == "dropped_unresolved").map(|counter| counter.packets).sum::<u64>()
        };
        let before = count(&data_plane);
        std::net::UdpSocket::bind("10.1.0.1:0").unwrap().send_to(b"too early", (CLIENT, 9)).unwrap();
        wait_for(|| count(&data_plane) > before);
        data_plane.remove_binding(CLIENT).unwrap();
        assert!(data_plane.tunnels().is_empty());
    });
}

#[test]
fn a_tunnel_follows_the_next_hop_and_its_mtu() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        until(&mut data_plane, |data_plane| data_plane.tunnels()[0].resolved).await;
        let first = data_plane.tunnels().remove(0);
        assert_eq!((first.interface.as_deref(), first.inner_mtu, first.xdp), (Some("core"), 1480, true));

        router.beyond.run("ip link set core address 02:00:00:00:00:42");
        sh("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:42 dev core nud reachable");
        until(&mut data_plane, |data_plane| {
            data_plane.tunnels()[0].next_hop_mac.as_deref() == Some("02:00:00:00:00:42")
        })
        .await;

        sh("ip link set core mtu 1400");
        until(&mut data_plane, |data_plane| data_plane.tunnels()[0].inner_mtu == 1380).await;
        assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home proto 143 scope link mtu 1380"));

        sh("ip route add 10.9.0.0/16 via 10.2.0.99");
        until(&mut data_plane, |data_plane| {
            let tunnel = data_plane.tunnels().remove(0);
            tunnel.interface.as_deref() == Some("lan1") && tunnel.resolved
        })
        .await;
        sh("ip route del 10.9.0.0/16");
        sh("ip route del default");
        until(&mut data_plane, |data_plane| !data_plane.tunnels()[0].resolved).await;
    });
}

#[test]
fn a_visitor_is_reachable_only_out_of_the_tunnel() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let home_address = Ipv4Addr::new(10, 9, 0, 7);
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        assert!(contains(&sh("ip route show table 434"), "10.9.0.7 dev lan1 proto 143"));
        assert!(!contains(&sh("ip route"), "10.9.0.7"));
        assert!(contains(&sh("ip neigh show dev lan1"), "10.9.0.7 lladdr 02:00:00:00:00:05 PERMANENT"));
        assert_eq!(data_plane.tunnels()[0].local, Some(CARE_OF));

        let mut moved = visitor(FAR_AGENT, home_address, false);
        moved.mac = MacAddress([2, 0, 0, 0, 0, 6]);
        data_plane.install_visitor(moved).unwrap();
        let seen = router.inspect().visitors().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].mac, seen[0].reverse_tunnel), (moved.mac, false));
        assert!(data_plane.tunnels().is_empty());
        assert!(contains(&sh("ip neigh show dev lan1"), "10.9.0.7 lladdr 02:00:00:00:00:06 PERMANENT"));

        data_plane.remove_visitor(FAR_AGENT, home_address).unwrap();
        assert!(!contains(&sh("ip neigh show dev lan1"), "10.9.0.7"));
        assert_eq!(sh("ip route show table 434"), "");
        assert!(router.inspect().visitors().unwrap().is_empty());
    });
}

/// A visitor with the address of another one, from another home network.
fn namesake(home_address: Ipv4Addr) -> VisitorRoute {
    VisitorRoute { mac: MacAddress([2, 0, 0, 0, 0, 6]), ..visitor(Ipv4Addr::new(10, 8, 0, 1), home_address, false) }
}

#[test]
fn of_two_visitors_with_the_same_address_one_is_in_the_kernel_and_the_other_inherits() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let address = Ipv4Addr::new(192, 168, 0, 2);
        let in_kernel = || -> Vec<_> {
            router.inspect().visitors().unwrap().iter().map(|visitor| (visitor.mac.0[5], visitor.in_kernel)).collect()
        };
        data_plane.install_visitor(visitor(FAR_AGENT, address, false)).unwrap();
        data_plane.install_visitor(namesake(address)).unwrap();
        assert_eq!(in_kernel(), [(6, false), (5, true)]);
        assert!(contains(&sh("ip neigh show dev lan1"), "192.168.0.2 lladdr 02:00:00:00:00:05 PERMANENT"));

        // Also after a restart, whoever comes first then.
        stop(data_plane);
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_visitor(namesake(address)).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, address, false)).unwrap();
        data_plane.remove_unclaimed().unwrap();
        assert_eq!(in_kernel(), [(6, false), (5, true)]);

        data_plane.remove_visitor(FAR_AGENT, address).unwrap();
        assert_eq!(in_kernel(), [(6, true)]);
        assert!(contains(&sh("ip neigh show dev lan1"), "192.168.0.2 lladdr 02:00:00:00:00:06 PERMANENT"));
        assert!(contains(&sh("ip route show table 434"), "192.168.0.2 dev lan1"));
        data_plane.install_visitor(visitor(FAR_AGENT, address, false)).unwrap();
        assert_eq!(in_kernel(), [(6, true), (5, false)]);
        data_plane.remove_visitor(FAR_AGENT, address).unwrap();
        assert!(contains(&sh("ip neigh show dev lan1"), "192.168.0.2 lladdr 02:00:00:00:00:06 PERMANENT"));
        data_plane.remove_visitor(namesake(address).home_agent, address).unwrap();
        assert!(!contains(&sh("ip neigh show dev lan1"), "192.168.0.2"));
        assert_eq!(sh("ip route show table 434"), "");
    });
}

#[test]
fn a_client_that_changes_its_home_agent_may_still_send_when_the_old_registration_ends() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let address = Ipv4Addr::new(192, 168, 0, 2);
        let other_agent = Ipv4Addr::new(10, 8, 0, 1);
        data_plane.install_visitor(visitor(FAR_AGENT, address, false)).unwrap();
        data_plane.install_visitor(visitor(other_agent, address, true)).unwrap();
        data_plane.remove_visitor(FAR_AGENT, address).unwrap();
        let visitors = router.inspect().visitors().unwrap();
        assert_eq!((visitors.len(), visitors[0].reverse_tunnel, visitors[0].in_kernel), (1, true, true));
        assert!(contains(&sh("ip neigh show dev lan1"), "192.168.0.2 lladdr 02:00:00:00:00:05 PERMANENT"));
    });
}

#[test]
fn a_client_of_our_own_on_another_interface_is_delivered_without_a_tunnel_whichever_comes_first() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        for visitor_first in [true, false] {
            if visitor_first {
                data_plane.install_visitor(visitor(HOME_AGENT, CLIENT, true)).unwrap();
                data_plane.install_binding(&binding(CLIENT, CARE_OF)).unwrap();
            } else {
                data_plane.install_binding(&binding(CLIENT, CARE_OF)).unwrap();
                assert!(!data_plane.tunnels()[0].resolved);
                data_plane.install_visitor(visitor(HOME_AGENT, CLIENT, true)).unwrap();
            }
            let tunnels = data_plane.tunnels();
            assert_eq!(tunnels.len(), 1);
            assert_eq!((tunnels[0].encapsulation, tunnels[0].resolved, tunnels[0].inner_mtu), ("direct", true, 1500));
            assert_eq!(tunnels[0].next_hop_mac.as_deref(), Some("02:00:00:00:00:05"));
            assert!(contains(&sh("ip route"), "10.1.0.5 dev lan1 proto 143"));
            data_plane.remove_visitor(HOME_AGENT, CLIENT).unwrap();
            assert!(!data_plane.tunnels()[0].resolved);
            assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home proto 143"));
            data_plane.remove_binding(CLIENT).unwrap();
        }
    });
}

#[test]
fn packets_for_a_client_with_several_care_of_addresses_are_copied_to_each() {
    in_namespaces(|router| async move {
        let elsewhere = Ipv4Addr::new(10, 8, 0, 1);
        let exit = |care_of_address| exit(care_of_address, TunnelMode::default());
        let route = BindingRoute { home_address: CLIENT, exits: vec![exit(FAR_AGENT), exit(CARE_OF), exit(elsewhere)] };
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_visitor(visitor(HOME_AGENT, CLIENT, false)).unwrap();
        data_plane.install_binding(&route).unwrap();
        let copied = |data_plane: &DataPlane| {
            let tunnels = data_plane.tunnels();
            tunnels.len() == 4 && tunnels.iter().all(|tunnel| tunnel.resolved || tunnel.encapsulation == "copies")
        };
        until(&mut data_plane, copied).await;
        assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home proto 143 scope link mtu 1480"));

        let (core, access) = (router.beyond.packet_socket("core"), router.beyond.packet_socket("lan1"));
        let arrive = |payload: &[u8]| {
            let mut exits = Vec::new();
            while exits.len() < 2 {
                let frame = receive(&core, |frame| frame.ends_with(payload) && frame[23] == 4);
                let outer = etherparse::Ipv4HeaderSlice::from_slice(&frame[14..]).unwrap();
                assert_eq!(outer.header_checksum(), outer.to_header().calc_header_checksum());
                assert_eq!(outer.source_addr(), HOME_AGENT);
                assert_eq!(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[14 + 20 + 16..][..4]).unwrap()), CLIENT);
                exits.push(outer.destination_addr());
            }
            exits.sort();
            assert_eq!(exits, [elsewhere, FAR_AGENT]);
            let direct = receive(&access, |frame| frame.ends_with(payload));
            assert_eq!((&direct[..6], direct[23]), (&CLIENT_MAC.0[..], 17));
        };
        // Made here, and forwarded: what XDP and TC see is left to the kernel.
        std::net::UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"from the router", (CLIENT, 9)).unwrap();
        arrive(b"from the router");
        let core_mac = data_plane.interfaces().into_iter().find(|report| report.name == "core").unwrap().mac;
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0x99], core_mac.0);
        packet.ipv4([192, 0, 2, 9], CLIENT.octets(), 9).udp(9, 9).write(&mut frame, b"from far away").unwrap();
        (&mut &core).write_all(&frame).unwrap();
        arrive(b"from far away");

        let tunnels = data_plane.tunnels();
        stop(data_plane);
        let bindings = router.inspect().bindings().unwrap();
        let exits: Vec<_> = bindings.iter().map(|binding| binding.care_of_address).collect();
        assert_eq!(exits, [Some(FAR_AGENT), None, Some(elsewhere)]);
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        assert_eq!(data_plane.tunnels(), tunnels, "an agent that takes over changes nothing");
        data_plane.install_visitor(visitor(HOME_AGENT, CLIENT, false)).unwrap();
        data_plane.install_binding(&route).unwrap();
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 0);
        data_plane.install_binding(&BindingRoute { exits: vec![exit(FAR_AGENT), exit(elsewhere)], ..route }).unwrap();
        assert_eq!(data_plane.tunnels().len(), 3);
        data_plane.install_binding(&binding(CLIENT, elsewhere)).unwrap();
        assert_eq!(data_plane.tunnels().iter().map(|tunnel| tunnel.remote).collect::<Vec<_>>(), [Some(elsewhere)]);
        data_plane.remove_binding(CLIENT).unwrap();
        assert!(data_plane.tunnels().is_empty());
    });
}

#[test]
fn a_restarted_agent_adopts_and_removes_only_what_nobody_claims() {
    in_namespaces(|router| async move {
        let home_address = Ipv4Addr::new(10, 9, 0, 7);
        let second = Ipv4Addr::new(10, 1, 0, 6);
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        assert!(!data_plane.adopted());
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(second, Ipv4Addr::new(10, 8, 0, 1))).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        until(&mut data_plane, |data_plane| data_plane.tunnels().iter().all(|tunnel| tunnel.resolved)).await;
        let tunnels = data_plane.tunnels();
        let links = sh("ip -d link show core");
        stop(data_plane);
        assert_eq!(router.inspect().tunnels().unwrap(), tunnels);

        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        assert!(data_plane.adopted());
        assert_eq!(data_plane.tunnels(), tunnels);
        assert_ne!(sh("ip -d link show core"), links, "the new agent's program is attached");
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 1);
        let left: Vec<_> = data_plane.tunnels().into_iter().map(|tunnel| (tunnel.id, tunnel.remote)).collect();
        assert_eq!(left, [(1, Some(FAR_AGENT)), (3, Some(FAR_AGENT))]);
        assert_eq!(router.inspect().bindings().unwrap().len(), 1);
        assert!(!contains(&sh("ip route"), "10.1.0.6"));
        assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home"));
        assert!(contains(&sh("ip route show table 434"), "10.9.0.7 dev lan1"));
        stop(data_plane);

        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 2);
        assert!(data_plane.tunnels().is_empty());
        assert_eq!(sh("ip route show table 434"), "");
    });
}

#[test]
fn what_an_agent_with_other_maps_has_left_makes_way() {
    in_namespaces(|router| async move {
        let before = router.snapshot();
        let data_plane = DataPlane::start(router.settings()).unwrap();
        let attached =
            |data_plane: &DataPlane| data_plane.interfaces().iter().map(|it| it.attached).collect::<Vec<_>>();
        let as_wanted = attached(&data_plane);
        stop(data_plane);
        fs::rename(router.pins(), router.bpffs.join("v0")).unwrap();

        let data_plane = DataPlane::start(router.settings()).unwrap();
        assert!(!data_plane.adopted());
        assert_eq!(attached(&data_plane), as_wanted);
        assert_eq!(sorted(&router.bpffs), [router.pins()]);
        stop(data_plane);
        router.unload();
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn bindings_survive_larger_maps_and_other_home_subnets() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        stop(data_plane);
        let mut settings = router.settings();
        let home = settings.home.as_mut().unwrap();
        home.maximum_tunnels = 1000;
        home.subnets.insert(0, home_subnet("10.6.0.0/22"));
        settings.visit.as_mut().unwrap().maximum_visitors = 500;
        let mut data_plane = DataPlane::start(settings).unwrap();
        let bindings = router.inspect().bindings().unwrap();
        assert_eq!(bindings.len(), 1);
        assert_eq!((bindings[0].home_address, bindings[0].care_of_address), (CLIENT, Some(FAR_AGENT)));
        data_plane.remove_binding(CLIENT).unwrap();
        assert!(router.inspect().bindings().unwrap().is_empty());
    });
}

/// Makes the box an access point: bridge `br-lan` with radio `wlan0` and uplink `eth0`.
fn access_point(router: &Router) -> Settings {
    for port in ["wlan0", "eth0"] {
        sh(&format!("ip link add {port} type veth peer name {port} netns {}", router.beyond.path));
    }
    sh("ip link add br-lan type bridge");
    sh("ip addr add 10.3.0.2/24 dev br-lan");
    for port in ["wlan0", "eth0"] {
        sh(&format!("ip link set {port} master br-lan up"));
        router.beyond.run(&format!("ip link set {port} up"));
    }
    sh("ip link set br-lan up");
    wait_for(|| contains(&sh("ip link show br-lan"), "state UP"));
    sh("bridge fdb add 02:00:00:00:00:99 dev wlan0 master static");
    let interface = |name: &str, roles| InterfaceSettings { name: name.to_owned(), roles, fast_path: FastPath::Auto };
    Settings {
        interfaces: vec![
            interface("wlan0", Roles { radio: true, ..Roles::default() }),
            interface("eth0", Roles { uplink: true, ..Roles::default() }),
        ],
        home: None,
        visit: None,
        access_point: Some(AccessPointSettings {
            bridge: "br-lan".to_owned(),
            uplink: "eth0".to_owned(),
            radios: vec!["wlan0".to_owned()],
            own_subnets: Vec::new(),
            registration_port: 5434,
            drop_visitor_ipv6: false,
            maximum_stations: 64,
        }),
        ..router.settings()
    }
}

#[test]
fn an_access_point_keeps_forwarding_entries_for_visitors_only() {
    in_namespaces(|router| async move {
        let settings = access_point(&router);
        let before = router.snapshot();
        let mut data_plane = DataPlane::start(settings.clone()).unwrap();
        let radio = index("wlan0");
        let agent_mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let forward =
            StationEntry::Forward { home_address: CLIENT, agent_mac, wrapped_for: None, broadcasts_from: None, radio };
        data_plane.set_station(CLIENT_MAC, StationEntry::Hold { home_address: CLIENT, radio }).unwrap();
        data_plane.set_station(CLIENT_MAC, forward).unwrap();
        let entries = sh("bridge fdb show dev wlan0");
        assert!(contains(&entries, "02:00:00:00:00:05 extern_learn master br-lan"), "{entries}");
        assert_eq!(data_plane.radio_of(CLIENT_MAC), Some(radio));
        let seen = data_plane.stations_last_seen();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].1 < Duration::from_secs(10));
        stop(data_plane);

        let mut data_plane = DataPlane::start(settings).unwrap();
        let stations = router.inspect().stations().unwrap();
        assert_eq!((stations[0].state, stations[0].home_address), ("forward", Some(CLIENT)));
        data_plane.set_station(CLIENT_MAC, StationEntry::Local { radio, awaited: false }).unwrap();
        assert!(!contains(&sh("bridge fdb show dev wlan0"), "02:00:00:00:00:05"));
        data_plane.set_station(CLIENT_MAC, forward).unwrap();
        stop(data_plane);
        router.unload();
        fs::remove_dir(&router.state).unwrap();
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn a_start_that_fails_half_way_leaves_nothing_behind() {
    in_namespaces(|router| async move {
        let mut settings = router.settings();
        // Fails late: the route is refused after devices, maps and rules are there.
        settings.home.as_mut().unwrap().subnets[0].routes = HomeRoutes::Subnet;
        let before = router.snapshot();
        let error = DataPlane::start(settings).err().unwrap();
        assert!(matches!(error, DataPlaneError::SubnetRouteOnLink { .. }), "{error}");
        fs::remove_dir(&router.state).unwrap();
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn somebody_elses_xdp_program_is_named_and_left_alone() {
    in_namespaces(|router| async move {
        // Another instance, in the same namespace, is somebody else.
        let other = Settings {
            bpffs_dir: router.bpffs.with_file_name("other"),
            state_dir: router.state.with_file_name("other-state"),
            home: None,
            visit: None,
            interfaces: vec![router.settings().interfaces.remove(2)],
            ..router.settings()
        };
        let other_plane = DataPlane::start(other.clone()).unwrap();
        let before = sh("ip -d link show core");
        let error = DataPlane::start(router.settings()).err().unwrap().to_string();
        assert!(error.contains("core already carries XDP program") && error.contains("router_xdp"), "{error}");
        assert_eq!(sh("ip -d link show core"), before);
        assert!(!contains(&sh("ip link"), "mip-home"));
        stop(other_plane);
        Router { bpffs: other.bpffs_dir, state: other.state_dir, beyond: router.beyond }.unload();
    });
}

#[test]
fn what_is_wrong_with_the_box_is_said_before_anything_is_changed() {
    in_namespaces(|router| async move {
        let before = router.snapshot();
        let mut missing = router.settings();
        missing.interfaces[0].name = "lan7".to_owned();
        assert!(DataPlane::start(missing).err().unwrap().to_string().contains("interface lan7 does not exist"));
        set_sysctl("net/ipv4/ip_forward", "0");
        assert!(DataPlane::start(router.settings()).err().unwrap().to_string().contains("ip_forward=1"));
        set_sysctl("net/ipv4/ip_forward", "1");
        set_sysctl("net/ipv4/conf/all/rp_filter", "1");
        set_sysctl("net/ipv4/conf/all/send_redirects", "1");
        sh("ip tuntap add tunl0 mode tun");
        sh("ip link set tunl0 up");
        assert!(DataPlane::start(router.settings()).err().unwrap().to_string().contains("tunl0 is up"));
        sh("ip link del tunl0");
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn an_interface_that_comes_back_gets_its_programs_again() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        sh("ip link del lan1");
        wait_for_change(&mut data_plane, "lan1", |data_plane| data_plane.interfaces()[1].ifindex == 0).await;
        assert_eq!(data_plane.interfaces()[1].attached.to_string(), "none");
        sh(&format!("ip link add lan1 type veth peer name lan1 netns {}", router.beyond.path));
        wait_for_change(&mut data_plane, "lan1", |data_plane| data_plane.interfaces()[1].ifindex != 0).await;
        assert_eq!(data_plane.interfaces()[1].attached.to_string(), "xdp+tc");
        assert!(contains(&sh("ip -d link show lan1"), "prog/xdp id"));
    });
}

async fn wait_for_change(data_plane: &mut DataPlane, interface: &str, condition: impl Fn(&DataPlane) -> bool) {
    let wait = async {
        loop {
            let event = data_plane.next_event().await;
            if matches!(&event, Event::InterfaceChanged { name } if name == interface) && condition(data_plane) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("no event about the interface");
}

#[test]
fn a_foreign_client_is_reported_and_its_frame_comes_to_the_agent_and_goes_on_when_released() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(access_point(&router)).unwrap();
        let radio = index("wlan0");
        let client = router.beyond.packet_socket("wlan0");
        let wire = router.beyond.packet_socket("eth0");
        let mut frame = Vec::new();
        let gateway = MacAddress([2, 0, 0, 0, 9, 9]);
        PacketBuilder::ethernet2(CLIENT_MAC.0, gateway.0)
            .ipv4(CLIENT.octets(), [192, 0, 2, 7], 64)
            .udp(1000, 2000)
            .write(&mut frame, b"first packet")
            .unwrap();
        (&mut &client).write_all(&frame).unwrap();

        let (mut sighting, mut punted) = (None, None);
        while sighting.is_none() || punted.is_none() {
            match tokio::time::timeout(Duration::from_secs(10), data_plane.next_event()).await.expect("nothing happens")
            {
                Event::Station(seen) if seen.mac == CLIENT_MAC => sighting = Some(seen),
                Event::PuntedFrame(bytes) => punted = Some(bytes),
                _ => {}
            }
        }
        let sighting = sighting.unwrap();
        assert_eq!(sighting.kind, SightingKind::Visitor);
        assert_eq!((sighting.address, sighting.interface), (Some(CLIENT), radio));
        assert_eq!(punted.unwrap(), frame);
        assert_eq!(data_plane.radio_of(CLIENT_MAC), Some(radio));

        let agent_mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let forward =
            StationEntry::Forward { home_address: CLIENT, agent_mac, wrapped_for: None, broadcasts_from: None, radio };
        data_plane.set_station(CLIENT_MAC, forward).unwrap();
        data_plane.inject(&frame).unwrap();
        let forwarded = receive(&wire, |frame| frame[6..12] == CLIENT_MAC.0);
        assert_eq!(forwarded[..6], agent_mac.0);
        assert_eq!(forwarded[6..], frame[6..]);
    });
}

/// An IPv4 packet for a visitor, in two outer fragments from `entry`.
fn in_fragments(to: MacAddress, entry: Ipv4Addr, inner: &[u8]) -> [Vec<u8>; 2] {
    let cut = 160;
    [(0, true, &inner[..cut]), (cut, false, &inner[cut..])].map(|(offset, more, part)| {
        let (source, destination) = (entry.octets(), CARE_OF.octets());
        let mut header =
            etherparse::Ipv4Header::new(part.len() as u16, 64, etherparse::IpNumber::IPV4, source, destination)
                .unwrap();
        header.identification = 99;
        header.dont_fragment = false;
        header.more_fragments = more;
        header.fragment_offset = etherparse::IpFragOffset::try_new((offset / 8) as u16).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&to.0[..], &[2, 0, 0, 0, 0, 0x42, 8, 0], &header.to_bytes(), part].concat()
    })
}

fn to_visitor(home_address: Ipv4Addr) -> Vec<u8> {
    let mut inner = Vec::new();
    let packet = PacketBuilder::ipv4([192, 0, 2, 9], home_address.octets(), 64).udp(1, 2);
    packet.write(&mut inner, &[7; 300]).unwrap();
    inner
}

/// An IPv4 packet for a client of the agent far away, as the other end of its tunnel wraps it.
fn wrapped(protocol: u8, entry: Ipv4Addr, payload: &[u8], options: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let (source, destination) = (entry.octets(), CARE_OF.octets());
    let mut header = etherparse::Ipv4Header::new(length, 64, protocol.into(), source, destination).unwrap();
    header.options = etherparse::Ipv4Options::try_from(options).unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.dont_fragment = false;
    header.identification = 99;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// The same in two fragments.
fn fragments(packet: &[u8]) -> [Vec<u8>; 2] {
    let (header, payload) = etherparse::Ipv4Header::from_slice(packet).unwrap();
    let cut = 160;
    [(0, true, &payload[..cut]), (cut, false, &payload[cut..])].map(|(offset, more, part)| {
        let mut header = header.clone();
        header.more_fragments = more;
        header.fragment_offset = etherparse::IpFragOffset::try_new((offset / 8) as u16).unwrap();
        header.set_payload_len(part.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&header.to_bytes()[..], part].concat()
    })
}

fn datagram(source: [u8; 4], destination: Ipv4Addr, length: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source, destination.octets(), 64).udp(1, 2);
    builder.write(&mut packet, &vec![7; length]).unwrap();
    packet
}

/// A GRE packet with checksum, key and sequence number.
fn gre(key: u32, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xb0, 0, 8, 0, 0, 0, 0, 0];
    bytes.extend(key.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(packet);
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes).ones_complement();
    bytes[4..6].copy_from_slice(&sum.to_ne_bytes());
    bytes
}

/// A case: what it is, the packets, and the packet inside that is delivered, or why none is.
type Case<'a> = (&'static str, Vec<Vec<u8>>, Result<&'a [u8], Refusal>);

#[test]
fn tunnel_packets_that_no_program_takes_reach_visitors_and_home_network_by_the_agent() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let clients = [7, 8, 9].map(|number| Ipv4Addr::new(10, 9, 0, number));
        let keys = Some(GreKeys { send: 5, receive: 6 });
        let encapsulations = [Encapsulation::IpInIp, Encapsulation::Gre(keys), Encapsulation::Minimal];
        for (client, encapsulation) in clients.into_iter().zip(encapsulations) {
            let mode = TunnelMode { encapsulation, udp: None };
            data_plane.install_visitor(VisitorRoute { mode, ..visitor(FAR_AGENT, client, false) }).unwrap();
        }
        let core = router.beyond.packet_socket("core");
        let access = router.beyond.packet_socket("lan1");
        let mac = data_plane.interfaces().into_iter().find(|report| report.name == "core").unwrap().mac;
        let send = |packet: &[u8]| {
            let ethernet = [&mac.0[..], &[2, 0, 0, 0, 0, 0x42, 8, 0]].concat();
            (&mut &core).write_all(&[&ethernet, packet].concat()).unwrap();
        };
        let [plain, keyed, minimal] = clients.map(|client| datagram([192, 0, 2, 9], client, 300));
        // Of minimal encapsulation, the rest of the header is the outer one.
        let mut forwarding = [&[17, 0x80, 0, 0][..], &clients[2].octets(), &[192, 0, 2, 9]].concat();
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&forwarding).ones_complement();
        forwarding[2..4].copy_from_slice(&sum.to_ne_bytes());
        let minimal_payload = [&forwarding[..], &minimal[20..]].concat();
        let mut damaged = gre(6, 13, &keyed);
        damaged[40] ^= 1;

        let mut expected = (0, [0; 7]);
        let mut case = |packets: Vec<Vec<u8>>, refusal: Option<Refusal>| {
            for packet in &packets {
                send(packet);
            }
            match refusal {
                None => expected.0 += 1,
                Some(refusal) => expected.1[refusal as usize] += 1,
            }
            expected
        };
        let strange = Ipv4Addr::new(10, 66, 0, 1);
        let options = [1, 1, 1, 0];
        let cases: [Case<'_>; 14] = [
            ("fragments", fragments(&wrapped(4, FAR_AGENT, &plain, &[])).into(), Ok(&plain)),
            ("of a stranger", fragments(&wrapped(4, strange, &plain, &[])).into(), Err(Refusal::Stranger)),
            ("outer options", vec![wrapped(4, FAR_AGENT, &plain, &options)], Ok(&plain)),
            ("GRE, checksum and sequence", vec![wrapped(47, FAR_AGENT, &gre(6, 10, &keyed), &[])], Ok(&keyed)),
            ("a gap", vec![wrapped(47, FAR_AGENT, &gre(6, 12, &keyed), &[])], Ok(&keyed)),
            ("late", vec![wrapped(47, FAR_AGENT, &gre(6, 11, &keyed), &[])], Err(Refusal::Sequence)),
            ("damaged", vec![wrapped(47, FAR_AGENT, &damaged, &[])], Err(Refusal::Checksum)),
            ("another key", vec![wrapped(47, FAR_AGENT, &gre(5, 20, &keyed), &[])], Err(Refusal::Form)),
            ("in fragments", fragments(&wrapped(47, FAR_AGENT, &gre(6, 14, &keyed), &[])).into(), Ok(&keyed)),
            ("not by GRE", fragments(&wrapped(4, FAR_AGENT, &keyed, &[])).into(), Err(Refusal::Form)),
            ("minimal", fragments(&wrapped(55, FAR_AGENT, &minimal_payload, &[])).into(), Ok(&minimal)),
            ("minimal, IP in IP", fragments(&wrapped(4, FAR_AGENT, &minimal, &[])).into(), Ok(&minimal)),
            ("truncated", vec![wrapped(55, FAR_AGENT, &minimal_payload[..9], &options)], Err(Refusal::Malformed)),
            (
                "in a circle",
                vec![wrapped(47, FAR_AGENT, &gre(6, 15, &datagram([192, 0, 2, 9], FAR_AGENT, 9)), &[])],
                Err(Refusal::Loop),
            ),
        ];
        for (what, packets, outcome) in cases {
            let (delivered, refused) = case(packets, outcome.err());
            until(&mut data_plane, |data_plane| {
                let counters = data_plane.tunnel_socket_counters();
                let counted = counters.entries().map(|(_, count)| count).collect::<Vec<_>>();
                assert!(counted.iter().sum::<u64>() <= delivered + refused.iter().sum::<u64>(), "{what}: {counters:?}");
                counted[0] == delivered && counted[1..] == refused
            })
            .await;
            if let Ok(inner) = outcome {
                let frame = receive(&access, |frame| frame[..6] == CLIENT_MAC.0);
                assert_eq!((&frame[14 + 20..], frame[14 + 8]), (&inner[20..], 63), "{what}: one hop");
            }
        }

        // The other way: what an away client sends through its tunnel goes on into the home network.
        let away = TunnelMode { encapsulation: Encapsulation::Gre(keys), udp: None };
        let route = BindingRoute { home_address: CLIENT, exits: vec![exit(FAR_AGENT, away)] };
        data_plane.install_binding(&route).unwrap();
        let home = router.beyond.packet_socket("lan0");
        let neighbour = Ipv4Addr::new(10, 1, 0, 9);
        sh("ip neigh replace 10.1.0.9 lladdr 02:00:00:00:00:09 dev lan0 nud permanent");
        let inner = datagram(CLIENT.octets(), neighbour, 300);
        for (entry, delivered) in [(strange, 0), (FAR_AGENT, 1)] {
            let before = data_plane.tunnel_socket_counters();
            let mut packet = wrapped(47, entry, &gre(6, 100, &inner), &[]);
            packet[16..20].copy_from_slice(&HOME_AGENT.octets());
            let mut header = etherparse::Ipv4Header::from_slice(&packet).unwrap().0;
            header.header_checksum = header.calc_header_checksum();
            packet[..20].copy_from_slice(&header.to_bytes());
            send(&packet);
            until(&mut data_plane, |data_plane| {
                let counters = data_plane.tunnel_socket_counters();
                counters.delivered == before.delivered + delivered
                    && counters.refused(Refusal::Stranger) == before.refused(Refusal::Stranger) + 1 - delivered
            })
            .await;
        }
        let frame = receive(&home, |frame| frame[..6] == [2, 0, 0, 0, 0, 9] && frame[12..14] == [8, 0]);
        assert_eq!((&frame[14 + 20..], frame[14 + 8]), (&inner[20..], 63), "one hop");
    });
}

#[test]
fn tunnelled_data_from_a_udp_socket_is_for_a_client_or_for_the_end_of_the_tunnel() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let peer = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 77), 40_000);
        let keys = GreKeys { send: 5, receive: 6 };
        let mode = TunnelMode { encapsulation: Encapsulation::Gre(Some(keys)), udp: Some(UdpEnds { port: 434, peer }) };
        let route = BindingRoute { home_address: CLIENT, exits: vec![exit(FAR_AGENT, mode)] };
        data_plane.install_binding(&route).unwrap();
        let of_client = datagram(CLIENT.octets(), Ipv4Addr::new(192, 0, 2, 9), 2_000);
        let of_agent = datagram(FAR_AGENT.octets(), HOME_AGENT, 8);
        let arrival = |payload, source| UdpArrival {
            source,
            destination: SocketAddrV4::new(HOME_AGENT, 434),
            ttl: 64,
            protocol: 47,
            payload,
            identification: 1,
        };
        let (client, agent, wrong_key) = (gre(6, 1, &of_client), gre(6, 2, &of_agent), gre(7, 3, &of_client));
        let other_port = SocketAddrV4::new(*peer.ip(), 40_001);
        assert_eq!(data_plane.take_from_udp(&arrival(&client, peer)), Ok(FromUdp::Client));
        assert_eq!(
            data_plane.take_from_udp(&arrival(&agent, peer)),
            Ok(FromUdp::Ourselves { mode, packet: of_agent.clone() })
        );
        assert_eq!(data_plane.take_from_udp(&arrival(&wrong_key, peer)), Err(Refusal::Form));
        assert_eq!(data_plane.take_from_udp(&arrival(&client, other_port)), Err(Refusal::Form));
        assert_eq!(data_plane.take_from_udp(&arrival(&agent, other_port)), Err(Refusal::Stranger));
        data_plane.remove_binding(CLIENT).unwrap();
        assert_eq!(data_plane.take_from_udp(&arrival(&client, peer)), Err(Refusal::Stranger));
        assert_eq!(data_plane.take_from_udp(&arrival(&agent, peer)), Err(Refusal::Stranger));
        assert_eq!(data_plane.tunnel_socket_counters().delivered, 1);
    });
}

#[test]
fn a_tunnel_packet_in_fragments_reaches_the_visitor_that_the_kernel_does_not_know_and_nobody_else() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let home_address = Ipv4Addr::new(10, 9, 0, 7);
        let second = namesake(home_address);
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, false)).unwrap();
        data_plane.install_visitor(second).unwrap();
        let core = router.beyond.packet_socket("core");
        let access = router.beyond.packet_socket("lan1");
        let inner = to_visitor(home_address);
        let core_mac = data_plane.interfaces().into_iter().find(|report| report.name == "core").unwrap().mac;
        let access_mac = data_plane.interfaces().into_iter().find(|report| report.name == "lan1").unwrap().mac;
        for frame in in_fragments(core_mac, second.home_agent, &inner) {
            (&mut &core).write_all(&frame).unwrap();
        }
        until(&mut data_plane, |data_plane| data_plane.tunnel_socket_counters().delivered == 1).await;
        // The first frame with it at all is the right one.
        let frame = receive(&access, |frame| frame.ends_with(&inner[20..]));
        assert_eq!(frame[..14], [&second.mac.0[..], &access_mac.0, &[8, 0]].concat());
        assert_eq!(frame[14 + 20..], inner[20..]);
        assert_eq!(frame[14 + 8], 63, "one hop");
    });
}

/// The beginning of a packet of a tunnel, as a router quotes it, with a packet of a client in it.
fn quoted(entry: Ipv4Addr, exit: Ipv4Addr, inner: (Ipv4Addr, Ipv4Addr)) -> Vec<u8> {
    let mut inside = Vec::new();
    let builder = PacketBuilder::ipv4(inner.0.octets(), inner.1.octets(), 63).udp(1000, 2000);
    builder.write(&mut inside, &[7; 1452]).unwrap();
    let mut packet = Vec::new();
    PacketBuilder::ipv4(entry.octets(), exit.octets(), 60).write(&mut packet, 4.into(), &inside).unwrap();
    packet[6] = 0x40;
    packet.truncate(200);
    packet
}

/// An ICMP error of a router, sent from beyond.
fn report(router: &Router, to: Ipv4Addr, kind: Icmpv4Type, quoted: Vec<u8>) {
    router.beyond.enter(move || {
        let mut message = Vec::new();
        etherparse::Icmpv4Header::with_checksum(kind, &quoted).write(&mut message).unwrap();
        message.extend(quoted);
        let icmp = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::ICMPV4));
        let to = SocketAddrV4::new(to, 0);
        icmp.unwrap().send_to(&message, &to.into()).unwrap();
    });
}

fn too_big(mtu: u16) -> Icmpv4Type {
    Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu })
}

/// A home agent that the box beyond can tell of errors, with a client away and its tunnel ready.
async fn with_a_tunnel(router: &Router) -> DataPlane {
    router.beyond.run("ip route add 10.1.0.1 via 10.0.0.1");
    let mut data_plane = DataPlane::start(router.settings()).unwrap();
    data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
    until(&mut data_plane, |data_plane| data_plane.tunnels()[0].resolved).await;
    data_plane
}

#[test]
fn a_router_on_the_way_sets_the_mtu_of_the_tunnel_and_its_routes_and_the_sender_is_told() {
    in_namespaces(|router| async move {
        let mut data_plane = with_a_tunnel(&router).await;
        let sender = Ipv4Addr::new(10, 0, 0, 2);
        let (core, id) = (router.beyond.packet_socket("core"), data_plane.tunnels()[0].id);
        report(&router, HOME_AGENT, too_big(1400), quoted(HOME_AGENT, FAR_AGENT, (sender, CLIENT)));
        until(&mut data_plane, |data_plane| data_plane.icmp_counters().relayed == 1).await;
        assert_eq!((data_plane.tunnels()[0].inner_mtu, data_plane.icmp_counters().mtu_lowered), (1380, 1));
        assert!(contains(&sh("ip route"), "10.1.0.5 dev mip-home proto 143 scope link mtu 1380"));
        let path = data_plane.path_mtus()[&id];
        assert_eq!(path.mtu, 1400);
        assert!(matches!(path.source, PathMtuSource::Icmp { router, remaining }
            if router == sender && remaining > Duration::from_mins(9)));
        let frame = receive(&core, |frame| frame[26..30] == HOME_AGENT.octets() && frame[34..36] == [3, 4]);
        assert_eq!((frame[23], &frame[30..34]), (1, &sender.octets()[..]));
        assert_eq!(frame[40..42], 1380_u16.to_be_bytes(), "the MTU of the tunnel less its header");
        assert_eq!(frame[54..62], [10, 0, 0, 2, 10, 1, 0, 5], "about the packet inside");

        // A change of the routes does not bring back what the kernel has learned by itself, nor forget what we have.
        sh("ip route add 10.9.0.0/16 via 10.0.0.2 mtu 1450");
        until(&mut data_plane, |data_plane| data_plane.tunnels()[0].resolved).await;
        assert_eq!(data_plane.tunnels()[0].inner_mtu, 1380);
    });
}

#[test]
fn forged_errors_change_nothing_and_are_counted() {
    in_namespaces(|router| async move {
        let mut data_plane = with_a_tunnel(&router).await;
        let sender = Ipv4Addr::new(10, 0, 0, 2);
        let stranger = Ipv4Addr::new(10, 66, 0, 1);
        let of_tunnel = |inner| quoted(HOME_AGENT, FAR_AGENT, inner);
        report(&router, HOME_AGENT, too_big(1400), quoted(HOME_AGENT, stranger, (sender, CLIENT)));
        report(&router, HOME_AGENT, too_big(1400), quoted(stranger, FAR_AGENT, (sender, CLIENT)));
        report(&router, HOME_AGENT, too_big(20), of_tunnel((sender, CLIENT)));
        report(&router, HOME_AGENT, too_big(1500), of_tunnel((sender, CLIENT)));
        let unreachable = || Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host);
        report(&router, HOME_AGENT, unreachable(), of_tunnel((sender, stranger)));
        until(&mut data_plane, |data_plane| {
            let counted = data_plane.icmp_counters();
            (counted.strange, counted.refused) == (2, 3)
        })
        .await;
        let path = data_plane.path_mtus()[&data_plane.tunnels()[0].id];
        assert_eq!((path.mtu, path.source), (1500, PathMtuSource::Interface));
        let counted = data_plane.icmp_counters();
        assert_eq!((counted.relayed, counted.mtu_lowered, counted.absorbed), (0, 0, 0));
    });
}

#[test]
fn a_visitor_is_told_of_errors_in_the_reverse_tunnel_on_its_own_link() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        router.beyond.run("ip route add 10.2.0.1 via 10.0.0.1 dev core");
        let home_address = Ipv4Addr::new(10, 9, 0, 7);
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        until(&mut data_plane, |data_plane| data_plane.tunnels()[0].resolved).await;
        let access = router.beyond.packet_socket("lan1");
        let correspondent = Ipv4Addr::new(192, 0, 2, 9);
        let expired = Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit);
        report(&router, CARE_OF, expired, quoted(CARE_OF, FAR_AGENT, (home_address, correspondent)));
        until(&mut data_plane, |data_plane| data_plane.icmp_counters().relayed == 1).await;
        let frame = receive(&access, |frame| frame[..6] == CLIENT_MAC.0);
        assert_eq!((&frame[26..30], &frame[30..34]), (&CARE_OF.octets()[..], &home_address.octets()[..]));
        assert_eq!(frame[34..36], [3, 1], "a loop in the tunnel is no business of the visitor's");

        report(&router, CARE_OF, too_big(1300), quoted(CARE_OF, FAR_AGENT, (home_address, correspondent)));
        until(&mut data_plane, |data_plane| data_plane.icmp_counters().relayed == 2).await;
        assert!(contains(&sh("ip route show table 435"), "default dev mip-visit proto 143 scope link mtu 1280"));
    });
}

#[test]
fn in_a_subnet_with_one_route_only_who_is_behind_a_narrow_path_has_another_one() {
    in_namespaces(|router| async move {
        router.beyond.run("ip route add 10.1.0.1 via 10.0.0.1");
        let mut settings = router.settings();
        let home = settings.home.as_mut().unwrap();
        home.subnets.push(HomeSubnetSettings { routes: HomeRoutes::Subnet, ..home_subnet("10.64.0.0/16") });
        let mut data_plane = DataPlane::start(settings).unwrap();
        let other_agent = Ipv4Addr::new(10, 9, 0, 2);
        let (narrow, wide) = (Ipv4Addr::new(10, 64, 0, 1), Ipv4Addr::new(10, 64, 0, 2));
        data_plane.install_binding(&binding(narrow, FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(wide, other_agent)).unwrap();
        let routes = || sh("ip route").lines().filter(|line| line.starts_with("10.64")).collect::<Vec<_>>().join("\n");
        assert_eq!(routes().trim(), "10.64.0.0/16 dev mip-home proto 143 scope link mtu 1480");
        let sender = Ipv4Addr::new(10, 0, 0, 2);
        report(&router, HOME_AGENT, too_big(1400), quoted(HOME_AGENT, FAR_AGENT, (sender, narrow)));
        until(&mut data_plane, |data_plane| data_plane.icmp_counters().mtu_lowered == 1).await;
        assert!(contains(&routes(), "10.64.0.0/16 dev mip-home proto 143 scope link mtu 1480"));
        assert!(contains(&routes(), "10.64.0.1 dev mip-home proto 143 scope link mtu 1380"));

        // All tunnels become as narrow: so does the subnet.
        sh("ip link set core mtu 1400");
        until(&mut data_plane, |_| contains(&routes(), "10.64.0.0/16 dev mip-home proto 143 scope link mtu 1380"))
            .await;
        until(&mut data_plane, |_| !routes().contains("10.64.0.1 ")).await;
        sh("ip link set core mtu 1500");
        until(&mut data_plane, |_| contains(&routes(), "10.64.0.1 dev mip-home proto 143 scope link mtu 1380")).await;
        data_plane.remove_binding(narrow).unwrap();
        assert_eq!(routes().trim(), "10.64.0.0/16 dev mip-home proto 143 scope link mtu 1480");
    });
}

#[test]
fn unload_finishes_what_others_have_begun() {
    in_namespaces(|router| async move {
        let before = router.snapshot();
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, Ipv4Addr::new(10, 9, 0, 7), true)).unwrap();
        stop(data_plane);
        sh("ip link del mip-home");
        sh("ip rule del priority 434");
        sh("ip route flush table 434");
        fs::remove_file(router.pins().join("links/router_xdp-core")).unwrap();
        fs::remove_file(router.pins().join("SLOTS")).unwrap();
        assert!(Inspection::open(&router.bpffs).err().unwrap().to_string().contains("SLOTS"));
        router.unload();
        fs::remove_dir(&router.state).unwrap();
        assert_same(&router.snapshot(), &before);
    });
}

#[test]
fn a_bpf_file_system_is_mounted_where_there_is_none_and_unmounted() {
    in_namespaces(|mut router| async move {
        router.bpffs = router.state.with_file_name("pins");
        let before = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        stop(DataPlane::start(router.settings()).unwrap());
        assert_eq!(router.inspect().interfaces().unwrap().len(), 5);
        router.unload();
        assert_eq!(fs::read_to_string("/proc/thread-self/mounts").unwrap(), before);
        assert!(matches!(Inspection::open(&router.bpffs), Err(DataPlaneError::NothingPinned { .. })));
    });
}

#[test]
fn another_routing_table_after_a_restart_leaves_nothing_in_the_old_one() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        let home_address = Ipv4Addr::new(10, 9, 0, 7);
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        stop(data_plane);
        let mut settings = router.settings();
        settings.visit.as_mut().unwrap().table = 500;
        let mut data_plane = DataPlane::start(settings).unwrap();
        data_plane.install_visitor(visitor(FAR_AGENT, home_address, true)).unwrap();
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 0);
        let rules = sh("ip rule");
        assert!(contains(&rules, "500: from all iif mip-visit lookup 500"), "{rules}");
        assert!(contains(&rules, "501: from all fwmark 0x4d000000/0xff000000 lookup 501"), "{rules}");
        assert!(!rules.contains("434") && !rules.contains("435"), "{rules}");
        assert!(contains(&sh("ip route show table 500"), "10.9.0.7 dev lan1"));
        assert_eq!(sh("ip route show table all proto 143").matches("table 43").count(), 0);
    });
}
