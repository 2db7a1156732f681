//! A station roams between access points of two subnets and back, while it talks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mipd_lab::topology::CORRESPONDENT;
use mipd_lab::traffic::ping::PingStream;
use mipd_lab::traffic::tcp::Connection;
use mipd_lab::wifi::Security;
use mipd_lab::wifi::campus::{AccessPoint, Campus, PASSPHRASE, PATIENCE};

/// How much has to arrive, each way, for a connection to count as alive.
const PROGRESS: u64 = 50_000;
const PING_INTERVAL: Duration = Duration::from_millis(20);

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
    let mut campus = Campus::build(label, security)?;
    for access_point in [&campus.home, &campus.visited] {
        is_served_by_tc(access_point)?;
    }
    campus.associate(&campus.home)?;
    let talk = Talk::begin(&campus)?;
    for round in ["first", "second"] {
        let start = Instant::now();
        let unassociated = campus.roam(&campus.visited)?;
        campus.await_visit(start)?;
        let forwarded = campus.visited.counted("station_forwarded")?;
        talk.goes_on().context("in the visited network")?;
        ensure!(
            campus.visited.counted("station_forwarded")? > forwarded,
            "the program on the radio has forwarded nothing"
        );
        talk.report(&format!("{round} roam away"), unassociated, start);

        let start = Instant::now();
        let unassociated = campus.roam(&campus.home)?;
        campus.await_home()?;
        talk.goes_on().context("at home again")?;
        talk.report(&format!("{round} roam home"), unassociated, start);
    }
    let start = Instant::now();
    campus.roam(&campus.visited)?;
    campus.await_visit(start)?;
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
    talk.report("restart of hostapd", start.elapsed(), start);
    is_served_by_tc(&campus.visited)
}

/// What the station does all the time.
struct Talk {
    connection: Connection,
    pings: PingStream,
}

impl Talk {
    fn begin(campus: &Campus) -> Result<Self> {
        let station = campus.station.host.namespace();
        let connection = Connection::open(station, campus.correspondent.namespace(), CORRESPONDENT)?;
        let talk = Self { connection, pings: PingStream::start(station, CORRESPONDENT, PING_INTERVAL)? };
        talk.goes_on().context("at home")?;
        Ok(talk)
    }

    /// Waits until fresh bytes and an answer to a fresh ping have arrived.
    fn goes_on(&self) -> Result<()> {
        let start = Instant::now();
        self.connection.progresses(PROGRESS, PATIENCE)?.context("TCP stands still")?;
        mipd_lab::wait::until(PATIENCE, || Ok(self.pings.answered_since(start)))?.context("no ping is answered")?;
        Ok(())
    }

    fn report(&self, step: &str, unassociated: Duration, since: Instant) {
        let outage = self.pings.during(since, Instant::now()).outage;
        println!("{step}: associated after {} ms, outage {} ms", unassociated.as_millis(), outage.as_millis());
    }

    /// Compares what both ends have sent and received.
    fn end(self) -> Result<()> {
        let outcome = self.connection.finish(PATIENCE)?;
        ensure!(outcome.intact, "the two ends saw different bytes: {outcome:?}");
        Ok(())
    }
}
