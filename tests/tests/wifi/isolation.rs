//! Two stations of one BSS: what the programs see of what they say to each other, and what mipd says of that.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv4Net;
use mipd_lab::topology::RADIO;
use mipd_lab::wifi::Security;
use mipd_lab::wifi::campus::{Campus, PATIENCE, Source};
use mipd_lab::wifi::station::Station;

const PINGS: u64 = 20;
const ONE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 51);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 52);

#[test]
fn without_isolation_stations_speak_past_the_access_point_and_mipd_says_so() -> Result<()> {
    if !mipd_lab::wifi::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut campus = Campus::build("wifiiso", Security::Open, Source::FirstPacket)?;
    let neighbour = |name, address| campus.add_neighbour(name, Ipv4Net::new_assert(address, 24), &campus.visited);
    let (one, other) = (neighbour("one", ONE)?, neighbour("other", OTHER)?);
    let reaches = |station: &Station| mipd_lab::traffic::ping::reach(station.host.namespace(), OTHER, PATIENCE);

    // Isolated, and the bridge sends nothing back where it came from: there is no way from one to the other.
    says(&campus, "on", &format!("stations of {RADIO} do not reach each other"))?;
    ensure!(ping(&one)? == (0, PINGS), "isolated stations reach each other, or nobody sees that they try");

    // Isolated, and the bridge does: they speak, and each packet passes the program.
    campus.visited.agent.host().set_hairpin(RADIO, true)?;
    reaches(&one)?.context("the bridge does not send back what came from the radio")?;
    let before = campus.visited.counted("passed_local")?;
    let (answered, _) = ping(&one)?;
    let seen = campus.visited.counted("passed_local")? - before;
    ensure!(answered == PINGS, "{answered} of {PINGS} pings answered over the bridge");
    ensure!(seen >= 2 * PINGS, "the program has seen {seen} packets of {PINGS} pings and their answers");

    // Not isolated: they speak, and the program sees nothing of it.
    campus.network.isolated = false;
    campus.visited.hostapd.configure(&campus.network)?;
    campus.visited.hostapd.stop()?;
    campus.visited.hostapd.run()?;
    for station in [&one, &other] {
        station.await_association(campus.visited.bssid)?;
    }
    reaches(&one)?.context("mac80211 does not hand frames on")?;
    let before = campus.visited.counted("passed_local")?;
    let (answered, _) = ping(&one)?;
    let seen = campus.visited.counted("passed_local")? - before;
    ensure!(answered == PINGS, "{answered} of {PINGS} pings answered in the air");
    ensure!(seen < PINGS, "{seen} packets came by the program, which was to be bypassed");
    says(&campus, "off", "set ap_isolate=1 in hostapd's configuration")
}

/// What `mipd show interfaces` and `mipd check` say.
fn says(campus: &Campus, isolation: &str, advice: &str) -> Result<()> {
    let radio = campus.visited.radio()?;
    ensure!(radio["ap_isolate"] == isolation, "{radio}");
    let check = campus.visited.agent.check()?;
    ensure!(check.contains(advice), "`mipd check` does not say {advice:?}:\n{check}");
    Ok(())
}

/// Pings from one station to the other: how many were answered, and how many were not.
fn ping(from: &Station) -> Result<(u64, u64)> {
    let mut command = Command::new("ping");
    command.args(["-n", "-q", "-i", "0.05", "-W", "2", "-c", &PINGS.to_string(), &OTHER.to_string()]);
    let output = from.host.namespace().output(&mut command).context("cannot run ping")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let received = text.split(", ").find_map(|part| part.strip_suffix(" received")?.parse::<u64>().ok());
    let received = received.with_context(|| format!("ping says {text}"))?;
    Ok((received, PINGS - received))
}
