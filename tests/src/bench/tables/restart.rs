//! The agent itself, from a state store full of bindings until it answers.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant as Moment},
};

use anyhow::{Context as _, Result};
use mipd_agent::{
    mobility::{
        home_agent::{BindingRecord, RecordedBinding},
        time::{Instant, Now},
        tunnel::Encapsulation,
    },
    state::{State, Table},
};

use super::network::{HOME_AGENT, Network, care_of_address, client};
use crate::{
    agent::{
        Agent,
        config::{FastPath, Settings},
    },
    bench::arguments::Tables,
    traffic::forge::identification,
    wait,
};

const PATIENCE: Duration = Duration::from_mins(5);
const LIFETIME: u16 = 36_000;

/// How long it takes.
pub(super) fn measure(network: &Network, arguments: &Tables) -> Result<Duration> {
    let settings = Settings { log: "warn".to_owned(), ..Settings::new(FastPath::Auto) };
    let key = crate::agent::config::random_key();
    let (bindings, tunnels) = (arguments.bindings, arguments.tunnels);
    let sections = format!(
        "[[security-association]]\nclients = \"10.64.0.0/12\"\nspi = 256\nkey = \"hex:{key}\"\n\n\
         [home-agent]\naddress = \"{HOME_AGENT}\"\nmaximum-bindings = {bindings}\nmaximum-tunnels = {tunnels}\n\
         subnets = [{{ prefix = \"10.64.0.0/12\", interface = \"core\", routes = \"subnet\" }}]\n",
    );
    let mut agent = Agent::configure_as(&network.lab, &network.router, &settings, &sections)?;
    fill(&network.lab.directory().join(network.router.name()).join("state"), arguments)?;
    let start = Moment::now();
    agent.launch()?;
    let ready = wait::until(PATIENCE, || Ok(agent.show("interfaces").ok()))?;
    let took = start.elapsed();
    ready.with_context(|| format!("the agent does not answer:\n{}", agent.log_tail()))?;
    let tunnels = agent.show_maps("tunnels")?.as_array().map_or(0, Vec::len);
    anyhow::ensure!(tunnels == arguments.tunnels as usize, "{tunnels} tunnels, not {}", arguments.tunnels);
    agent.kill9();
    agent.unload()?;
    Ok(took)
}

/// Writes the store that an agent with so many bindings leaves.
fn fill(directory: &std::path::Path, arguments: &Tables) -> Result<()> {
    let now = Now { instant: Instant(Duration::ZERO), wall: identification() };
    let (state, _) = State::open(directory, now)?;
    for number in 0..arguments.bindings {
        let home_address = client(number);
        let record = record(now, home_address, care_of_address(number % arguments.tunnels));
        state.record(now, Table::Bindings, &home_address.octets(), |_| Some(record));
        // Changes that wait are kept in memory, and there is a bound.
        while number % 10_000 == 0 && state.counters().records_written + 50_000 < u64::from(number) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

fn record(now: Now, home_address: Ipv4Addr, care_of_address: Ipv4Addr) -> BindingRecord {
    let binding = RecordedBinding {
        home_agent: HOME_AGENT,
        care_of_address,
        flags: 0,
        lifetime_requested: LIFETIME,
        lifetime_granted: LIFETIME,
        spi: 256,
        source: care_of_address,
        expires: Some(now.wall.0 + (u64::from(LIFETIME) << 32)),
        encapsulation: Encapsulation::IpInIp,
        gre_keys: None,
        udp: None,
        revocation: None,
        device: None,
        broadcasts: false,
        identification: Some(now.wall.0),
    };
    BindingRecord { home_address, identification: now.wall.0, binding: Some(binding), nonces: None, more: Vec::new() }
}
