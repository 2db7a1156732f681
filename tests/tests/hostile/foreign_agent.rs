//! Requests that the foreign agent must refuse.

use anyhow::{Context, Result};
use mipd_agent::wire::registration::RegistrationRequest;
use mipd_agent::wire::types::{CareOfAddress, HomeAddress, HomeAgentAddress, Lifetime};
use mipd_common::mac::MacAddress;
use mipd_lab::agent::config::random_key;
use mipd_lab::traffic::forge::signed_request;
use mipd_lab::traffic::frames::FramePort;

use super::messages::{flagged, request, sign, with_extension};
use super::scene::{Case, FOREIGN_AGENT, Fate, Scene, counted, to_foreign_agent};

#[test]
fn the_foreign_agent_refuses_bad_requests_by_the_documented_code_or_silence() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostfa", Scene::settings())?;
    let signed = |request: RegistrationRequest| sign(&request, &scene.settings);
    let good = signed(request())?;
    let to_agent =
        |address: [u8; 4]| signed(RegistrationRequest { home_agent: HomeAgentAddress(address.into()), ..request() });
    scene.judge_foreign_agent(&[
        Case::new(
            "a lifetime too long",
            signed(RegistrationRequest { lifetime: Lifetime(7200), ..request() })?,
            Fate::Code(69),
        ),
        Case::new(
            "a lifetime too long by a second",
            signed(RegistrationRequest { lifetime: Lifetime(3601), ..request() })?,
            Fate::Code(69),
        ),
        Case::new("GRE, which is unavailable", signed(flagged(0x08))?, Fate::Code(72)),
        Case::new("minimal encapsulation, which is unavailable", signed(flagged(0x10))?, Fate::Code(72)),
        Case {
            ttl: 254,
            ..Case::new("a distant node that wants a reverse tunnel", signed(flagged(0x02))?, Fate::Code(76))
        },
        Case::new(
            "a wrong care-of address",
            signed(RegistrationRequest { care_of_address: CareOfAddress([10, 2, 0, 99].into()), ..request() })?,
            Fate::Code(77),
        ),
        Case::new("no home agent", to_agent([0, 0, 0, 0])?, Fate::Code(90)),
        Case::new("everybody as home agent", to_agent([255, 255, 255, 255])?, Fate::Code(90)),
        Case::new(
            "no home address",
            signed(RegistrationRequest { home_address: HomeAddress([0, 0, 0, 0].into()), ..request() })?,
            Fate::Code(96),
        ),
        Case::new("a truncated extension", good[..40].to_vec(), Fate::Code(70)),
        Case::new("an extension without a length", [&good[..], &[200]].concat(), Fate::Code(70)),
        Case::new("an oversized message", [&good[..], &[200; 1300]].concat(), Fate::Code(70)),
        Case::new("a truncated header", good[..20].to_vec(), Fate::Silence("discarded_not_a_request")),
        Case::new("an unknown extension", with_extension(good, 99), Fate::Silence("discarded_unknown_extension")),
        Case::new("no byte at all", Vec::new(), Fate::Silence("unexpected")),
        Case::new("an unknown message type", vec![99; 60], Fate::Silence("unexpected")),
        Case::new("a wrong key", signed_request(&request(), scene.settings.spi, &random_key())?, Fate::Code(131)),
    ])?;

    // Encapsulating delivery style (RFC 3024 §3.3) goes after the client's signature.
    let delivery = [&signed(flagged(0x02))?[..], &[130, 0]].concat();
    scene.judge_foreign_agent(&[Case::new("a delivery style not supported", delivery, Fate::Code(79))])?;

    let agent = &scene.campus.agents.fa1;
    let before = scene.tables()?;
    let count = agent.counter("malformed")?;
    let mut frame = to_foreign_agent(MacAddress([2, 0xba, 0xd, 0, 0, 99]), 255, &signed(request())?);
    frame[14 + 20 + 6] ^= 0x55;
    FramePort::open(&scene.campus.campus.visited1_host, "eth0")?.send(&frame)?;
    counted(agent, "malformed", count).context("a wrong UDP checksum")?;
    scene.unharmed(&before)
}

#[test]
fn a_request_for_the_foreign_agent_itself_as_home_agent_gets_no_binding_of_another_network() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let scene = Scene::set("hostself", Scene::settings())?;
    // The router is home agent too, at this address, but not of the client's network: it serves and refuses.
    let request = RegistrationRequest { home_agent: HomeAgentAddress(FOREIGN_AGENT), ..request() };
    let message = sign(&request, &scene.settings)?;
    scene.judge_foreign_agent(&[Case::new("the router's own address as home agent", message, Fate::Code(129))])
}
