//! Somebody else's mobile node and home agent on the wire: Scapy, facing our agents.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings, random_key};
use mipd_lab::deployment::Deployment;
use mipd_lab::scapy::{self, Script};
use mipd_lab::traffic::ping::reach;
use mipd_lab::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);
const MAC: &str = "02:5c:a9:00:00:01";
/// A home address that no client of the campus has.
const HOME: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 150);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// A mobile node on the first visited LAN that has found its agent.
struct Node {
    station: Script,
    home: Ipv4Addr,
    home_agent: Ipv4Addr,
    spi: u32,
    key: String,
    agent: Value,
    agent_mac: Value,
    care_of: Value,
}

impl Node {
    fn arrive(campus: &Deployment, home: Ipv4Addr, home_agent: Ipv4Addr, spi: u32, key: &str) -> Result<Self> {
        let mut station = Script::station(&campus.campus.lab, &campus.campus.visited1_host)?;
        let found = station.ask(&json!({"op": "solicit", "interface": "eth0", "mac": MAC, "home": home}))?;
        ensure!(found["heard"]["checksums"] == true && found["heard"]["ip"]["ttl"] == 1, "{found:#}");
        ensure!(found["source"] == json!(FOREIGN_AGENT), "{found:#}");
        let extensions = found["extensions"].as_array().context("no extensions")?;
        let agent = extensions.iter().find(|extension| extension["type"] == 16).context("no mobility agent")?;
        ensure!(agent["F"] == 1 && agent["H"] == 1 && agent["T"] == 1 && agent["reserved"] == 0, "{agent:#}");
        let care_of = agent["care_of"][0].clone();
        let (agent, agent_mac) = (found["source"].clone(), found["mac"].clone());
        Ok(Self { station, home, home_agent, spi, key: key.to_owned(), agent, agent_mac, care_of })
    }

    fn ask_for(&self, lifetime: u16) -> Value {
        json!({
            "op": "register", "interface": "eth0", "mac": MAC, "home": self.home, "home_agent": self.home_agent,
            "agent": self.agent, "agent_mac": self.agent_mac, "care_of": self.care_of, "flags": 0,
            "lifetime": lifetime, "spi": self.spi, "key": self.key,
        })
    }
}

/// That a reply accepts, is signed, and carries the lifetime.
fn ensure_granted(answer: &Value, lifetime: u16) -> Result<()> {
    let message = &answer["reply"]["message"];
    ensure!(message["code"].as_u64().is_some_and(|code| code <= 1), "not accepted: {answer:#}");
    ensure!(message["lifetime"] == lifetime && answer["holds"] == json!({"32": true}), "{answer:#}");
    ensure!(answer["reply"]["checksums"] == true && answer["reply"]["ip"]["src"] == json!(FOREIGN_AGENT), "{answer:#}");
    Ok(())
}

#[test]
fn a_mobile_node_of_scapys_registers_is_reached_and_deregisters() -> Result<()> {
    if !mipd_lab::available() || !scapy::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings::new(FastPath::Auto);
    let mut campus = Deployment::build("scapymn", &settings)?;
    campus.agents.start()?;
    let mut node = Node::arrive(&campus, HOME, HOME_AGENT, settings.spi, &settings.key)?;

    let answer = node.station.ask(&node.ask_for(600))?;
    ensure_granted(&answer, 600)?;
    let bindings = campus.agents.ha.rows_of("bindings", HOME)?;
    let at_foreign_agent = bindings.first().is_some_and(|row| row["care_of_address"] == json!(FOREIGN_AGENT));
    ensure!(bindings.len() == 1 && at_foreign_agent, "{bindings:?}");

    // From the correspondent by the home agent through the tunnel to the node, and straight back.
    node.station.tell(&json!({"op": "answer_echo", "interface": "eth0", "mac": MAC, "home": HOME}))?;
    let reached = reach(campus.campus.correspondent.namespace(), HOME, PATIENCE)?;
    let echo = node.station.answer()?;
    ensure!(echo["echo"]["eth"]["dst"] == MAC && echo["echo"]["checksums"] == true, "{echo:#}");
    reached.context("the node's answer did not arrive")?;

    let answer = node.station.ask(&node.ask_for(0))?;
    ensure_granted(&answer, 0)?;
    let left = || Ok(campus.agents.ha.rows_of("bindings", HOME)?.is_empty().then_some(()));
    wait::until(PATIENCE, left)?.context("the binding is still there")?;
    let left = || Ok(campus.agents.fa1.rows_of("visitors", HOME)?.is_empty().then_some(()));
    wait::until(PATIENCE, left)?.context("the visitor is still there")
}

#[test]
fn a_home_agent_of_scapys_serves_its_node_through_our_foreign_agent() -> Result<()> {
    if !mipd_lab::available() || !scapy::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("scapyha", &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    // A network that our agents know nothing of, and a key that they do not share.
    let (home, home_agent) = (Ipv4Addr::new(10, 9, 0, 50), mipd_lab::topology::CORRESPONDENT);
    let (spi, key) = (4242, random_key());
    let mut agent = Script::station(&campus.campus.lab, &campus.campus.correspondent)?;
    agent.ask(&json!({"op": "listen"}))?;
    let mut node = Node::arrive(&campus, home, home_agent, spi, &key)?;

    agent.tell(&json!({"op": "grant", "spi": spi, "key": key}))?;
    let answer = node.station.ask(&node.ask_for(600))?;
    let request = agent.answer()?;
    ensure!(request["from"] == json!(FOREIGN_AGENT) && request["holds"] == json!({"32": true}), "{request:#}");
    ensure_granted(&answer, 300)?;
    let visitors = campus.agents.fa1.rows_of("visitors", home)?;
    let granted = visitors.first().is_some_and(|row| row["lifetime_granted_s"] == 300);
    ensure!(visitors.len() == 1 && granted, "{visitors:?}");

    // Out of Scapy's tunnel to the node.
    node.station.tell(&json!({"op": "answer_echo", "interface": "eth0", "mac": MAC, "home": home}))?;
    agent.ask(&json!({"op": "tunnel_echo", "home_agent": home_agent, "care_of": FOREIGN_AGENT, "home": home}))?;
    let echo = node.station.answer()?;
    ensure!(echo["echo"]["ip"]["src"] == json!(home_agent) && echo["echo"]["checksums"] == true, "{echo:#}");

    agent.tell(&json!({"op": "grant", "spi": spi, "key": key}))?;
    let answer = node.station.ask(&node.ask_for(0))?;
    agent.answer()?;
    ensure_granted(&answer, 0)?;
    let left = || Ok(campus.agents.fa1.rows_of("visitors", home)?.is_empty().then_some(()));
    wait::until(PATIENCE, left)?.context("the visitor is still there")
}
