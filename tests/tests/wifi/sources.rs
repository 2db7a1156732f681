//! Each of the two sources that know who is associated, alone: a registration begins before the station has sent anything, and
//! none begins for who has not got in.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mipd_common::mac::MacAddress;
use mipd_lab::deployment::is_registered;
use mipd_lab::topology::{CLIENT, CLIENT_MAC};
use mipd_lab::wait;
use mipd_lab::wifi::Security;
use mipd_lab::wifi::campus::{Campus, PASSPHRASE, PATIENCE, Source};

use crate::talk::Talk;

#[test]
fn told_by_hostapd_a_silent_station_is_registered_and_one_with_a_wrong_passphrase_never() -> Result<()> {
    told_by(Source::Hostapd)
}

#[test]
fn told_by_nl80211_a_silent_station_is_registered_and_one_with_a_wrong_passphrase_never() -> Result<()> {
    told_by(Source::Nl80211)
}

fn told_by(source: Source) -> Result<()> {
    if !mipd_lab::wifi::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let campus = Campus::build(&format!("wifi{source:?}").to_lowercase(), wpa2(), source)?;
    campus.associate()?;
    let talk = Talk::begin(&campus)?;

    // Once with its own voice, so that the visited access point knows its address.
    let (roam, client) = campus.roam_away()?;
    ensure!(client["associated_by"] == source.name(), "{client}");
    talk.goes_on().context("in the visited network")?;
    talk.report("first roam away", roam);
    let roam = campus.roam_home()?;
    talk.goes_on().context("at home again")?;
    talk.report("first roam home", roam);

    // Without a word: only the source can tell of it.
    let seen = campus.visited.seen()?;
    let before = registrations(&campus)?;
    campus.silence()?;
    campus.roam(&campus.visited, || Ok((registrations(&campus)? > before).then_some(())))?;
    let seen_since = campus.visited.seen()?;
    ensure!(seen_since == seen, "the station was not silent: {seen:?}, then {seen_since:?}");
    campus.let_speak()?;
    talk.goes_on().context("after a silent roam")?;
    let roam = campus.roam_home()?;
    talk.goes_on().context("at home at last")?;
    talk.report("second roam home", roam);
    talk.end()?;
    refused(&campus)
}

/// How often the visited access point has been told that the station is associated, and then had it registered: by the
/// station's trail.
fn registrations(campus: &Campus) -> Result<usize> {
    let steps = campus.visited.agent.trace(&MacAddress(CLIENT_MAC).to_string())?;
    let mut told = false;
    let mut registrations = 0;
    for step in &steps {
        match step["step"].as_str() {
            Some("noticed") => told = step["text"].as_str().is_some_and(|text| !text.contains("first packet")),
            Some("forwarded") if told => registrations += 1,
            _ => {}
        }
    }
    Ok(registrations)
}

/// The kernel reports a new station before the key handshake, and the visited access point knows this one's address. Nobody
/// may register it.
fn refused(campus: &Campus) -> Result<()> {
    let start = Instant::now();
    let requests = campus.ha.counter("registration_requests")?;
    campus.station.set_passphrase("wrong horse battery")?;
    campus.station.stay_with(campus.visited.bssid)?;
    campus.station.reassociate()?;
    let mismatch = format!("AP-STA-POSSIBLE-PSK-MISMATCH {}", MacAddress(CLIENT_MAC));
    let refused = |times: usize| {
        let refused = || Ok((campus.visited.hostapd.log_text().matches(&mismatch).count() >= times).then_some(()));
        wait::until(PATIENCE, refused)?.context("hostapd does not refuse the wrong passphrase")
    };
    refused(1)?;
    ensure!(!campus.visited.hostapd.has_admitted(MacAddress(CLIENT_MAC))?, "hostapd lets it in");
    // By then, whoever takes a new station for an authorized one has long registered it.
    refused(2)?;
    let clients = campus.visited.agent.rows_of("clients", CLIENT)?;
    ensure!(!clients.iter().any(|client| is_registered(client, start)), "registered: {clients:?}");
    ensure!(campus.ha.counter("registration_requests")? == requests, "the home agent was asked for it");
    ensure!(campus.ha.rows_of("bindings", CLIENT)?.is_empty(), "it has a binding");
    Ok(())
}

fn wpa2() -> Security {
    Security::Wpa2(PASSPHRASE.to_owned())
}
