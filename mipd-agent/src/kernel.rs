//! The commands that work on the kernel: what the command line asks of daemon and data plane.

use std::{collections::BTreeMap, path::Path};

use mipd_agent::{
    cli::{Backend, Failure, Finding},
    config::{Config, Locations},
    control::{
        Report, What,
        report::{Binding, Client, Interface, Visitor},
    },
    daemon::{self, Plan, report},
    dataplane::{self, DataPlane, Inspection},
};
use mipd_common::maps::Action;

/// The kernel of this machine.
pub struct Kernel;

impl Backend for Kernel {
    fn run(&self, config: Config) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(daemon::run(&config))?;
        Ok(())
    }

    fn load(&self, config: &Config, interfaces: &[String]) -> Result<Vec<Interface>, Failure> {
        let mut settings = Plan::new(config)?.data_plane(config);
        if let Some(unknown) =
            interfaces.iter().find(|name| !settings.interfaces.iter().any(|interface| interface.name == **name))
        {
            return Err(format!("interface {unknown} has no role in the configuration: name one that has").into());
        }
        if !interfaces.is_empty() {
            settings.interfaces.retain(|interface| interfaces.contains(&interface.name));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { Ok(report::interfaces(&DataPlane::start(settings)?)) })
    }

    fn unload(&self, locations: &Locations) -> Result<(), Failure> {
        dataplane::unload(&locations.bpffs_dir, &locations.state_dir)?;
        Ok(())
    }

    fn inspect(&self, bpffs_dir: &Path, what: What) -> Result<Report, Failure> {
        let maps = Inspection::open(bpffs_dir)?;
        Ok(match what {
            What::Bindings => Report::Bindings(bindings(&maps)?),
            What::Visitors => Report::Visitors(visitors(&maps)?),
            What::Clients => Report::Clients(clients(&maps)?),
            What::Tunnels => Report::Tunnels(report::tunnels(maps.tunnels()?, &BTreeMap::new())),
            What::Interfaces => Report::Interfaces(interfaces(&maps)?),
            What::Counters => Report::Counters(report::data_path(&maps.counters()?).collect()),
            What::Agents | What::SubnetMap | What::AccessPoints | What::Associations | What::Violations => {
                return Err(format!("{what} are not in the maps: ask the running agent, without --maps").into());
            }
        })
    }

    fn check(&self, config: &Config) -> Vec<Finding> {
        let changes =
            Plan::new(config).map_err(Failure::from).and_then(|plan| Ok(dataplane::check(&plan.data_plane(config))?));
        match changes {
            Ok(changes) => changes
                .into_iter()
                .map(|change| {
                    Finding::change(format!("{} from {} to {}: {}", change.path, change.was, change.set, change.why))
                })
                .collect(),
            Err(error) => vec![Finding::problem(error.to_string())],
        }
    }
}

fn bindings(maps: &Inspection) -> Result<Vec<Binding>, Failure> {
    let tunnels = maps.tunnels()?;
    let bindings = maps.bindings()?.into_iter().map(|binding| Binding {
        home_address: binding.home_address,
        care_of_address: binding.care_of_address,
        home_agent: tunnels.iter().find(|tunnel| tunnel.id == binding.tunnel).and_then(|tunnel| tunnel.local),
        lifetime_granted_s: None,
        lifetime_remaining_s: None,
        flags: None,
        encapsulation: binding.encapsulation.into(),
        reverse_tunnel: None,
        device: None,
    });
    Ok(bindings.collect())
}

fn visitors(maps: &Inspection) -> Result<Vec<Visitor>, Failure> {
    let visitors = maps.visitors()?.into_iter().map(|visitor| Visitor {
        home_address: visitor.home_address,
        home_agent: visitor.home_agent,
        care_of_address: Some(visitor.care_of_address),
        mac: visitor.mac.to_string(),
        interface: visitor.interface.unwrap_or_default(),
        state: "registered".into(),
        lifetime_granted_s: None,
        lifetime_remaining_s: None,
        flags: None,
        encapsulation: visitor.encapsulation.into(),
        reverse_tunnel: visitor.reverse_tunnel,
    });
    Ok(visitors.collect())
}

fn clients(maps: &Inspection) -> Result<Vec<Client>, Failure> {
    let clients = maps.stations()?.into_iter().map(|station| Client {
        mac: station.mac.to_string(),
        home_address: station.home_address,
        interface: station.radio.unwrap_or_default(),
        state: station.state.into(),
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
        noticed_by: Vec::new(),
        associated_by: None,
    });
    Ok(clients.collect())
}

fn interfaces(maps: &Inspection) -> Result<Vec<Interface>, Failure> {
    let counters = maps.counters()?;
    let interfaces = maps.interfaces()?.into_iter().map(|interface| {
        let packets = |action| report::packets(&counters, &interface.name, action);
        Interface {
            ifindex: interface.ifindex,
            roles: Vec::new(),
            wanted: if interface.fast_path { "auto" } else { "off" }.into(),
            attached: interface.attached.to_string(),
            reason: None,
            ap_isolate: None,
            packets_fast: packets(Action::Fast),
            packets_slow: packets(Action::Slow),
            packets_passed: packets(Action::Passed),
            packets_dropped: packets(Action::Dropped),
            sources: Vec::new(),
            interface: interface.name,
        }
    });
    Ok(interfaces.collect())
}
