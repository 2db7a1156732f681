//! A station roams between access points of two subnets and back, while it talks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mipd_lab::wifi::Security;
use mipd_lab::wifi::campus::{AccessPoint, Campus, PASSPHRASE, PATIENCE, Roam, Source};

use serde_json::json;

use crate::talk::Talk;

/// By its packets alone a station that is elsewhere for less than a second is not missed, and not registered anew when it comes
/// back. It stays for this long at home, to be missed.
const NOTICEABLE: Duration = Duration::from_secs(3);

#[test]
fn a_station_of_an_open_network_roams_and_keeps_its_connection() -> Result<()> {
    roam_by_first_packets("wifiopen", Security::Open)
}

#[test]
fn a_station_of_a_wpa2_network_roams_and_keeps_its_connection() -> Result<()> {
    roam_by_first_packets("wifiwpa2", Security::Wpa2(PASSPHRASE.to_owned()))
}

/// The station is noticed by what it sends. It roams away and home, twice, for the second time differs: everybody has
/// heard of it. At the end the visited access point's hostapd starts anew.
fn roam_by_first_packets(label: &str, security: Security) -> Result<()> {
    if !mipd_lab::wifi::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Campus::build(label, security, Source::FirstPacket)?;
    for access_point in [&campus.home, &campus.visited] {
        is_served_by_tc(access_point)?;
    }
    campus.associate()?;
    let talk = Talk::begin(&campus)?;
    for round in ["first", "second"] {
        let (roam, client) = campus.roam_away()?;
        ensure!(client["noticed_by"] == json!([Source::FirstPacket.name()]), "{client}");
        let forwarded = campus.visited.counted("station_forwarded")?;
        talk.goes_on().context("in the visited network")?;
        ensure!(campus.visited.counted("station_forwarded")? > forwarded, "the program on the radio forwards nothing");
        talk.report(&format!("{round} roam away"), roam);

        let roam = campus.roam_home()?;
        talk.goes_on().context("at home again")?;
        talk.report(&format!("{round} roam home"), roam);
        std::thread::sleep(NOTICEABLE.saturating_sub(roam.start.elapsed()));
    }
    campus.roam_away()?;
    restart_hostapd(&mut campus, &talk)?;
    talk.end()
}

/// A driver of radios has no XDP of its own, and generic XDP is never taken unasked.
fn is_served_by_tc(access_point: &AccessPoint) -> Result<()> {
    let radio = access_point.radio()?;
    let attached = radio["attached"].as_str().unwrap_or_default();
    ensure!(attached.starts_with("tc"), "{radio}");
    ensure!(radio["reason"].as_str().is_some_and(|reason| reason.contains("XDP")), "no reason is given: {radio}");
    Ok(())
}

/// All stations are thrown out, and the radio leaves the bridge, while hostapd is away.
fn restart_hostapd(campus: &mut Campus, talk: &Talk) -> Result<()> {
    let bssid = campus.visited.bssid;
    campus.station.stay_with(bssid)?;
    let start = Instant::now();
    campus.visited.hostapd.stop()?;
    mipd_lab::wait::until(PATIENCE, || Ok((!campus.station.is_associated(bssid)?).then_some(())))?
        .context("the station has not noticed that hostapd has gone")?;
    campus.visited.hostapd.run()?;
    campus.station.await_association(bssid)?;
    talk.goes_on().context("after hostapd has started anew")?;
    talk.report("restart of hostapd", Roam { start, unassociated: start.elapsed() });
    is_served_by_tc(&campus.visited)
}
