//! Tables of any shape and size: how bindings get into them, move with them, and are refused when they are full.

use std::net::Ipv4Addr;

use mipd_agent::dataplane::{DataPlane, DataPlaneError, HomeSettings, Settings};

use super::{CLIENT, CLIENT_MAC, FAR_AGENT, Router, binding, home_subnet, in_namespaces, sh, stop, visitor};

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
    aya::maps::MapInfo::from_pin(router.bpffs.join("v3").join(map)).unwrap().max_entries()
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
        let pins = std::fs::read_dir(router.bpffs.join("v3")).unwrap();
        let names = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with("_old")).collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn a_move_that_was_interrupted_is_begun_again_or_finished() {
    in_namespaces(|router| async move {
        let larger = changed(&router, |home| home.subnets.push(home_subnet("10.64.0.0/16")));
        let pins = router.bpffs.join("v3");
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
