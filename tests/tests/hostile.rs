//! Registrations that must not succeed: each gets its documented code or silence, is counted, and harms nobody.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::Link;
use mipd_agent::wire::ip::Datagram;
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest, RequestFlags};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Identification, Lifetime, ReplyCode};
use mipd_common::mac::MacAddress;
use mipd_lab::Carrier;
use mipd_lab::agent::Agent;
use mipd_lab::agent::config::{FastPath, Role, Settings, random_key};
use mipd_lab::capture::Capture;
use mipd_lab::deployment::{Deployment, Place};
use mipd_lab::topology::{CLIENT, CLIENT_MAC, CORRESPONDENT, UPLINK};
use mipd_lab::traffic::forge::{self, MOBILE_IP_PORT};
use mipd_lab::traffic::ping::reach;
use mipd_lab::wait;
use serde_json::Value;
use std::net::Ipv4Addr;

const PATIENCE: Duration = Duration::from_secs(10);
const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const FOREIGN_AGENT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const FOREIGN_AGENT_MAC: [u8; 6] = [2, 0, 10, 2, 0, 1];
/// A port that no agent of ours listens on.
const FORGED_PORT: u16 = 40_434;

/// A campus whose client is registered in the second visited network.
fn visiting(label: &str, settings: &Settings) -> Result<Deployment> {
    let mut campus = Deployment::build(label, settings)?;
    campus.agents.start()?;
    // The client has to say something to be noticed.
    let talk = campus.start_traffic()?;
    campus.roam(Place::Visited2, Carrier::Kept)?;
    drop(talk);
    Ok(campus)
}

/// What must stay as it is, whatever happens: where the client's packets are sent.
fn binding(campus: &Deployment) -> Result<(Value, Value)> {
    let rows = campus.agents.ha.rows_of("bindings", CLIENT)?;
    let row = rows.first().context("the client has no binding")?;
    Ok((row["care_of_address"].clone(), row["lifetime_granted_s"].clone()))
}

fn ensure_unharmed(campus: &Deployment, before: &(Value, Value)) -> Result<()> {
    let now = binding(campus)?;
    ensure!(now == *before, "the binding was {before:?} and is {now:?}");
    let answered = reach(campus.campus.home_host.namespace(), CLIENT, PATIENCE)?;
    answered.context("the client is not reached any more")?;
    Ok(())
}

/// A request for the client by way of the first foreign agent, with nothing wrong in it.
fn request() -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::default(),
        lifetime: Lifetime(600),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        care_of_address: CareOfAddress(FOREIGN_AGENT),
        identification: forge::identification(),
    }
}

/// Sends a request to the first foreign agent as a visitor does: from the client's MAC and address, past the programs.
fn send_as_visitor(campus: &Deployment, message: &[u8]) -> Result<()> {
    let datagram = Datagram {
        source: CLIENT,
        source_port: FORGED_PORT,
        destination: FOREIGN_AGENT,
        destination_port: MOBILE_IP_PORT,
        ttl: 255,
        payload: message,
    };
    let link = Link { destination: MacAddress(FOREIGN_AGENT_MAC), source: MacAddress(CLIENT_MAC) };
    forge::send_frame(&campus.campus.ap1.host, UPLINK, link, &datagram)
}

/// An access point whose security association is not the home agent's: refused with 131, and the client's binding stays.
fn access_point_with_a_wrong_association(label: &str, wrong: impl FnOnce(&mut Settings)) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings::new(FastPath::Auto);
    let mut campus = visiting(label, &settings)?;
    let mut others = settings.clone();
    wrong(&mut others);
    let gateway = campus.campus.ha.lans[0].gateway;
    campus.agents.ap1.stop()?;
    campus.agents.ap1.reconfigure(&campus.campus.lab, &Role::access_point(&[gateway]), &others)?;
    campus.agents.ap1.run()?;
    campus.agents.ap1.await_rows("agents", PATIENCE)?;
    let before = binding(&campus)?;
    let denied = campus.agents.ha.counter("denied_131")?;

    campus.campus.client.roam(&campus.campus.ap1.air, Carrier::Kept)?;
    let pings = campus.start_pings()?;
    campus.agents.ha.await_count("denied_131", denied, PATIENCE)?;
    campus.agents.fa1.await_count("denied_by_home_agent_131", 0, PATIENCE)?;
    drop(pings);
    ensure!(binding(&campus)? == before, "the binding has changed");
    let visitors = campus.agents.fa1.rows_of("visitors", CLIENT)?;
    ensure!(visitors.iter().all(|visitor| visitor["state"] != "registered"), "{visitors:?}");

    campus.campus.client.roam(&campus.campus.ap3.air, Carrier::Kept)?;
    ensure_unharmed(&campus, &before)
}

#[test]
fn a_wrong_key_gets_131_and_leaves_the_binding() -> Result<()> {
    access_point_with_a_wrong_association("wrongkey", |settings| settings.key = random_key())
}

#[test]
fn a_wrong_spi_gets_131_and_leaves_the_binding() -> Result<()> {
    access_point_with_a_wrong_association("wrongspi", |settings| settings.spi = 4711)
}

#[test]
fn a_replayed_request_gets_133_and_leaves_the_binding() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Deployment::build("replay", &Settings::new(FastPath::Auto))?;
    campus.agents.start()?;
    let file = campus.campus.lab.directory().join("core2.pcap");
    let capture = Capture::start(&campus.campus.lab, "core2", &file)?;
    let talk = campus.start_traffic()?;
    campus.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let recorded = capture.stop()?.fields("mip.type == 1 && ip.dst == 10.1.0.1", &["udp.payload"])?;
    campus.roam(Place::Visited2, Carrier::Kept)?;
    drop(talk);
    let before = binding(&campus)?;
    let denied = campus.agents.ha.counter("denied_133")?;

    let message = unhex(recorded.first().context("no request was on the wire")?)?;
    forge::send(campus.campus.correspondent.namespace(), HOME_AGENT, &message)?;
    campus.agents.ha.await_count("denied_133", denied, PATIENCE)?;
    ensure_unharmed(&campus, &before)
}

#[test]
fn a_lifetime_too_long_gets_69_and_leaves_the_binding() -> Result<()> {
    let settings =
        Settings { lifetime: "5min".to_owned(), maximum_lifetime: "10min".to_owned(), ..Settings::new(FastPath::Auto) };
    denied_by_the_foreign_agent("lifetime", &settings, 69, |request| request.lifetime = Lifetime(601))
}

#[test]
fn an_unsupported_encapsulation_gets_72_and_leaves_the_binding() -> Result<()> {
    let settings = Settings::new(FastPath::Auto);
    denied_by_the_foreign_agent("encap", &settings, 72, |request| request.flags.minimal_encapsulation = true)
}

#[test]
fn a_home_agent_that_does_not_listen_gets_82_at_once_and_leaves_the_binding() -> Result<()> {
    let settings = Settings::new(FastPath::Auto);
    denied("port", &settings, 82, 1, |request| request.home_agent = HomeAgentAddress(CORRESPONDENT))
}

fn denied_by_the_foreign_agent(
    label: &str,
    settings: &Settings,
    code: u8,
    spoil: impl FnOnce(&mut RegistrationRequest),
) -> Result<()> {
    denied(label, settings, code, 0, spoil)
}

fn denied(
    label: &str,
    settings: &Settings,
    code: u8,
    relays: u64,
    spoil: impl FnOnce(&mut RegistrationRequest),
) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let campus = visiting(label, settings)?;
    let before = binding(&campus)?;
    let relayed = campus.agents.fa1.counter("requests_relayed")?;
    let file = campus.campus.lab.directory().join("lan2.pcap");
    let capture = Capture::start(&campus.campus.lab, "lan2", &file)?;

    let mut request = request();
    spoil(&mut request);
    send_as_visitor(&campus, &forge::signed_request(&request, settings.spi, &settings.key)?)?;
    campus.agents.fa1.await_count(&format!("denied_{code}"), 0, PATIENCE)?;
    let answers = answers(capture, &file, code)?;
    ensure!(answers == 1, "{answers} answers with code {code} on the visited LAN");
    let relayed = campus.agents.fa1.counter("requests_relayed")? - relayed;
    ensure!(relayed == relays, "{relayed} requests were relayed, not {relays}");
    ensure_unharmed(&campus, &before)
}

/// Waits until the reply is in the capture's file, which tcpdump writes frame by frame.
fn answers(capture: Capture, file: &Path, code: u8) -> Result<usize> {
    let written = wait::until(PATIENCE, || Ok((std::fs::metadata(file)?.len() > 150).then_some(())))?;
    written.context("nothing was captured on the visited LAN")?;
    capture.stop()?.count(&format!("mip.type == 3 && mip.code == {code} && eth.dst == 02:c1:1e:00:00:64"))
}

#[test]
fn an_unsolicited_reply_is_dropped_by_the_foreign_agent() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings::new(FastPath::Auto);
    let campus = visiting("unsolicited", &settings)?;
    let before = binding(&campus)?;
    let relayed = campus.agents.fa2.counter("replies_relayed")?;
    forge::send(campus.campus.correspondent.namespace(), Ipv4Addr::new(10, 3, 0, 1), &unsolicited(&settings)?)?;
    campus.agents.fa2.await_count("discarded_unsolicited", 0, PATIENCE)?;
    ensure!(campus.agents.fa2.counter("replies_relayed")? == relayed, "the reply was relayed");
    ensure_unharmed(&campus, &before)
}

#[test]
fn an_unsolicited_reply_is_dropped_by_the_access_point_and_never_reaches_the_client() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings::new(FastPath::Auto);
    let mut campus = Deployment::build("forgedreply", &settings)?;
    campus.agents.start()?;
    let directory = campus.campus.lab.directory().join("pcap");
    campus.capture(&["lan3", "air-ap3"], &directory)?;
    let talk = campus.start_traffic()?;
    campus.roam(Place::Visited2, Carrier::Kept)?;
    let before = binding(&campus)?;
    let ports = campus.stop_captures()?["lan3"].fields("mip.type == 1", &["udp.srcport"])?;
    let port = ports.first().context("no request was on the wire")?.parse()?;
    let discarded = discarded(&campus.agents.ap3)?;

    campus.capture(&["air-ap3"], &directory)?;
    let message = unsolicited(&settings)?;
    let datagram = Datagram {
        source: Ipv4Addr::new(10, 3, 0, 1),
        source_port: MOBILE_IP_PORT,
        destination: CLIENT,
        destination_port: port,
        ttl: 255,
        payload: &message,
    };
    let link = Link { destination: MacAddress(CLIENT_MAC), source: MacAddress([2, 0, 10, 3, 0, 1]) };
    forge::send_frame(&campus.campus.fa2.host, "lan0", link, &datagram)?;
    let counted =
        wait::until(PATIENCE, || Ok(Some(self::discarded(&campus.agents.ap3)?).filter(|count| *count > discarded)))?;
    counted.context("the access point has not counted the reply")?;
    ensure_unharmed(&campus, &before)?;
    drop(talk);
    let heard = campus.stop_captures()?["air-ap3"].count("udp.port == 434")?;
    ensure!(heard == 0, "the client got {heard} registration messages");
    Ok(())
}

/// A reply that nobody has asked for, well signed.
fn unsolicited(settings: &Settings) -> Result<Vec<u8>> {
    let reply = RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: Lifetime(0),
        home_address: HomeAddress(CLIENT),
        home_agent: HomeAgentAddress(HOME_AGENT),
        identification: Identification(0x1234_5678_9abc_def0),
    };
    forge::signed_reply(&reply, settings.spi, &settings.key)
}

fn discarded(access_point: &Agent) -> Result<u64> {
    let rows = access_point.show("counters")?;
    let rows = rows.as_array().context("no counters")?;
    let names = |row: &&Value| {
        row["role"] == "access_point" && row["name"].as_str().is_some_and(|name| name.starts_with("discarded_"))
    };
    Ok(rows.iter().filter(names).filter_map(|row| row["value"].as_u64()).sum())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = text.trim().chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(byte).collect::<Result<_, _>>().with_context(|| format!("tshark gave no bytes but {text}"))
}
