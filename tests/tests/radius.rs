//! Security associations from a real `FreeRADIUS`: home agent and access points know no client by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::registration::{RegistrationRequest, RequestFlags};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime};
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Role, Settings, random_key};
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::radius::{FreeRadius, User, free_address};
use mipd_lab::topology::{CLIENT, CORRESPONDENT, Campus, ReversePathFilter, campus};
use mipd_lab::traffic::forge::{self, identification, signed_request};
use mipd_lab::traffic::ping::{PingStream, reach};
use mipd_lab::{Carrier, wait};

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "a lab's secret";
const SPI: u32 = 0x1234;

/// Whether lab and server can be built here.
fn available() -> bool {
    mipd_lab::available() && mipd_lab::radius::available()
}

/// Settings without an association for the client, and with these servers.
fn settings(servers: &[(&FreeRadius, &str)]) -> Settings {
    let radius = servers.iter().map(|(server, secret)| (server.address(), (*secret).to_owned())).collect();
    Settings { clients: "10.200.0.0/24".to_owned(), radius, ..Settings::new(FastPath::Auto) }
}

fn server(campus: &Campus, name: &str, users: &[User]) -> Result<FreeRadius> {
    FreeRadius::start(&campus.lab, &campus.correspondent, name, CORRESPONDENT, SECRET, users)
}

/// What `mipd show associations` tells of the client: SPI and source of each.
fn associations(agent: &Agent) -> Result<Vec<(u64, String)>> {
    let rows = agent.show("associations")?;
    let rows = rows.as_array().context("`mipd show associations --json` is no array")?;
    let of_client = rows.iter().filter(|row| row["peer"] == CLIENT.to_string().as_str());
    of_client
        .map(|row| {
            let spi = row["spi"].as_u64().context("no SPI")?;
            ensure!(row["lifetime_remaining_s"].as_u64().is_some_and(|left| left > 0), "no lifetime in {row}");
            Ok((spi, row["source"].as_str().context("no source")?.to_owned()))
        })
        .collect()
}

fn request() -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::default(),
        lifetime: Lifetime(300),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress([10, 1, 0, 1].into()),
        care_of_address: CareOfAddress([10, 2, 0, 1].into()),
        identification: identification(),
    }
}

#[test]
fn a_client_roams_and_returns_with_associations_that_are_downloaded_once_per_box() -> Result<()> {
    if !available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let boxes = campus("radius", ReversePathFilter::default())?;
    let key = random_key();
    let server = server(&boxes, "primary", &[User::new(CLIENT, SPI, &key)])?;
    let mut scene = Deployment::on(boxes, &settings(&[(&server, SECRET)]))?;
    scene.agents.start()?;
    let traffic = scene.start_traffic()?;

    scene.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let source = server.address().to_string();
    for agent in [&scene.agents.ha, &scene.agents.ap1] {
        ensure!(associations(agent)? == [(u64::from(SPI), source.clone())], "{:?}", agent.show("associations")?);
    }
    ensure!(!scene.agents.ha.show_text("associations")?.contains(&key), "the key is shown");
    ensure!(scene.agents.ha.counter("access_accepts")? == 1, "not one acceptance at the home agent");

    scene.roam(Place::Visited1Ap2, Carrier::Lost)?;
    scene.roam(Place::Visited1Ap1, Carrier::Kept)?;
    for agent in [&scene.agents.ha, &scene.agents.ap1, &scene.agents.ap2] {
        let requests = agent.counter("access_requests")?;
        ensure!(requests == 1, "{} asked {requests} times", agent.host().name());
        ensure!(agent.counter("cache_hits")? > 0, "{} has not used its cache", agent.host().name());
    }

    scene.roam(Place::Home, Carrier::Kept)?;
    ensure!(associations(&scene.agents.home_ap)?.len() == 1, "the access point at home has asked nobody");
    // Once by the home agent and by each of three access points.
    let requests = server.requests_about(CLIENT)?;
    ensure!(requests == 4, "{requests} requests about the client:\n{}", server.log()?);
    ensure!(traffic.connection.finish(PATIENCE)?.intact, "the TCP connection has suffered");
    Ok(())
}

#[test]
fn the_secondary_serves_when_the_primary_is_dead_or_has_another_secret() -> Result<()> {
    if !available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let boxes = campus("radius2", ReversePathFilter::default())?;
    let users = [User::new(CLIENT, SPI, &random_key())];
    let primary = server(&boxes, "primary", &users)?;
    let secondary = server(&boxes, "secondary", &users)?;
    // The home agent has a wrong secret for the primary; to the access point it is dead.
    let at_home_agent = settings(&[(&primary, "another secret"), (&secondary, SECRET)]);
    let dead = (free_address(&boxes.correspondent, CORRESPONDENT)?, SECRET.to_owned());
    let mut at_access_points = settings(&[(&secondary, SECRET)]);
    at_access_points.radius.insert(0, dead);
    let mut scene = Deployment::on(boxes, &at_access_points)?;
    scene.agents.ha.reconfigure(&scene.campus.lab, &Role::router(&scene.campus.ha), &at_home_agent)?;
    scene.agents.start()?;
    let _pings = scene.start_pings()?;

    scene.campus.client.roam(scene.air(Place::Visited1Ap1), Carrier::Kept)?;
    let rows = scene.agents.ha.await_rows("bindings", PATIENCE)?;
    ensure!(rows[0]["home_address"] == CLIENT.to_string().as_str(), "{rows:?}");
    reach(scene.campus.client.host.namespace(), CORRESPONDENT, PATIENCE)?.context("the client is cut off")?;

    let source = secondary.address().to_string();
    for agent in [&scene.agents.ha, &scene.agents.ap1] {
        ensure!(associations(agent)? == [(u64::from(SPI), source.clone())], "{:?}", agent.show("associations")?);
        ensure!(agent.counter("failovers")? == 1 && agent.counter("servers_failed")? == 1, "no failover counted");
    }
    let log = primary.log()?;
    ensure!(log.contains("Shared secret is incorrect"), "the primary has seen no wrong secret:\n{log}");
    primary.stop()?;
    Ok(())
}

#[test]
fn a_client_that_the_server_rejects_is_not_served_and_gets_no_answer() -> Result<()> {
    if !available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let boxes = campus("radius3", ReversePathFilter::default())?;
    let other = User::new([10, 1, 0, 99].into(), SPI, &random_key());
    let server = server(&boxes, "primary", &[other])?;
    let mut scene = Deployment::on(boxes, &settings(&[(&server, SECRET)]))?;
    scene.agents.start()?;
    let client = scene.campus.client.host.namespace();
    let _pings = PingStream::start(client, CORRESPONDENT, Duration::from_millis(20))?;

    scene.campus.client.roam(scene.air(Place::Visited1Ap1), Carrier::Kept)?;
    let unserved = wait::until(PATIENCE, || {
        let rows = scene.agents.ap1.rows_of("clients", CLIENT)?;
        Ok(rows.into_iter().find(|row| row["state"] == "unserved"))
    })?;
    unserved.context("the client is not given up")?;
    ensure!(scene.agents.ap1.counter("access_rejects")? == 1, "not one rejection");
    ensure!(scene.agents.ap1.counter("requests_sent")? == 0, "a request was sent without an association");

    let ha = &scene.agents.ha;
    let forged = signed_request(&request(), SPI, &random_key())?;
    for round in 0..2 {
        let discarded = ha.counter("discarded_no_association")?;
        forge::send(scene.campus.correspondent.namespace(), [10, 1, 0, 1].into(), &forged)?;
        ha.await_count("discarded_no_association", discarded, PATIENCE)?;
        ensure!(ha.counter("access_requests")? == 1, "round {round}: the refusal is not remembered");
    }
    ensure!(ha.counter("replies_sent")? == 0, "an answer without an association");
    // What was never sent the access point did not ask: the server heard of the client once from each box.
    ensure!(server.requests_about(CLIENT)? <= 3, "{}", server.log()?);
    Ok(())
}
