//! Tables of any shape and size: how bindings get into them, move with them, and are refused when they are full.

use std::net::Ipv4Addr;

use mipd_agent::dataplane::{BindingRoute, DataPlane, DataPlaneError, HomeSettings, Settings, StationEntry};
use mipd_common::mac::MacAddress;

use super::{
    CLIENT, CLIENT_MAC, FAR_AGENT, Router, access_point, binding, home_subnet, in_namespaces, sh, stop, until, visitor,
};

/// A client of a home subnet of four million addresses.
const FAR_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 64, 1, 2);

fn changed(router: &Router, change: impl FnOnce(&mut HomeSettings)) -> Settings {
    let mut settings = router.settings();
    change(settings.home.as_mut().unwrap());
    settings
}

/// What `show --maps` says: who is bound where.
fn bound(router: &Router) -> Vec<(Ipv4Addr, Option<Ipv4Addr>)> {
    let bindings = router.inspect().bindings().unwrap();
    bindings.iter().map(|binding| (binding.home_address, binding.care_of_address)).collect()
}

/// Entries of a map as the kernel counts them.
fn size(router: &Router, map: &str) -> u32 {
    aya::maps::MapInfo::from_pin(router.pins().join(map)).unwrap().max_entries()
}

#[test]
fn a_subnet_with_more_addresses_than_slots_is_hashed_and_its_neighbours_are_not() {
    in_namespaces(|router| async move {
        let settings = changed(&router, |home| {
            home.subnets.push(home_subnet("10.64.0.0/10"));
            home.maximum_slots = 1000;
        });
        let mut data_plane = DataPlane::start(settings.clone()).unwrap();
        assert_eq!((size(&router, "SLOTS"), size(&router, "BINDINGS")), (256, 64));
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(FAR_CLIENT, FAR_AGENT)).unwrap();
        let both = [(CLIENT, Some(FAR_AGENT)), (FAR_CLIENT, Some(FAR_AGENT))];
        assert_eq!(bound(&router), both);
        stop(data_plane);

        let mut data_plane = DataPlane::start(settings).unwrap();
        assert_eq!(bound(&router), both, "after a restart");
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 1);
        assert_eq!(bound(&router), both[..1]);
        data_plane.install_binding(&binding(FAR_CLIENT, FAR_AGENT)).unwrap();
        data_plane.remove_binding(FAR_CLIENT).unwrap();
        assert_eq!(bound(&router), both[..1]);
    });
}

#[test]
fn bindings_follow_when_their_subnet_becomes_sparse_or_dense_or_one_of_many() {
    in_namespaces(|router| async move {
        let two = |maximum_slots: u32| {
            changed(&router, |home| {
                home.subnets.push(home_subnet("10.64.0.0/16"));
                home.maximum_slots = maximum_slots;
            })
        };
        let mut data_plane = DataPlane::start(two(1 << 20)).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(FAR_CLIENT, FAR_AGENT)).unwrap();
        let both = [(CLIENT, Some(FAR_AGENT)), (FAR_CLIENT, Some(FAR_AGENT))];
        let many = changed(&router, |home| {
            home.subnets.extend((0..20).map(|i| home_subnet(&format!("10.{}.0.0/24", 100 + i))));
            home.subnets.extend((0..20).map(|i| home_subnet(&format!("10.{}.0.0/24", 20 + i))));
            home.subnets.push(home_subnet("10.64.0.0/16"));
        });
        for (settings, slots) in [(two(1000), 256), (two(1), 1), (two(1 << 20), 65_792), (many, 65_536 + 41 * 256)] {
            stop(data_plane);
            data_plane = DataPlane::start(settings).unwrap();
            assert_eq!(size(&router, "SLOTS"), slots);
            assert_eq!(bound(&router), both, "with {slots} slots");
        }
        assert_eq!(size(&router, "HOME_PREFIXES"), 42 - 8);
        data_plane.remove_binding(FAR_CLIENT).unwrap();
        assert_eq!(bound(&router), both[..1]);
        // What was set aside for the moves is gone.
        let pins = std::fs::read_dir(router.pins()).unwrap();
        let names = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with("_old")).collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn a_move_that_was_interrupted_is_begun_again_or_finished() {
    in_namespaces(|router| async move {
        let larger = changed(&router, |home| home.subnets.push(home_subnet("10.64.0.0/16")));
        let pins = router.pins();
        let group = ["SLOTS", "BINDINGS", "HOME_PREFIXES", "HOME_SUBNETS"];
        let mut data_plane = DataPlane::start(router.settings()).unwrap();
        data_plane.install_binding(&binding(CLIENT, FAR_AGENT)).unwrap();
        stop(data_plane);
        // Interrupted before the new maps were complete: they do not count.
        for map in group {
            std::fs::rename(pins.join(map), pins.join(format!("{map}_old"))).unwrap();
        }
        stop(DataPlane::start(larger.clone()).unwrap());
        assert_eq!(bound(&router), [(CLIENT, Some(FAR_AGENT))]);
        assert_eq!(size(&router, "SLOTS"), 256 + 65_536);
        // Interrupted when the first of the old ones had been removed: the new ones are complete.
        let stale = aya::maps::MapData::from_pin(pins.join("HOME_PREFIXES")).unwrap();
        for map in &group[1..] {
            stale.pin(pins.join(format!("{map}_old"))).unwrap();
        }
        stop(DataPlane::start(larger).unwrap());
        assert_eq!(bound(&router), [(CLIENT, Some(FAR_AGENT))]);
        assert!(!pins.join("HOME_SUBNETS_old").exists());
    });
}

#[test]
fn a_full_hash_map_refuses_one_binding_and_keeps_the_others() {
    in_namespaces(|router| async move {
        let settings = changed(&router, |home| {
            home.maximum_slots = 1;
            home.maximum_bindings = 2;
        });
        let mut data_plane = DataPlane::start(settings).unwrap();
        let client = |last| Ipv4Addr::new(10, 1, 0, last);
        data_plane.install_binding(&binding(client(10), FAR_AGENT)).unwrap();
        data_plane.install_binding(&binding(client(11), FAR_AGENT)).unwrap();
        let error = data_plane.install_binding(&binding(client(12), FAR_AGENT)).unwrap_err();
        assert!(matches!(error, DataPlaneError::TableFull { setting: "maximum-bindings", .. }), "{error}");
        assert_eq!(bound(&router).len(), 2);
        assert!(!sh("ip route").contains("10.1.0.12"), "the kernel's route is taken back too");
        let elsewhere = Ipv4Addr::new(10, 9, 0, 2);
        data_plane.install_binding(&binding(client(11), elsewhere)).unwrap();
        assert_eq!(bound(&router)[1], (client(11), Some(elsewhere)));
        data_plane.remove_binding(client(10)).unwrap();
        data_plane.install_binding(&binding(client(12), FAR_AGENT)).unwrap();
    });
}

#[test]
fn without_a_free_tunnel_the_old_one_is_kept() {
    in_namespaces(|router| async move {
        let mut settings = changed(&router, |home| home.maximum_tunnels = 1);
        settings.visit.as_mut().unwrap().maximum_tunnels = 1;
        let mut data_plane = DataPlane::start(settings).unwrap();
        let agent = |last| Ipv4Addr::new(10, 9, 0, last);
        data_plane.install_binding(&binding(CLIENT, agent(1))).unwrap();
        data_plane.install_visitor(visitor(agent(2), FAR_CLIENT, true)).unwrap();
        let error = data_plane.install_binding(&binding(CLIENT, agent(3))).unwrap_err();
        assert!(matches!(error, DataPlaneError::TunnelsExhausted(2)), "{error}");
        assert_eq!(bound(&router), [(CLIENT, Some(agent(1)))]);
        assert!(sh("ip route").contains(&CLIENT.to_string()));
        let error = data_plane.install_visitor(visitor(agent(4), CLIENT, true)).unwrap_err();
        assert!(matches!(error, DataPlaneError::TunnelsExhausted(2)), "{error}");
        // Towards the same home agent there is one.
        data_plane.install_binding(&binding(Ipv4Addr::new(10, 1, 0, 6), agent(1))).unwrap();
        assert_eq!(data_plane.tunnels().len(), 2);
    });
}

#[test]
fn a_full_table_of_visitors_refuses_one_and_keeps_the_others() {
    in_namespaces(|router| async move {
        let mut settings = router.settings();
        settings.visit.as_mut().unwrap().maximum_visitors = 1;
        let mut data_plane = DataPlane::start(settings).unwrap();
        let mut installed = 0;
        let error = loop {
            let home_address = Ipv4Addr::new(10, 7, 0, installed);
            match data_plane.install_visitor(visitor(FAR_AGENT, home_address, false)) {
                Ok(()) => installed += 1,
                Err(error) => break error,
            }
            assert!(installed < 100, "the table has no end");
        };
        assert!(matches!(error, DataPlaneError::TableFull { setting: "maximum-visitors", .. }), "{error}");
        assert_eq!(router.inspect().visitors().unwrap().len(), usize::from(installed));
        let known = visitor(FAR_AGENT, Ipv4Addr::new(10, 7, 0, 0), true);
        data_plane.install_visitor(known).unwrap();
        assert_eq!(router.inspect().visitors().unwrap()[0].mac, CLIENT_MAC);
        assert_eq!(data_plane.tunnels().len(), 1);
    });
}

#[test]
fn a_full_table_of_stations_refuses_one_and_keeps_the_others() {
    in_namespaces(|router| async move {
        let mut settings = access_point(&router);
        settings.access_point.as_mut().unwrap().maximum_stations = 2;
        let mut data_plane = DataPlane::start(settings).unwrap();
        let radio = nix::net::if_::if_nametoindex("wlan0").unwrap();
        let mac = |last| MacAddress([2, 0, 0, 0, 0, last]);
        let local = StationEntry::Local { radio, awaited: false };
        data_plane.set_station(mac(1), local).unwrap();
        data_plane.set_station(mac(2), local).unwrap();
        let error = data_plane.set_station(mac(3), local).unwrap_err();
        assert!(matches!(error, DataPlaneError::TableFull { setting: "maximum-clients", .. }), "{error}");
        data_plane.set_station(mac(2), StationEntry::Hold { home_address: CLIENT, radio }).unwrap();
        data_plane.remove_station(mac(1)).unwrap();
        data_plane.set_station(mac(3), local).unwrap();
        assert_eq!(router.inspect().stations().unwrap().len(), 2);
    });
}

/// More tunnels than are looked up in one go.
const MANY_TUNNELS: u32 = 600;

fn many_bindings() -> Vec<BindingRoute> {
    let far_agent = |number| Ipv4Addr::from_bits(FAR_AGENT.to_bits() + number % MANY_TUNNELS);
    (0..3 * MANY_TUNNELS).map(|number| binding(Ipv4Addr::from_bits(0x0a40_0000 + number), far_agent(number))).collect()
}

fn room_for_many(router: &Router) -> Settings {
    changed(router, |home| {
        home.subnets.push(home_subnet("10.64.0.0/16"));
        home.maximum_tunnels = MANY_TUNNELS;
        home.maximum_bindings = 1 << 16;
    })
}

#[test]
fn many_bindings_installed_at_a_time_are_as_if_they_had_come_one_by_one() {
    in_namespaces(|router| async move {
        let routes = many_bindings();
        let mut data_plane = DataPlane::start(room_for_many(&router)).unwrap();
        for route in &routes {
            data_plane.install_binding(route).unwrap();
        }
        let (one_by_one, kernel) = (bound(&router), sh("ip route show proto 143"));
        assert_eq!(one_by_one.len(), routes.len());
        stop(data_plane);
        router.unload();
        let mut data_plane = DataPlane::start(room_for_many(&router)).unwrap();
        assert!(data_plane.install_bindings(routes.clone()).is_empty());
        assert_eq!((bound(&router), sh("ip route show proto 143")), (one_by_one.clone(), kernel.clone()));
        stop(data_plane);
        // A route that an earlier agent left wrong, and one that is gone, are put right; the others are left alone.
        sh("ip route change 10.64.0.1 dev mip-home proto 143 mtu 1000");
        sh("ip route del 10.64.0.2");
        let mut data_plane = DataPlane::start(room_for_many(&router)).unwrap();
        assert!(data_plane.install_bindings(routes).is_empty());
        assert_eq!(data_plane.remove_unclaimed().unwrap(), 0);
        assert_eq!(bound(&router), one_by_one);
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(|line| line.replace(" scope link", "")).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&sh("ip route show proto 143")), sorted(&kernel));
        assert_eq!(data_plane.tunnels().len(), MANY_TUNNELS as usize);
    });
}

#[test]
fn those_of_many_that_find_no_room_are_named_and_the_others_are_installed() {
    in_namespaces(|router| async move {
        let settings = changed(&router, |home| {
            home.maximum_slots = 1;
            home.maximum_bindings = 10;
            home.maximum_tunnels = 1;
        });
        let mut data_plane = DataPlane::start(settings).unwrap();
        let client = |last| Ipv4Addr::new(10, 1, 0, last);
        let routes = (10..30)
            .map(|last| binding(client(last), FAR_AGENT))
            .chain([binding(Ipv4Addr::new(192, 0, 2, 1), FAR_AGENT), binding(client(40), FAR_AGENT)]);
        let failed = data_plane.install_bindings(routes);
        assert_eq!(failed.len(), 22 - 10);
        assert!(matches!(failed[0].1, DataPlaneError::NotAHomeAddress(_)), "{}", failed[0].1);
        assert!(failed[1..].iter().all(|(_, error)| matches!(error, DataPlaneError::TableFull { .. })));
        let there = bound(&router);
        assert_eq!(there.len(), 10);
        assert!(there.iter().all(|(address, _)| failed.iter().all(|(refused, _)| refused != address)));
        assert_eq!(sh("ip route show proto 143").lines().filter(|line| line.starts_with("10.1.0.")).count(), 10);
    });
}

#[test]
fn a_changed_next_hop_reaches_many_tunnels_and_the_routes_of_their_bindings() {
    in_namespaces(|router| async move {
        let mut data_plane = DataPlane::start(room_for_many(&router)).unwrap();
        assert!(data_plane.install_bindings(many_bindings()).is_empty());
        router.beyond.run("ip link set core address 02:00:00:00:00:42");
        sh("ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:42 dev core nud reachable");
        let hop = Some("02:00:00:00:00:42".to_owned());
        until(&mut data_plane, |plane| plane.tunnels().iter().all(|tunnel| tunnel.next_hop_mac == hop)).await;
        sh("ip link set core mtu 1400");
        until(&mut data_plane, |plane| plane.tunnels().iter().all(|tunnel| tunnel.inner_mtu == 1380)).await;
        let routes = sh("ip route show proto 143");
        assert_eq!(routes.matches("mtu 1380").count(), 3 * MANY_TUNNELS as usize);
        // Only what goes there is concerned.
        sh("ip route add 10.9.0.1/32 via 10.0.0.77");
        let other = Some("02:00:00:00:00:77".to_owned());
        until(&mut data_plane, |plane| plane.tunnels().iter().any(|tunnel| tunnel.next_hop_mac == other)).await;
        assert_eq!(data_plane.tunnels().iter().filter(|tunnel| tunnel.next_hop_mac == other).count(), 1);
    });
}
