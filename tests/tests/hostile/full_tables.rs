//! More tunnels than there is room for: refused by the code for it, 130 and 66, and nobody who has one loses it.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress};
use mipd_lab::agent::config::Settings;
use mipd_lab::deployment::Place;
use mipd_lab::traffic::forge;
use mipd_lab::{Carrier, wait};

use super::messages::{of_node, request, sign};
use super::scene::{FOREIGN_AGENT, HOME_AGENT, PATIENCE, Scene, counted};

/// The code that an agent answers a request with.
fn answer(scene: &Scene, agent: Ipv4Addr, request: RegistrationRequest) -> Result<u8> {
    let request = RegistrationRequest { identification: forge::identification(), ..request };
    let socket = forge::send(scene.campus.campus.correspondent.namespace(), agent, &sign(&request, &scene.settings)?)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).context("no answer")?;
    Ok(RegistrationReply::parse(&buffer[..length]).context("a malformed reply")?.0.code.0)
}

fn at(request: RegistrationRequest, last: u8) -> RegistrationRequest {
    RegistrationRequest { care_of_address: CareOfAddress([10, 3, 0, last].into()), ..request }
}

#[test]
fn a_home_agent_without_a_free_tunnel_answers_130_and_leaves_what_it_has_alone() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    // One for each of the two roles of a router.
    let scene = Scene::set("hostfullha", Settings { routers_tunnels: Some(1), ..Scene::settings() })?;
    let before = scene.tables()?;
    assert_eq!(answer(&scene, HOME_AGENT, at(of_node(1), 101))?, 1, "the second tunnel");
    for number in 2..4 {
        assert_eq!(answer(&scene, HOME_AGENT, at(of_node(number), 100 + number))?, 130, "the third tunnel");
    }
    assert_eq!(answer(&scene, HOME_AGENT, of_node(4))?, 1, "through a tunnel that is there");
    assert_eq!(answer(&scene, HOME_AGENT, at(request(), 105))?, 130, "the client itself, elsewhere");
    let bindings = scene.campus.agents.ha.show("bindings")?.as_array().map_or(0, Vec::len);
    ensure!(bindings == 3, "{bindings} bindings, not those of the client and two others");
    scene.unharmed(&before)
}

#[test]
fn a_foreign_agent_without_a_free_reverse_tunnel_answers_66_until_there_is_one() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings {
        routers_tunnels: Some(1),
        clients: "10.0.0.0/8".to_owned(),
        reverse_tunnel: true,
        ..Scene::settings()
    };
    let scene = Scene::at_home("hostfullfa", settings)?;
    let agents = &scene.campus.agents;
    // The other role of the same router takes both tunnels.
    let own = |last: u8| HomeAddress([10, 2, 0, last].into());
    for number in 1..=2 {
        let home_agent = HomeAgentAddress(FOREIGN_AGENT);
        let request = RegistrationRequest { home_address: own(200 + number), home_agent, ..request() };
        assert_eq!(answer(&scene, FOREIGN_AGENT, at(request, 100 + number))?, 1);
    }
    let refused = agents.fa1.counter("denied_66")?;
    scene.campus.campus.client.roam(scene.campus.air(Place::Visited1Ap1), Carrier::Lost)?;
    counted(&agents.fa1, "denied_66", refused)?;
    ensure!(agents.fa1.show("visitors")? == serde_json::json!([]), "a visitor that cannot be carried");
    agents.fa1.deregister(own(201).0)?;
    let registered = wait::until(6 * PATIENCE, || {
        Ok(agents.fa1.show("visitors")?.as_array().is_some_and(|visitors| !visitors.is_empty()).then_some(()))
    })?;
    registered.with_context(|| format!("the client is not taken:\n{}", agents.ap1.log_tail()))
}
