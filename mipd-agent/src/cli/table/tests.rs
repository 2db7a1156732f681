//! The text and the JSON of each table, literally: both are what people and scripts see.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::control::{What, report::StationSource};

const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const MAC: &str = "02:00:00:00:00:05";

/// Compares text and JSON with what they must be, and JSON with the rows it came from.
#[track_caller]
fn assert_shown(report: &Report, text: &str, json: &str) {
    assert_eq!(render(report), text);
    let mut written = Vec::new();
    write_json(report, &mut written).unwrap();
    let written = String::from_utf8(written).unwrap();
    let compact: serde_json::Value = serde_json::from_str(&written).unwrap();
    let expected: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(compact, expected);
    let names = |text: &str| -> Vec<String> { text.split('"').map(str::to_owned).collect() };
    let order = |text: &str| -> Vec<String> {
        names(text).into_iter().filter(|name| text.contains(&format!("\"{name}\":"))).collect()
    };
    assert_eq!(order(&written), order(json), "order of fields");
}

#[test]
fn bindings() {
    let away = Binding {
        home_address: HOME_ADDRESS,
        care_of_address: Some(CARE_OF_ADDRESS),
        home_agent: Some(HOME_AGENT),
        lifetime_granted_s: Some(600),
        lifetime_remaining_s: Some(583),
        flags: Some("T".into()),
        encapsulation: "ipip".into(),
        reverse_tunnel: Some(true),
        device: None,
    };
    let for_ever = Binding {
        home_address: Ipv4Addr::new(10, 1, 0, 7),
        lifetime_granted_s: Some(65535),
        lifetime_remaining_s: None,
        flags: Some(String::new()),
        reverse_tunnel: Some(false),
        device: Some(MAC.into()),
        ..away.clone()
    };
    let from_maps = Binding {
        home_address: Ipv4Addr::new(10, 1, 0, 8),
        lifetime_granted_s: None,
        lifetime_remaining_s: None,
        flags: None,
        reverse_tunnel: None,
        ..away.clone()
    };
    assert_shown(
        &Report::Bindings(vec![away, for_ever, from_maps]),
        "\
HOME ADDRESS  CARE-OF ADDRESS  HOME AGENT   GRANTED  REMAINING  FLAGS  ENCAPSULATION  REVERSE TUNNEL  DEVICE
10.1.0.100    10.2.0.1         10.1.0.1        600s       583s  T      ipip           yes             -
10.1.0.7      10.2.0.1         10.1.0.1    infinite          -  -      ipip           no              02:00:00:00:00:05
10.1.0.8      10.2.0.1         10.1.0.1           -          -  -      ipip           -               -",
        r#"[
        {"home_address":"10.1.0.100","care_of_address":"10.2.0.1","home_agent":"10.1.0.1","lifetime_granted_s":600,
         "lifetime_remaining_s":583,"flags":"T","encapsulation":"ipip","reverse_tunnel":true,"device":null},
        {"home_address":"10.1.0.7","care_of_address":"10.2.0.1","home_agent":"10.1.0.1","lifetime_granted_s":65535,
         "lifetime_remaining_s":null,"flags":"","encapsulation":"ipip","reverse_tunnel":false,
         "device":"02:00:00:00:00:05"},
        {"home_address":"10.1.0.8","care_of_address":"10.2.0.1","home_agent":"10.1.0.1","lifetime_granted_s":null,
         "lifetime_remaining_s":null,"flags":null,"encapsulation":"ipip","reverse_tunnel":null,"device":null}
        ]"#,
    );
}

#[test]
fn visitors() {
    let visitor = Visitor {
        home_address: HOME_ADDRESS,
        home_agent: HOME_AGENT,
        care_of_address: Some(CARE_OF_ADDRESS),
        mac: MAC.into(),
        interface: "br-lan".into(),
        state: "registered".into(),
        lifetime_granted_s: Some(600),
        lifetime_remaining_s: Some(12),
        flags: Some("T".into()),
        encapsulation: "ipip".into(),
        reverse_tunnel: true,
    };
    assert_shown(
        &Report::Visitors(vec![visitor]),
        "\
HOME ADDRESS  HOME AGENT  CARE-OF ADDRESS  MAC                INTERFACE  STATE       GRANTED  REMAINING  FLAGS  \
ENCAPSULATION  REVERSE TUNNEL
10.1.0.100    10.1.0.1    10.2.0.1         02:00:00:00:00:05  br-lan     registered     600s        12s  T      \
ipip           yes",
        r#"[{"home_address":"10.1.0.100","home_agent":"10.1.0.1","care_of_address":"10.2.0.1","mac":"02:00:00:00:00:05",
        "interface":"br-lan","state":"registered","lifetime_granted_s":600,"lifetime_remaining_s":12,"flags":"T",
        "encapsulation":"ipip","reverse_tunnel":true}]"#,
    );
}

#[test]
fn clients() {
    let visitor = Client {
        mac: MAC.into(),
        home_address: Some(HOME_ADDRESS),
        interface: "wlan0".into(),
        state: "registered".into(),
        home_agent: Some(HOME_AGENT),
        foreign_agent: Some(CARE_OF_ADDRESS),
        care_of_address: Some(CARE_OF_ADDRESS),
        lifetime_granted_s: Some(600),
        lifetime_remaining_s: Some(583),
        reverse_tunnel: Some(false),
        encapsulation: Some("ipip".into()),
        nai: Some("scanner7@warehouse.example".into()),
        algorithm: Some("hmac-md5".into()),
        last_code: Some(0),
        attempts: Some(1),
        registered_in_ms: Some(14),
        present_s: Some(17),
        noticed_by: vec!["hostapd".into(), "first-packet".into()],
        associated_by: Some("hostapd".into()),
    };
    let local = Client {
        mac: "02:00:00:00:00:06".into(),
        home_address: None,
        interface: "wlan0".into(),
        state: "local".into(),
        home_agent: None,
        foreign_agent: None,
        care_of_address: None,
        lifetime_granted_s: None,
        lifetime_remaining_s: None,
        reverse_tunnel: None,
        encapsulation: None,
        nai: None,
        algorithm: None,
        last_code: None,
        attempts: None,
        registered_in_ms: None,
        present_s: None,
        noticed_by: vec![],
        associated_by: None,
    };
    let accepted = ReplyCode(0);
    let text = format!(
        "\
MAC                HOME ADDRESS  INTERFACE  STATE       HOME AGENT  FOREIGN AGENT  CARE-OF ADDRESS  GRANTED  REMAINING  \
ENCAPSULATION  REVERSE TUNNEL  ATTEMPTS  REGISTERED IN  PRESENT  NOTICED BY  LAST REPLY
02:00:00:00:00:05  10.1.0.100    wlan0      registered  10.1.0.1    10.2.0.1       10.2.0.1            600s       583s  \
ipip           no                     1           14ms      17s  hostapd     {accepted}
02:00:00:00:00:06  -             wlan0      local       -           -              -                      -          -  \
-              -                      -              -        -  -           -"
    );
    assert_shown(
        &Report::Clients(vec![visitor, local]),
        &text,
        r#"[{"mac":"02:00:00:00:00:05","home_address":"10.1.0.100","interface":"wlan0","state":"registered",
        "home_agent":"10.1.0.1","foreign_agent":"10.2.0.1","care_of_address":"10.2.0.1","lifetime_granted_s":600,
        "lifetime_remaining_s":583,"reverse_tunnel":false,"encapsulation":"ipip",
        "nai":"scanner7@warehouse.example","algorithm":"hmac-md5","last_code":0,"attempts":1,"registered_in_ms":14,"present_s":17,
        "noticed_by":["hostapd","first-packet"],"associated_by":"hostapd"},
        {"mac":"02:00:00:00:00:06","home_address":null,"interface":"wlan0","state":"local","home_agent":null,
        "foreign_agent":null,"care_of_address":null,"lifetime_granted_s":null,"lifetime_remaining_s":null,
        "reverse_tunnel":null,"encapsulation":null,"nai":null,"algorithm":null,"last_code":null,"attempts":null,"registered_in_ms":null,"present_s":null,"noticed_by":[],"associated_by":null}]"#,
    );
}

#[test]
fn agents() {
    let agent = Agent {
        address: CARE_OF_ADDRESS,
        mac: MAC.into(),
        interface: "eth0".into(),
        home_agent: true,
        foreign_agent: true,
        busy: false,
        care_of_addresses: vec![CARE_OF_ADDRESS, Ipv4Addr::new(10, 9, 0, 1)],
        registration_lifetime_s: 36_000,
        flags: "RHFT".into(),
        reverse_tunnel: true,
        lifetime_remaining_s: 8,
        selected: true,
    };
    assert_shown(
        &Report::Agents(vec![agent]),
        "\
ADDRESS   MAC                INTERFACE  ROLES         CARE-OF ADDRESSES  LIFETIME  FLAGS  REVERSE TUNNEL  BUSY  \
EXPIRES IN  IN USE
10.2.0.1  02:00:00:00:00:05  eth0       home,foreign  10.2.0.1,10.9.0.1    36000s  RHFT   yes             no            \
8s  yes",
        r#"[{"address":"10.2.0.1","mac":"02:00:00:00:00:05","interface":"eth0","home_agent":true,"foreign_agent":true,
        "busy":false,"care_of_addresses":["10.2.0.1","10.9.0.1"],"registration_lifetime_s":36000,"flags":"RHFT",
        "reverse_tunnel":true,"lifetime_remaining_s":8,"selected":true}]"#,
    );
}

#[test]
fn tunnels() {
    let ready = Tunnel {
        tunnel_id: 1,
        local: Some(HOME_AGENT),
        remote: Some(CARE_OF_ADDRESS),
        encapsulation: "ipip".into(),
        send_key: None,
        receive_key: None,
        udp_peer: None,
        state: "ready".into(),
        interface: Some("core0".into()),
        next_hop: Some(MAC.into()),
        mtu: 1480,
        path_mtu: Some(1500),
        path_mtu_source: Some("interface".into()),
        path_mtu_router: None,
        path_mtu_remaining_s: None,
    };
    let narrow = Tunnel {
        tunnel_id: 2,
        mtu: 1380,
        path_mtu: Some(1400),
        path_mtu_source: Some("icmp".into()),
        path_mtu_router: Some(CARE_OF_ADDRESS),
        path_mtu_remaining_s: Some(593),
        ..ready.clone()
    };
    let unresolved = Tunnel {
        tunnel_id: 12,
        state: "unresolved".into(),
        interface: None,
        next_hop: None,
        path_mtu: None,
        path_mtu_source: None,
        ..ready.clone()
    };
    let translated = Tunnel {
        tunnel_id: 13,
        encapsulation: "udp/gre".into(),
        send_key: Some(17),
        receive_key: Some(u32::MAX),
        udp_peer: Some(SocketAddrV4::new(CARE_OF_ADDRESS, 40_000)),
        mtu: 1460,
        path_mtu_source: Some("route".into()),
        ..ready.clone()
    };
    assert_shown(
        &Report::Tunnels(vec![ready, narrow, unresolved, translated]),
        "\
ID  LOCAL     REMOTE    ENCAPSULATION  SEND KEY    RECEIVE KEY  UDP PEER        STATE       INTERFACE  NEXT HOP            MTU  PATH MTU  FROM
 1  10.1.0.1  10.2.0.1  ipip           -           -            -               ready       core0      02:00:00:00:00:05  1480      1500  interface
 2  10.1.0.1  10.2.0.1  ipip           -           -            -               ready       core0      02:00:00:00:00:05  1380      1400  10.2.0.1 (593 s)
12  10.1.0.1  10.2.0.1  ipip           -           -            -               unresolved  -          -                  1480         -  -
13  10.1.0.1  10.2.0.1  udp/gre        0x00000011  0xffffffff   10.2.0.1:40000  ready       core0      02:00:00:00:00:05  1460      1500  route",
        r#"[{"tunnel_id":1,"local":"10.1.0.1","remote":"10.2.0.1","encapsulation":"ipip","send_key":null,
        "receive_key":null,"udp_peer":null,"state":"ready","interface":"core0","next_hop":"02:00:00:00:00:05","mtu":1480,
        "path_mtu":1500,"path_mtu_source":"interface","path_mtu_router":null,"path_mtu_remaining_s":null},
        {"tunnel_id":2,"local":"10.1.0.1","remote":"10.2.0.1","encapsulation":"ipip","send_key":null,
        "receive_key":null,"udp_peer":null,"state":"ready","interface":"core0","next_hop":"02:00:00:00:00:05","mtu":1380,
        "path_mtu":1400,"path_mtu_source":"icmp","path_mtu_router":"10.2.0.1","path_mtu_remaining_s":593},
        {"tunnel_id":12,"local":"10.1.0.1","remote":"10.2.0.1","encapsulation":"ipip","send_key":null,
        "receive_key":null,"udp_peer":null,"state":"unresolved","interface":null,"next_hop":null,"mtu":1480,
        "path_mtu":null,"path_mtu_source":null,"path_mtu_router":null,"path_mtu_remaining_s":null},
        {"tunnel_id":13,"local":"10.1.0.1","remote":"10.2.0.1","encapsulation":"udp/gre","send_key":17,
        "receive_key":4294967295,"udp_peer":"10.2.0.1:40000","state":"ready","interface":"core0",
        "next_hop":"02:00:00:00:00:05","mtu":1460,"path_mtu":1500,"path_mtu_source":"route","path_mtu_router":null,
        "path_mtu_remaining_s":null}]"#,
    );
}

#[test]
fn interfaces() {
    let interface = Interface {
        interface: "br-lan".into(),
        ifindex: 4,
        roles: vec!["home".into(), "access".into()],
        wanted: "auto".into(),
        attached: "tc".into(),
        reason: Some("a bridge has no native XDP".into()),
        ap_isolate: None,
        packets_fast: 1_000,
        packets_slow: 20,
        packets_passed: 3,
        packets_dropped: 0,
        sources: vec![],
    };
    let source = |source: &str, state: &str, reason: Option<&str>| StationSource {
        source: source.into(),
        state: state.into(),
        reason: reason.map(str::to_owned),
    };
    let radio = Interface {
        interface: "wlan0".into(),
        ifindex: 5,
        roles: vec!["radio".into()],
        reason: None,
        sources: vec![source("hostapd", "unavailable", Some("no file")), source("nl80211", "in_charge", None)],
        ..interface.clone()
    };
    assert_shown(
        &Report::Interfaces(vec![interface, radio]),
        "\
INTERFACE  ROLES        WANTED  ATTACHED  FAST  SLOW  PASSED  DROPPED  AP ISOLATE  STATIONS BY  REASON
br-lan     home,access  auto    tc        1000    20       3        0  -           -            a bridge has no native XDP
wlan0      radio        auto    tc        1000    20       3        0  -           nl80211      -",
        r#"[{"interface":"br-lan","ifindex":4,"roles":["home","access"],"wanted":"auto","attached":"tc",
        "reason":"a bridge has no native XDP","ap_isolate":null,"packets_fast":1000,"packets_slow":20,"packets_passed":3,
        "packets_dropped":0,"sources":[]},
        {"interface":"wlan0","ifindex":5,"roles":["radio"],"wanted":"auto","attached":"tc","reason":null,
        "ap_isolate":null,"packets_fast":1000,"packets_slow":20,"packets_passed":3,"packets_dropped":0,"sources":[
        {"source":"hostapd","state":"unavailable","reason":"no file"},
        {"source":"nl80211","state":"in_charge","reason":null}]}]"#,
    );
}

#[test]
fn counters() {
    let counter = Counter {
        role: "data_path".into(),
        name: "encapsulated".into(),
        interface: Some("lan0".into()),
        hook: Some("xdp".into()),
        value: 7,
        rfc2006: None,
        help: "encapsulated and sent".into(),
    };
    assert_shown(
        &Report::Counters(vec![counter]),
        "\
ROLE       INTERFACE  HOOK  NAME          VALUE  MEANING
data_path  lan0       xdp   encapsulated      7  encapsulated and sent",
        r#"[{"role":"data_path","name":"encapsulated","interface":"lan0","hook":"xdp","value":7,
        "rfc2006":null,"help":"encapsulated and sent"}]"#,
    );
}

#[test]
fn associations() {
    let configured = Association {
        kind: "mobile-home".into(),
        peer: "10.1.0.0/24".into(),
        spi: 256,
        algorithm: "hmac-md5".into(),
        source: "configuration".into(),
        lifetime_remaining_s: None,
    };
    let downloaded = Association {
        peer: "10.1.7.5".into(),
        algorithm: "md5-prefix-suffix".into(),
        source: "10.0.0.5:1812".into(),
        lifetime_remaining_s: Some(3599),
        ..configured.clone()
    };
    assert_shown(
        &Report::Associations(vec![configured, downloaded]),
        "\
KIND         PEER         SPI  ALGORITHM          SOURCE         REMAINING
mobile-home  10.1.0.0/24  256  hmac-md5           configuration          -
mobile-home  10.1.7.5     256  md5-prefix-suffix  10.0.0.5:1812      3599s",
        r#"[{"kind":"mobile-home","peer":"10.1.0.0/24","spi":256,"algorithm":"hmac-md5","source":"configuration",
        "lifetime_remaining_s":null},
        {"kind":"mobile-home","peer":"10.1.7.5","spi":256,"algorithm":"md5-prefix-suffix","source":"10.0.0.5:1812",
        "lifetime_remaining_s":3599}]"#,
    );
}

#[test]
fn subnet_map() {
    let entry = |subnet: &str, last, source: &str, reported_to| SubnetMapEntry {
        subnet: subnet.to_owned(),
        home_agent: Ipv4Addr::new(10, last, 0, 1),
        source: source.to_owned(),
        reported_to,
    };
    let authoritative = Some(Ipv4Addr::new(10, 2, 0, 11));
    assert_shown(
        &Report::SubnetMap(vec![
            entry("10.1.0.0/24", 1, "exchange", authoritative),
            entry("10.3.0.0/16", 3, "static", None),
        ]),
        "\
SUBNET       HOME AGENT  SOURCE    REPORTED TO
10.1.0.0/24  10.1.0.1    exchange  10.2.0.11
10.3.0.0/16  10.3.0.1    static    -",
        r#"[{"subnet":"10.1.0.0/24","home_agent":"10.1.0.1","source":"exchange","reported_to":"10.2.0.11"},
        {"subnet":"10.3.0.0/16","home_agent":"10.3.0.1","source":"static","reported_to":null}]"#,
    );
}

#[test]
fn access_points() {
    let first = AccessPoint {
        address: Ipv4Addr::new(10, 2, 0, 11),
        authoritative: true,
        in_charge: true,
        subnet: Some("10.2.0.0/24".to_owned()),
    };
    let second =
        AccessPoint { address: Ipv4Addr::new(10, 3, 0, 11), authoritative: true, in_charge: false, subnet: None };
    assert_shown(
        &Report::AccessPoints(vec![first, second]),
        "\
ADDRESS    AUTHORITATIVE  IN CHARGE  SUBNET
10.2.0.11  yes            yes        10.2.0.0/24
10.3.0.11  yes            no         -",
        r#"[{"address":"10.2.0.11","authoritative":true,"in_charge":true,"subnet":"10.2.0.0/24"},
        {"address":"10.3.0.11","authoritative":true,"in_charge":false,"subnet":null}]"#,
    );
}

#[test]
fn violations() {
    let replay = Violation {
        time: "2026-11-26T17:55:22Z".into(),
        role: "home_agent".into(),
        peer: Ipv4Addr::new(10, 2, 0, 1),
        home_address: Ipv4Addr::new(10, 1, 0, 100),
        spi: Some(256),
        identification: "eeb1b2c312345678".into(),
        reason: "bad_identification".into(),
    };
    let unsigned = Violation { spi: None, reason: "missing_extension".into(), ..replay.clone() };
    assert_shown(
        &Report::Violations(vec![replay, unsigned]),
        "\
TIME                  ROLE        PEER      HOME ADDRESS  SPI  IDENTIFICATION    REASON
2026-11-26T17:55:22Z  home agent  10.2.0.1  10.1.0.100    256  eeb1b2c312345678  bad identification
2026-11-26T17:55:22Z  home agent  10.2.0.1  10.1.0.100      -  eeb1b2c312345678  missing extension",
        r#"[{"time":"2026-11-26T17:55:22Z","role":"home_agent","peer":"10.2.0.1","home_address":"10.1.0.100","spi":256,
        "identification":"eeb1b2c312345678","reason":"bad_identification"},
        {"time":"2026-11-26T17:55:22Z","role":"home_agent","peer":"10.2.0.1","home_address":"10.1.0.100","spi":null,
        "identification":"eeb1b2c312345678","reason":"missing_extension"}]"#,
    );
}

#[test]
fn an_empty_table_is_its_header_and_an_empty_array() {
    for &what in What::ALL {
        let report = Report::empty(what);
        assert_eq!(report.what(), what);
        let text = render(&report);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("  ") && text == text.to_uppercase(), "{text}");
        let mut json = Vec::new();
        write_json(&report, &mut json).unwrap();
        assert_eq!(json, b"[]\n");
    }
}
