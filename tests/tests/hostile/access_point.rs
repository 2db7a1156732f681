//! An access point with a wrong association, and replies that an access point has not asked for.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::Link;
use mipd_agent::wire::ip::Datagram;
use mipd_common::mac::MacAddress;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{Role, Settings, random_key};
use mipd_lab::deployment::Place;
use mipd_lab::topology::{CLIENT, CLIENT_MAC};
use mipd_lab::traffic::forge::{self, MOBILE_IP_PORT};
use mipd_lab::traffic::ping::reach;
use mipd_lab::{Carrier, wait};
use serde_json::Value;

use super::messages::unsolicited_reply;
use super::scene::{FOREIGN_AGENT, FOREIGN_AGENT_MAC, PATIENCE, Scene, counted};

#[test]
fn an_access_point_with_a_wrong_key_or_spi_gets_131_and_leaves_the_binding() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Scene::settings();
    let mut scene = Scene::set("hostwrong", settings.clone())?;
    let wrong = [Settings { key: random_key(), ..settings.clone() }, Settings { spi: 4711, ..settings }];
    // Away, so that the access point serves nobody while it is changed.
    scene.roam(Place::Visited2, Carrier::Kept)?;
    for wrong in wrong {
        let gateway = scene.campus.campus.ha.lans[0].gateway;
        scene.campus.agents.ap1.stop()?;
        let role = Role::access_point(&[gateway]);
        scene.campus.agents.ap1.reconfigure(&scene.campus.campus.lab, &role, &wrong)?;
        scene.campus.agents.ap1.run()?;
        let agents = &scene.campus.agents;
        agents.ap1.await_rows("agents", PATIENCE)?;
        let before = binding(&agents.ha)?;
        let (denied, relayed) = (agents.ha.counter("denied_131")?, agents.fa1.counter("denied_by_home_agent_131")?);

        scene.campus.campus.client.roam(&scene.campus.campus.ap1.air, Carrier::Kept)?;
        counted(&agents.ha, "denied_131", denied)?;
        counted(&agents.fa1, "denied_by_home_agent_131", relayed)?;
        ensure!(binding(&agents.ha)? == before, "the binding has changed");
        let visitors = agents.fa1.rows_of("visitors", CLIENT)?;
        let fresh = visitors.iter().filter(|visitor| visitor["state"] == "registered");
        ensure!(fresh.count() <= 1, "registered by a wrong key: {visitors:?}");

        scene.campus.campus.client.roam(&scene.campus.campus.ap3.air, Carrier::Kept)?;
        ensure!(binding(&agents.ha)? == before, "the binding has changed");
        let answered = reach(scene.campus.campus.home_host.namespace(), CLIENT, PATIENCE)?;
        answered.context("the client is not reached any more")?;
    }
    Ok(())
}

/// What must stay as it is, whatever happens: where the client's packets are sent.
fn binding(home_agent: &Agent) -> Result<(Value, Value)> {
    let rows = home_agent.rows_of("bindings", CLIENT)?;
    let row = rows.first().context("the client has no binding")?;
    Ok((row["care_of_address"].clone(), row["lifetime_granted_s"].clone()))
}

#[test]
fn an_unsolicited_reply_is_dropped_by_the_access_point_and_never_reaches_the_client() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut scene = Scene::at_home("hostreply", Scene::settings())?;
    let directory = scene.campus.campus.lab.directory().join("pcap");
    scene.campus.capture(&["lan2"], &directory)?;
    scene.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let before = scene.tables()?;
    let ports = scene.campus.stop_captures()?["lan2"].fields("mip.type == 1", &["udp.srcport"])?;
    let port = ports.first().context("no request was on the wire")?.parse()?;
    let discarded = discarded(&scene.campus.agents.ap1)?;

    scene.campus.capture(&["air-ap1"], &directory)?;
    let message = unsolicited_reply(&scene.settings, &scene.settings.key)?;
    let datagram = Datagram {
        source: FOREIGN_AGENT,
        source_port: MOBILE_IP_PORT,
        destination: CLIENT,
        destination_port: port,
        ttl: 255,
        payload: &message,
    };
    let link = Link { destination: MacAddress(CLIENT_MAC), source: FOREIGN_AGENT_MAC };
    forge::send_frame(&scene.campus.campus.fa1.host, "lan0", link, &datagram)?;
    let ap1 = &scene.campus.agents.ap1;
    let counted = wait::until(PATIENCE, || Ok(Some(self::discarded(ap1)?).filter(|count| *count > discarded)))?;
    counted.context("the access point has not counted the reply")?;
    scene.unharmed(&before)?;
    let heard = scene.campus.stop_captures()?["air-ap1"].count("udp.port == 434")?;
    ensure!(heard == 0, "the client got {heard} registration messages");
    Ok(())
}

#[test]
fn an_unsolicited_reply_is_dropped_by_the_foreign_agent_however_it_is_signed() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostunsol", Scene::settings())?;
    let before = scene.tables()?;
    let agent = &scene.campus.agents.fa1;
    let relayed = agent.counter("replies_relayed")?;
    for key in [scene.settings.key.clone(), random_key()] {
        let count = agent.counter("discarded_unsolicited")?;
        let reply = unsolicited_reply(&scene.settings, &key)?;
        let destination: Ipv4Addr = FOREIGN_AGENT;
        forge::send(scene.campus.campus.correspondent.namespace(), destination, &reply)?;
        counted(agent, "discarded_unsolicited", count)?;
    }
    ensure!(agent.counter("replies_relayed")? == relayed, "a reply was relayed");
    scene.unharmed(&before)
}

fn discarded(access_point: &Agent) -> Result<u64> {
    let rows = access_point.show("counters")?;
    let rows = rows.as_array().context("no counters")?;
    let names = |row: &&Value| {
        row["role"] == "access_point" && row["name"].as_str().is_some_and(|name| name.starts_with("discarded_"))
    };
    Ok(rows.iter().filter(names).filter_map(|row| row["value"].as_u64()).sum())
}
