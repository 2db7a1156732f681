//! The table of configuration errors, and what valid files mean.

use crate::mobility::{proxy::ReverseTunnelPolicy, reverse_tunnel::ReverseTunnel};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use super::*;
use crate::wire::{
    authentication::{Algorithm, Key},
    types::Lifetime,
};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const PRIVATE: u32 = 0o600;

const HOME_AGENT: &str = r#"
[home-agent]
address = "10.1.0.1"
subnets = [{ prefix = "10.1.0.0/24", interface = "lan0" }]
"#;

const FOREIGN_AGENT: &str = r#"
[foreign-agent]
interfaces = ["lan0"]
care-of-address = "10.2.0.1"
"#;

const ACCESS_POINT: &str = r#"
[access-point]
uplink = "eth0"
bridge = "br-lan"
radios = [{ interface = "wlan0" }]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("mipd.toml"), PRIVATE)
}

fn message(text: &str) -> String {
    let message = parse(text).expect_err(text).to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

#[test]
fn every_mistake_has_its_one_line() {
    let association = |body: &str| format!("{HOME_AGENT}[[security-association]]\n{body}\n");
    let peer = |body: &str| format!("{HOME_AGENT}[[peer-association]]\n{body}\n");
    let cases: Vec<(String, &str)> = vec![
        (
            String::new(),
            "mipd.toml:1: no role is configured: add a section [home-agent], [foreign-agent] or [access-point]",
        ),
        (
            format!("{ACCESS_POINT}[advertisement]\nlifetime = \"9s\"\n"),
            "mipd.toml:6: an access point does not advertise itself: remove [advertisement]",
        ),
        (
            format!("{HOME_AGENT}[advertisement]\nlifetime = \"8s\"\n"),
            "mipd.toml:6: lifetime 8s is out of bounds: write 9s to 2h 30m",
        ),
        (
            format!("{HOME_AGENT}[advertisement]\nshortest-interval = \"4s\"\n"),
            "mipd.toml:6: shortest-interval 4s is out of bounds: write 500ms to 3s",
        ),
        ("[home-agent\n".into(), "mipd.toml:1: unclosed table, expected `]`"),
        (
            format!("{HOME_AGENT}[tacacs]\nservers = []\n"),
            "mipd.toml:5: unknown key `tacacs`: expected agent, interface, security-association, peer-association, \
             access-point, foreign-agent, home-agent, advertisement, radius",
        ),
        (
            format!("{ACCESS_POINT}vlan = 5\n"),
            "mipd.toml:6: unknown key `vlan`: expected uplink, bridge, radios, subnet-map, authoritative, \
             subnet-map-key, subnet-map-key-file, registration-lifetime, encapsulation, reverse-tunnel, delivery, broadcast, proxy-extensions, local-subnets, visitor-ipv6, registration-port, maximum-clients, \
             idle-timeout, remembered-addresses, remember-addresses-for, clients",
        ),
        (
            format!("{ACCESS_POINT}clients = [{{ mac = \"01:00:5e:00:00:01\", address = \"10.1.0.5\" }}]\n"),
            "mipd.toml:6: `01:00:5e:00:00:01` is no station's address: write that of one device",
        ),
        (
            format!(
                "{ACCESS_POINT}clients = [\n{{ mac = \"02:00:00:00:00:01\", address = \"10.1.0.5\" }},\n\
                 {{ mac = \"02:00:00:00:00:02\", address = \"10.1.0.5\" }},\n]\n"
            ),
            "mipd.toml:8: client 02:00:00:00:00:02 with 10.1.0.5: 02:00:00:00:00:01 already has 10.1.0.5: keep one of \
             the two",
        ),
        (
            ACCESS_POINT.replace("interface = \"wlan0\"", "interface = \"wlan0\", hostapd = \"run\""),
            "mipd.toml:5: hostapd `run`: write the directory of its control sockets, or off",
        ),
        (
            format!("{ACCESS_POINT}idle-timeout = \"1s\"\n"),
            "mipd.toml:6: idle-timeout 1s is out of bounds: write 2s to 1h",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetim = \"10h\"\n"),
            "mipd.toml:5: unknown key `maximum-lifetim`: did you mean `maximum-lifetime`?",
        ),
        (
            format!("{HOME_AGENT}address = \"10.1.0.1\"\n"),
            "mipd.toml:5: key `address` is given twice: keep one of them",
        ),
        (
            "[home-agent]\naddress = \"10.1.0.1\"\n".into(),
            "mipd.toml:1: key `subnets` is missing in this section: add it",
        ),
        (
            HOME_AGENT.replace("10.1.0.1", "10.9.0.1"),
            "mipd.toml:3: home agent address 10.9.0.1 is in none of its subnets: use this box's address in one of them \
             (access points derive the subnet from it)",
        ),
        (
            HOME_AGENT.replace("10.1.0.0/24", "10.1.0.1/24"),
            "mipd.toml:4: prefix `10.1.0.1/24` has host bits set: write 10.1.0.0/24",
        ),
        (
            HOME_AGENT.replace("10.1.0.0/24", "10.1.0.0"),
            "mipd.toml:4: `10.1.0.0` is not an IPv4 prefix: write it like 10.1.0.0/24",
        ),
        (
            HOME_AGENT.replace("10.1.0.0/24", "10.0.0.0/7"),
            "mipd.toml:4: home subnet 10.0.0.0/7 is too large or too small: write a prefix length from 8 to 30",
        ),
        (
            HOME_AGENT.replace(" }]", " }, { prefix = \"10.1.0.128/25\", interface = \"lan1\" }]"),
            "mipd.toml:4: home subnet 10.1.0.128/25 overlaps 10.1.0.0/24: make the subnets disjoint",
        ),
        (
            HOME_AGENT.replace("[{ prefix = \"10.1.0.0/24\", interface = \"lan0\" }]", "[]"),
            "mipd.toml:4: subnets is empty: name at least one home subnet and its interface",
        ),
        (
            HOME_AGENT.replace("lan0", "a-much-too-long-name"),
            "mipd.toml:4: `a-much-too-long-name` is not an interface name: write 1 to 15 characters without space, slash \
             or colon",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetime = \"19h\"\n"),
            "mipd.toml:5: lifetime `19h` does not fit a registration: write at most 65534s (18h 12min 14s) or infinite",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetime = \"65535s\"\n"),
            "mipd.toml:5: lifetime `65535s` does not fit a registration: write at most 65534s (18h 12min 14s) or infinite",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetime = \"0s\"\n"),
            "mipd.toml:5: a lifetime of 0 would end every registration: write at least 1s",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetime = \"ten\"\n"),
            "mipd.toml:5: `ten` is not a duration: write a number and its unit, such as 7s, 10min or 10h",
        ),
        (
            format!("{HOME_AGENT}maximum-lifetime = 600\n"),
            "mipd.toml:5: invalid type: integer `600`, expected a string",
        ),
        (
            format!("{HOME_AGENT}replay-window = \"2h\"\n"),
            "mipd.toml:5: replay-window 2h is out of bounds: write 1s to 1h",
        ),
        (
            format!("{HOME_AGENT}maximum-bindings = 0\n"),
            "mipd.toml:5: maximum-bindings 0 is out of bounds: write 1 to 16777216",
        ),
        (
            format!("{HOME_AGENT}maximum-tunnels = 0\n"),
            "mipd.toml:5: maximum-tunnels 0 is out of bounds: write 1 to 16777216",
        ),
        (
            format!("{HOME_AGENT}maximum-slots = 300000000\n"),
            "mipd.toml:5: maximum-slots 300000000 is out of bounds: write 1 to 268435456",
        ),
        (
            format!("{HOME_AGENT}reverse-tunnel = \"always\"\n"),
            "mipd.toml:5: unknown value `always`: expected off, offered, required",
        ),
        (
            format!("{HOME_AGENT}encapsulation = [\"gre\"]\n"),
            "mipd.toml:5: encapsulation lacks `ipip`, which every agent must support: add it",
        ),
        (
            format!("{HOME_AGENT}encapsulation = [\"ipip\", \"vxlan\"]\n"),
            "mipd.toml:5: unknown value `vxlan`: expected ipip, gre, minimal",
        ),
        (
            format!("{HOME_AGENT}udp-keepalive = \"30s\"\n"),
            "mipd.toml:5: udp-keepalive without udp-tunnel does nothing: write udp-tunnel = \"on\", or leave it out",
        ),
        (
            format!("{HOME_AGENT}udp-tunnel = \"on\"\nudp-keepalive = \"9s\"\n"),
            "mipd.toml:6: udp-keepalive 9s is out of bounds: write 10s to 18h 12m 15s",
        ),
        (
            format!("{HOME_AGENT}simultaneous-bindings = 5\n"),
            "mipd.toml:5: simultaneous-bindings 5 is out of bounds: write 1 to 4",
        ),
        (
            format!("{HOME_AGENT}identities = [{{ nai = \"a@b\", home-address = \"10.7.0.5\" }}]\n"),
            "mipd.toml:5: home address 10.7.0.5 of a@b is in none of the subnets: correct one of them",
        ),
        (
            format!("{HOME_AGENT}identities = [{{ nai = \"\", home-address = \"10.1.0.5\" }}]\n"),
            "mipd.toml:5: nai is empty or longer than 255 bytes: write it like user@realm",
        ),
        (
            format!(
                "{HOME_AGENT}identities = [{{ nai = \"a@b\", home-address = \"10.1.0.5\" }}, \
                 {{ nai = \"a@b\", home-address = \"10.1.0.6\" }}]\n"
            ),
            "mipd.toml:5: nai a@b has a home address already: write it once",
        ),
        (
            format!("{FOREIGN_AGENT}encapsulation = [\"ipip\", \"gre\", \"ipip\"]\n"),
            "mipd.toml:5: encapsulation `ipip` is named twice: name each once",
        ),
        (
            format!("{FOREIGN_AGENT}gre-key = \"with-gre\"\n"),
            "mipd.toml:5: gre-key needs GRE: add \"gre\" to encapsulation, or write \"never\"",
        ),
        (
            format!("{FOREIGN_AGENT}everything-translated = true\n"),
            "mipd.toml:5: everything-translated needs tunnels over UDP: write udp-tunnel = \"on\", or leave it out",
        ),
        (
            format!("{FOREIGN_AGENT}udp-tunnel = \"on\"\neverything-translated = true\nreverse-tunnel = \"off\"\n"),
            "mipd.toml:6: everything-translated needs reverse tunnels: leave reverse-tunnel = \"off\" out",
        ),
        (
            format!("{FOREIGN_AGENT}delivery = \"pigeon\"\n"),
            "mipd.toml:5: unknown value `pigeon`: expected direct, encapsulating",
        ),
        (
            FOREIGN_AGENT.replace("[\"lan0\"]", "[\"lan0\", \"lan0\"]"),
            "mipd.toml:3: interface lan0 is named twice in interfaces: remove one",
        ),
        (
            FOREIGN_AGENT.replace("[\"lan0\"]", "[]"),
            "mipd.toml:3: interfaces is empty: name at least one interface on which visitors are",
        ),
        (
            FOREIGN_AGENT.replace("10.2.0.1", "224.0.0.11"),
            "mipd.toml:4: `224.0.0.11` cannot be the address of a host: write a unicast address",
        ),
        (
            format!("{FOREIGN_AGENT}pending-timeout = \"10min\"\n"),
            "mipd.toml:5: pending-timeout 10m is out of bounds: write 1s to 1m",
        ),
        (
            format!("{HOME_AGENT}{ACCESS_POINT}"),
            "mipd.toml:6: [access-point] together with [home-agent] on one box is not supported yet: run them on two boxes",
        ),
        (
            format!("{FOREIGN_AGENT}{ACCESS_POINT}"),
            "mipd.toml:6: [access-point] together with [foreign-agent] on one box is not supported yet: run them on two \
             boxes",
        ),
        (
            ACCESS_POINT.replace("wlan0", "eth0"),
            "mipd.toml:5: radio eth0 is already the uplink: name an interface with clients behind it",
        ),
        (
            ACCESS_POINT.replace("[{ interface = \"wlan0\" }]", "[{ interface = \"w\" }, { interface = \"w\" }]"),
            "mipd.toml:5: radio w is already another radio: name an interface with clients behind it",
        ),
        (
            ACCESS_POINT.replace(
                "\"wlan0\" }",
                "\"w\", subnet-map = [{ home-agent = \"10.1.0.1\", mask = \"255.255.0.0\" }, \
                 { home-agent = \"10.1.9.1\", mask = \"255.255.0.0\" }] }",
            ),
            "mipd.toml:5: subnet 10.1.0.0/16 already has home agent 10.1.0.1: keep one of the two",
        ),
        (
            ACCESS_POINT.replace("br-lan", "eth0"),
            "mipd.toml:4: uplink and bridge are both eth0: the uplink is a port of the bridge",
        ),
        (
            format!("{ACCESS_POINT}subnet-map = [{{ home-agent = \"10.1.0.1\", mask = \"255.0.255.0\" }}]\n"),
            "mipd.toml:6: `255.0.255.0` is not a subnet's mask: write it like 255.255.255.0",
        ),
        (
            format!(
                "{ACCESS_POINT}subnet-map = [{{ home-agent = \"10.1.0.1\", mask = \"255.255.255.0\" }},\n\
                 {{ home-agent = \"10.1.0.2\", mask = \"255.255.255.0\" }}]\n"
            ),
            "mipd.toml:7: subnet 10.1.0.0/24 already has home agent 10.1.0.1: keep one of the two",
        ),
        (
            format!("{ACCESS_POINT}registration-port = 434\n"),
            "mipd.toml:6: registration-port 434 cannot be used: write another, or leave it out",
        ),
        (
            association("clients = \"10.1.0.0/24\"\nspi = 255\nkey = \"hex:00\""),
            "mipd.toml:7: spi 255 cannot be used: write a number from 256 to 4294967295 (0 to 255 are reserved)",
        ),
        (
            association("clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"hex:00010203\""),
            "mipd.toml:8: key has 8 hexadecimal digits: write 32 (16 bytes), such as `openssl rand -hex 16` prints",
        ),
        (
            association(&format!("clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"hex:{KEY}00\"")),
            "mipd.toml:8: key has 34 hexadecimal digits: write 32 (16 bytes), such as `openssl rand -hex 16` prints",
        ),
        (
            association("clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"hex:0001020304050607xx\""),
            "mipd.toml:8: key is not hexadecimal (character 17 after hex:): write hex: and 32 digits",
        ),
        (
            association("clients = \"10.1.0.0/24\"\nspi = 256"),
            "mipd.toml:5: no key: add key-file = \"PATH\" or key = \"hex:…\"",
        ),
        (
            association(&format!("clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"hex:{KEY}\"\nkey-file = \"k\"")),
            "mipd.toml:9: both key and key-file are given: keep one of them",
        ),
        (
            association("clients = \"10.1.0.0/24\"\nspi = 256\nkey-file = \"/nonexistent/key\""),
            "mipd.toml:8: key-file /nonexistent/key: cannot be read (No such file or directory (os error 2)): create it \
             or correct the path",
        ),
        (
            association(&format!("clients = \"hex:{KEY}\"\nspi = 256")),
            "mipd.toml:6: `hex:…` is not a range of clients: write 10.1.0.0/24, 10.1.0.5 or 10.1.0.10-10.1.0.20",
        ),
        (
            association("clients = \"10.1.0.9-10.1.0.2\"\nspi = 256"),
            "mipd.toml:6: range `10.1.0.9-10.1.0.2` ends before it begins: exchange its ends",
        ),
        (
            association(&format!(
                "clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"{KEY}\"\n[[security-association]]\n\
                 clients = \"10.1.0.5\"\nspi = 257\nkey = \"{KEY}\""
            )),
            "mipd.toml:10: clients 10.1.0.5 overlap 10.1.0.0/24 of line 6: make the ranges equal or disjoint",
        ),
        (
            association(&format!(
                "clients = \"10.1.0.5\"\nspi = 256\nkey = \"{KEY}\"\n[[security-association]]\n\
                 clients = \"10.1.0.5/32\"\nspi = 256\nkey = \"{KEY}\""
            )),
            "mipd.toml:11: clients 10.1.0.5 already have a key for spi 256 in line 6: use another spi",
        ),
        (
            association(&format!("clients = \"10.1.0.5\"\nspi = 256\nkey = \"{KEY}\"\nalgorithm = \"md5\"")),
            "mipd.toml:9: unknown value `md5`: expected hmac-md5, md5-prefix-suffix, md5-prefix-suffix-without-spi, hmac-sha1, hmac-sha256",
        ),
        (
            peer(&format!(
                "peer = \"10.2.0.1\"\nkind = \"foreign-home\"\nspi = 300\nkey = \"{KEY}\"\n[[peer-association]]\n\
                 peer = \"10.2.0.1\"\nkind = \"foreign-home\"\nspi = 300\nkey = \"{KEY}\""
            )),
            "mipd.toml:11: foreign-home association with 10.2.0.1 and spi 300 is already in line 6: use another spi",
        ),
        (
            format!(
                "{ACCESS_POINT}\n[[peer-association]]\npeer = \"10.2.0.1\"\nkind = \"foreign-home\"\nspi = 300\n\
                 key = \"{KEY}\""
            ),
            "mipd.toml:7: an access point is neither home agent nor foreign agent: write kind = \"mobile-foreign\", or remove it",
        ),
        (
            format!("{ACCESS_POINT}encapsulation = [\"gre\", \"gre\"]\n"),
            "mipd.toml:6: encapsulation `gre` is named twice: name each once",
        ),
        (
            association(&format!("clients = \"10.1.0.0/24\"\nspi = 256\nkey = \"{KEY}\"\nnai = \"one@a.example\"")),
            "mipd.toml:9: all of 10.1.0.0/24 would be called the same: write {address} or {mac} into the nai",
        ),
        (
            association(&format!("clients = \"10.1.0.5\"\nspi = 256\nkey = \"{KEY}\"\nnai = \"one two\"")),
            "mipd.toml:9: identifier `one two` has control characters or white space: write it like scanner7@warehouse.example",
        ),
        (
            format!("[agent]\nstate-dir = \"state\"\n{HOME_AGENT}"),
            "mipd.toml:2: state-dir `state` is relative: write the whole path",
        ),
        (
            format!("[agent]\nlog = \"mipd=loud\"\n{HOME_AGENT}"),
            "mipd.toml:2: log `mipd=loud` is not a level: write error, warn, info, debug or trace",
        ),
        (
            format!("[agent]\nfast-path = \"generic\"\n{HOME_AGENT}"),
            "mipd.toml:2: unknown value `generic`: expected auto, xdp, tc, off",
        ),
        (
            format!("[agent]\ncore-interfaces = [\"core0\", \"core0\"]\n{HOME_AGENT}"),
            "mipd.toml:2: interface core0 is named twice in core-interfaces: remove one",
        ),
        (
            format!(
                "[[interface]]\nname = \"lan0\"\nfast-path = \"tc\"\n[[interface]]\nname = \"lan0\"\nfast-path = \"off\"\n\
                 {HOME_AGENT}"
            ),
            "mipd.toml:5: [[interface]] lan0 is already in line 2: merge the two",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(message(&text), expected, "for the file:\n{text}");
    }
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = parse(&format!("{HOME_AGENT}{FOREIGN_AGENT}")).unwrap();
    assert_eq!(config.agent.control_socket, Path::new("/run/mipd/mipd.sock"));
    assert_eq!(config.agent.bpffs_dir, Path::new("/sys/fs/bpf/mipd"));
    assert_eq!(config.agent.state_dir, Path::new("/var/lib/mipd"));
    assert_eq!((config.agent.log.as_str(), config.agent.fast_path), ("info", FastPath::Auto));
    assert_eq!(config.agent.core_interfaces, None);
    let home_agent = config.home_agent.unwrap();
    assert_eq!(home_agent.maximum_lifetime, Lifetime(36_000));
    assert_eq!(home_agent.replay_window, Duration::from_secs(7));
    assert_eq!(home_agent.advertisement_interval, Duration::from_secs(3));
    assert_eq!(home_agent.reverse_tunnel, ReverseTunnel::Offered);
    assert!(home_agent.revocation && home_agent.answer_broadcast_probes && home_agent.mss_clamp);
    assert!(!home_agent.answer_unicast_probes);
    assert_eq!((home_agent.allowed_proxies, home_agent.identities.len()), (None, 0));
    assert_eq!(home_agent.subnets[0].routes, None);
    let fitting = |prefix: &str, has_link| HomeRoutes::fitting(prefix.parse().unwrap(), has_link);
    assert_eq!(fitting("10.0.0.0/12", true), HomeRoutes::Host, "somebody may be at home");
    assert_eq!(fitting("10.0.0.0/12", false), HomeRoutes::Subnet);
    assert_eq!(fitting("10.0.0.0/24", false), HomeRoutes::Host);
    let foreign_agent = config.foreign_agent.unwrap();
    assert!(foreign_agent.mss_clamp);
    assert_eq!(foreign_agent.pending_timeout, Duration::from_secs(7));
    let access_point = parse(ACCESS_POINT).unwrap().access_point.unwrap();
    assert_eq!(access_point.registration_lifetime, Lifetime(600));
    assert_eq!(access_point.reverse_tunnel, ReverseTunnelPolicy::WhenOffered);
    assert_eq!(access_point.visitor_ipv6, VisitorIpv6::Bridge);
    assert!(access_point.radios[0].proxy_mobile_ip);
    assert_eq!(access_point.registration_port, None);
}

#[test]
fn what_is_written_is_what_is_meant() {
    let config = parse(&format!(
        r#"
        [agent]
        fast-path = "tc"
        core-interfaces = ["core0"]
        [[interface]]
        name = "lan0"
        fast-path = "off"
        [[security-association]]
        clients = "10.1.0.0/24"
        spi = 256
        key = "hex:{KEY}"
        algorithm = "md5-prefix-suffix"
        [[security-association]]
        clients = "10.1.0.0-10.1.0.255"
        spi = 257
        key = "{KEY}"
        {ACCESS_POINT}
        subnet-map = [{{ home-agent = "10.1.7.1", mask = "255.255.248.0" }}]
        registration-lifetime = "infinite"
        local-subnets = ["10.2.0.0/24"]
        visitor-ipv6 = "drop"
        "#
    ))
    .unwrap();
    assert_eq!(config.fast_path("lan0"), FastPath::Off);
    assert_eq!(config.fast_path("core0"), FastPath::Tc);
    let [first, second] = config.security_associations.as_slice() else { panic!("{config:?}") };
    assert_eq!(first.association.algorithm, Algorithm::Md5PrefixSuffix);
    assert_eq!(first.association.key, Key::from_hex(KEY).unwrap());
    assert_eq!((second.clients, second.association.algorithm), (first.clients, Algorithm::HmacMd5));
    let access_point = config.access_point.unwrap();
    assert_eq!(access_point.subnet_map[0].prefix, "10.1.0.0/21".parse().unwrap());
    assert_eq!(access_point.registration_lifetime, Lifetime::INFINITE);
    assert_eq!(access_point.visitor_ipv6, VisitorIpv6::Drop);
}

#[test]
fn an_agent_may_share_a_key_with_anybody() {
    let config = parse(&format!(
        "{HOME_AGENT}\n[[peer-association]]\npeer = \"any\"\nkind = \"foreign-home\"\nspi = 300\nkey = \"{KEY}\""
    ))
    .unwrap();
    assert_eq!(config.peer_associations[0].peer, Peer::Any);
    assert_eq!(config.peer_associations[0].kind, PeerKind::ForeignHome);
}

#[test]
fn a_key_in_a_file_of_its_own_is_found_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mipd.toml");
    let key_file = directory.path().join("campus");
    fs::write(&key_file, format!("hex:{KEY}\n")).unwrap();
    let text =
        format!("{HOME_AGENT}[[security-association]]\nclients = \"10.1.0.0/24\"\nspi = 256\nkey-file = \"campus\"\n");
    fs::write(&file, text).unwrap();

    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.security_associations[0].association.key, Key::from_hex(KEY).unwrap());

    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        Config::load(&file).unwrap_err().to_string(),
        format!(
            "{}:8: key-file {key}: others may read it (mode 0644): chmod o= {key}",
            file.display(),
            key = key_file.display()
        )
    );

    fs::remove_file(&key_file).unwrap();
    fs::create_dir(&key_file).unwrap();
    let refused = Config::load(&file).unwrap_err().to_string();
    assert!(refused.ends_with("is not a regular file: name a file that holds the key"), "{refused}");
}

#[test]
fn a_key_in_a_file_that_others_may_read_is_refused() {
    let text =
        format!("{HOME_AGENT}[[security-association]]\nclients = \"10.1.0.0/24\"\nspi = 256\nkey = \"hex:{KEY}\"\n");
    let refused = Config::parse(&text, Path::new("mipd.toml"), 0o100_644).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "mipd.toml:8: this file holds a key and others may read it (mode 0644): chmod o= mipd.toml, or move the key to a \
         key-file"
    );
    assert!(Config::parse(HOME_AGENT, Path::new("mipd.toml"), 0o100_644).is_ok());
}

#[test]
fn key_material_never_appears_in_debug_output_or_errors() {
    let section = |clients: &str, key: &str| {
        format!("{HOME_AGENT}[[security-association]]\nclients = {clients}\nspi = 256\nkey = {key}\n")
    };
    let hexadecimal =
        |text: &str| KEY.as_bytes().windows(8).any(|run| text.contains(std::str::from_utf8(run).unwrap()));
    let config = parse(&section("\"10.1.0.0/24\"", &format!("\"hex:{KEY}\""))).unwrap();
    assert!(!hexadecimal(&format!("{config:?}{config:#?}")));
    for text in [
        section("\"10.1.0.0/24\"", &format!("\"hex:{KEY}ff\"")),
        section("\"10.1.0.0/24\"", &format!("\"hex:{KEY}")),
        section("\"10.1.0.0/24\"", &format!("hex:{KEY}")),
        section("\"10.1.0.0/24\"", &format!("[\"hex:{KEY}\"]")),
        section(&format!("\"hex:{KEY}\""), "1"),
        section(&format!("{{ \"{KEY}\" = 1 }}"), "1"),
        format!("{HOME_AGENT}{KEY} = 1\n"),
        format!("[agent]\nfast-path = \"{KEY}\"\n"),
        format!("[agent]\nlog = \"{KEY}=x\"\n{HOME_AGENT}"),
    ] {
        let error = parse(&text).expect_err(&text);
        assert!(!hexadecimal(&format!("{error} {error:?}")), "{error}");
    }
}

#[test]
fn a_missing_file_is_named_with_the_way_out() {
    let message = Config::load(Path::new("/nonexistent/mipd.toml")).unwrap_err().to_string();
    assert_eq!(
        message,
        "/nonexistent/mipd.toml: cannot read the configuration: No such file or directory (os error 2); write one \
         (docs/configuration.md has examples) or name another with --config"
    );
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("campus");
    fs::write(&key_file, KEY).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let examples: Vec<&str> =
        documentation.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let example = example.replace("/etc/mipd/keys/campus", key_file.to_str().unwrap());
        parse(&example).unwrap_or_else(|error| panic!("{error} in\n{example}"));
    }
}

#[test]
fn advertisements_are_as_configured() {
    assert_eq!(parse(HOME_AGENT).unwrap().advertisement, Advertisement::default());
    let text = format!(
        "{HOME_AGENT}[advertisement]\nroutes-common-traffic = true\npreference = -5\nregistration-required = true\n\
         only-when-solicited = true\nlimited-broadcast = true\nshortest-interval = \"1s\"\nlifetime = \"1min\"\n"
    );
    let expected = Advertisement {
        routes_common_traffic: true,
        preference: -5,
        registration_required: true,
        only_when_solicited: true,
        limited_broadcast: true,
        shortest_interval: Some(Duration::from_secs(1)),
        lifetime: Some(Duration::from_mins(1)),
    };
    assert_eq!(parse(&text).unwrap().advertisement, expected);
}

#[test]
fn access_points_that_exchange_the_subnet_map_share_a_key_and_name_who_keeps_it() {
    let config = parse(&format!(
        "{ACCESS_POINT}\nauthoritative = [\"10.2.0.11\", \"ap-1.campus.example\"]\nsubnet-map-key = \"{KEY}\"\n"
    ))
    .unwrap();
    let exchange = config.access_point.unwrap().exchange.unwrap();
    assert_eq!(exchange.authoritative, ["10.2.0.11", "ap-1.campus.example"]);
    assert_eq!(exchange.key, Key::from_hex(KEY).unwrap());
    for (text, expected) in [
        (
            "authoritative = [\"10.2.0.11\"]".to_owned(),
            "authoritative access points without a key: add subnet-map-key-file",
        ),
        (format!("subnet-map-key = \"{KEY}\""), "a key for the subnet map, but nobody to exchange it with"),
        (
            format!("authoritative = [\"a\", \"b\", \"c\", \"d\"]\nsubnet-map-key = \"{KEY}\""),
            "more than 3 authoritative access points",
        ),
        (format!("authoritative = [\"a\", \"a\"]\nsubnet-map-key = \"{KEY}\""), "a is authoritative already"),
        (format!("authoritative = [\"10.2.0.256\"]\nsubnet-map-key = \"{KEY}\""), "`10.2.0.256` is no host name"),
        (format!("authoritative = [\"-x\"]\nsubnet-map-key = \"{KEY}\""), "`-x` is no host name"),
        ("authoritative = [\"a\"]\nsubnet-map-key = \"12\"".to_owned(), "subnet-map-key has 2 hexadecimal digits"),
    ] {
        let error = parse(&format!("{ACCESS_POINT}\n{text}\n")).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
