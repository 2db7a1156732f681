//! Requests that the home agent must refuse.

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::registration::{RegistrationReply, RegistrationRequest};
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime, ReplyCode};
use mipd_lab::Carrier;
use mipd_lab::agent::config::random_key;
use mipd_lab::capture::Capture;
use mipd_lab::deployment::Place;
use mipd_lab::traffic::forge::{self, identification, signed_request};

use super::messages::{altered, before_now, flagged, of_node, request, sign, signed_twice, with_extension};
use super::scene::{Case, Fate, HOME_AGENT, PATIENCE, Scene, counted};

/// Broken before anything has authenticated it.
const MALFORMED: Fate = Fate::Silence("discarded_malformed");
const NOT_A_REQUEST: Fate = Fate::Silence("discarded_not_a_request");

#[test]
fn the_home_agent_refuses_bad_requests_by_the_documented_code_or_silence() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostha", Scene::settings())?;
    let (spi, key) = (scene.settings.spi, scene.settings.key.as_str());
    let signed = |request: RegistrationRequest| sign(&request, &scene.settings);
    let good = |node| signed(of_node(node));
    let at_home = |last| HomeAddress([10, 1, 0, last].into());
    scene.judge_home_agent(&[
        Case::new("a wrong key", signed_request(&request(), spi, &random_key())?, Fate::Code(131)),
        Case::new("a wrong SPI", signed_request(&of_node(1), 999, key)?, Fate::Code(131)),
        Case::new("two signatures", signed_twice(&of_node(2), &scene.settings)?, Fate::Code(131)),
        Case::new("a care-of address changed on the way", altered(good(3)?, 13), Fate::Code(131)),
        Case::new("a lifetime changed on the way", altered(good(4)?, 3), Fate::Code(131)),
        Case::new(
            "an old Identification",
            signed(RegistrationRequest { identification: before_now(60), ..request() })?,
            Fate::Code(133),
        ),
        Case::new("an unavailable encapsulation", signed(flagged(0x08))?, Fate::Code(139)),
        Case::new("two encapsulations at once", signed(flagged(0x18))?, Fate::Code(139)),
        Case::new(
            "a home address not served",
            signed(RegistrationRequest { home_address: HomeAddress([10, 1, 7, 7].into()), ..request() })?,
            Fate::Code(129),
        ),
        Case::new(
            "the home agent's address as a client's",
            signed(RegistrationRequest { home_address: at_home(1), ..request() })?,
            Fate::Code(129),
        ),
        Case::new(
            "the subnet's broadcast address as a client's",
            signed(RegistrationRequest { home_address: at_home(255), ..request() })?,
            Fate::Code(129),
        ),
        Case::new(
            "another Home Agent field",
            signed(RegistrationRequest { home_agent: HomeAgentAddress([10, 1, 0, 99].into()), ..request() })?,
            Fate::Code(136),
        ),
        Case::new(
            "a multicast care-of address",
            signed(RegistrationRequest { care_of_address: CareOfAddress([224, 0, 0, 1].into()), ..request() })?,
            Fate::Code(134),
        ),
        Case::new(
            "no association",
            signed(RegistrationRequest { home_address: HomeAddress([192, 0, 2, 1].into()), ..request() })?,
            Fate::Silence("discarded_no_association"),
        ),
        Case::new("no signature", good(5)?[..24].to_vec(), Fate::Silence("discarded_missing_authentication")),
        Case::new("a truncated extension", good(6)?[..40].to_vec(), MALFORMED),
        Case::new("an extension without a length", [&good(7)?[..], &[200]].concat(), Fate::Code(134)),
        Case::new("an extension longer than the message", [&good(8)?[..], &[200, 9, 0]].concat(), Fate::Code(134)),
        Case::new("an authenticator of no bytes", [&good(9)?[..24], &[32, 4, 0, 0, 1, 0]].concat(), MALFORMED),
        Case::new("an oversized message", [&good(10)?[..], &[200; 1400]].concat(), Fate::Code(134)),
        Case::new("a message in fragments", [&good(11)?[..], &[200; 9000]].concat(), Fate::Code(134)),
        Case::new("a truncated header", good(12)?[..20].to_vec(), NOT_A_REQUEST),
        Case::new("a single byte", vec![1], NOT_A_REQUEST),
        Case::new("an unknown extension", with_extension(good(13)?, 99), Fate::Silence("discarded_unknown_extension")),
        Case::new("no byte at all", Vec::new(), Fate::Silence("unexpected")),
        Case::new("an unknown message type", vec![99; 60], Fate::Silence("unexpected")),
    ])
}

#[test]
fn a_request_with_an_extension_that_may_be_skipped_is_good_once() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hosttw", Scene::settings())?;
    let before = scene.tables()?;
    let attacker = scene.campus.campus.correspondent.namespace();
    // A deregistration leaves nothing.
    let farewell =
        RegistrationRequest { identification: identification(), lifetime: Lifetime::DEREGISTER, ..of_node(0) };
    let message = with_extension(sign(&farewell, &scene.settings)?, 200);
    for wanted in [ReplyCode::ACCEPTED, ReplyCode::HA_IDENTIFICATION] {
        let socket = forge::send(attacker, HOME_AGENT, &message)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).context("no reply")?;
        let (reply, _) = RegistrationReply::parse(&buffer[..length])?;
        ensure!(reply.code == wanted, "a request and its replay: {reply:?}, not {wanted:?}");
    }
    scene.unharmed(&before)
}

#[test]
fn a_request_recorded_on_the_wire_is_no_good_later() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut scene = Scene::at_home("replay", Scene::settings())?;
    let file = scene.campus.campus.lab.directory().join("core2.pcap");
    let capture = Capture::start(&scene.campus.campus.lab, "core2", &file)?;
    scene.roam(Place::Visited1Ap1, Carrier::Kept)?;
    let recorded = capture.stop()?.fields("mip.type == 1 && ip.dst == 10.1.0.1", &["udp.payload"])?;
    scene.roam(Place::Visited2, Carrier::Kept)?;
    let before = scene.tables()?;
    let message = unhex(recorded.first().context("no request was on the wire")?)?;
    let denied = scene.campus.agents.ha.counter("denied_133")?;
    forge::send(scene.campus.campus.correspondent.namespace(), HOME_AGENT, &message)?;
    counted(&scene.campus.agents.ha, "denied_133", denied)?;
    scene.unharmed(&before)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = text.trim().chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(byte).collect::<Result<_, _>>().with_context(|| format!("tshark gave no bytes but {text}"))
}
