//! What happens to a client's connection in every way of moving, and what its access points tell of it afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::CLIENT;
use mipd_lab::wait;

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
const MAC: &str = "02:c1:1e:00:00:64";

/// The names of the steps that an agent tells of the client.
fn steps(agent: &Agent, client: &str) -> Result<Vec<String>> {
    let told = agent.trace(client)?;
    Ok(told.iter().filter_map(|step| step["step"].as_str().map(str::to_owned)).collect())
}

#[test]
fn every_box_tells_its_part_of_a_client_s_story() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("story", &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    let traffic = campus.start_traffic()?;
    let address = CLIENT.to_string();
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    traffic.connection.progresses(PROGRESS, PATIENCE)?.context("no data flows abroad")?;

    let visit = ["noticed", "home_agent_found", "requested", "answered", "forwarded", "held_released"];
    ensure!(steps(&campus.agents.ap1, &address)? == visit, "{}", campus.agents.ap1.trace_text(&address)?);
    let bound = steps(&campus.agents.ha, &address)?;
    ensure!(bound.starts_with(&["bound".into()]), "{bound:?}");
    let visitor = steps(&campus.agents.fa1, MAC)?;
    ensure!(visitor.starts_with(&["visiting".into()]), "{visitor:?}");

    campus.roam(Place::Visited1Ap2, Carrier::Kept)?;
    let gone =
        wait::until(PATIENCE, || Ok(steps(&campus.agents.ap1, MAC)?.iter().any(|step| step == "gone").then_some(())))?;
    let story = campus.agents.ap1.trace_text(MAC)?;
    gone.with_context(|| story.clone())?;
    ensure!(story.contains("gone: its MAC is behind another access point of this subnet"), "{story}");
    println!("{story}");

    campus.roam(Place::Home, Carrier::Kept)?;
    let home =
        wait::until(PATIENCE, || Ok(steps(&campus.agents.home_ap, MAC)?.ends_with(&["at_home".into()]).then_some(())))?;
    home.with_context(|| campus.agents.home_ap.trace_text(MAC).unwrap_or_default())?;
    println!("{}", campus.agents.home_ap.trace_text(MAC)?);
    let stranger = campus.agents.ap3.trace(&address).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(stranger.contains("nothing is known of 10.1.0.100 here"), "{stranger}");
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the connection has suffered");
    Ok(())
}
