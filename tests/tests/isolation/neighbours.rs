//! Visitors at one access point who talk with each other, and with hosts of the visited network.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::meeting::{Homes, Meeting, Options, VISITED_HOST};
use mipd_lab::traffic::ping::reach;
use mipd_lab::traffic::tcp::Connection;
use mipd_lab::{Host, Namespace};

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
const ANNA: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const BERT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);
const CARL: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 100);

#[test]
fn visitors_and_local_hosts_talk_through_the_foreign_agent_by_xdp_without_reverse_tunnels() -> Result<()> {
    talk("talkxdp", FastPath::Auto, false)
}

#[test]
fn visitors_and_local_hosts_talk_through_the_foreign_agent_by_xdp_with_reverse_tunnels() -> Result<()> {
    talk("talkxdprt", FastPath::Auto, true)
}

#[test]
fn visitors_and_local_hosts_talk_through_the_foreign_agent_by_tc_with_reverse_tunnels() -> Result<()> {
    talk("talktcrt", FastPath::Tc, true)
}

#[test]
fn visitors_and_local_hosts_talk_through_the_foreign_agent_by_the_kernel_without_reverse_tunnels() -> Result<()> {
    talk("talkoff", FastPath::Off, false)
}

#[test]
fn visitors_and_local_hosts_talk_through_the_foreign_agent_by_the_kernel_with_reverse_tunnels() -> Result<()> {
    talk("talkoffrt", FastPath::Off, true)
}

fn talk(label: &str, fast_path: FastPath, reverse_tunnel: bool) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { reverse_tunnel, ..Settings::new(fast_path) };
    let mut meeting = Meeting::set_up(label, Homes::Apart, &settings, &Options::default())?;
    meeting.capture(&["visited", "air-1", "air-2", "core3"])?;
    let anna = meeting.guest("anna", 0, ANNA, 0xa)?;
    let bert = meeting.guest("bert", 0, BERT, 0xb)?;
    let carl = meeting.guest("carl", 1, CARL, 0xc)?;

    let host = &meeting.visited_host;
    let pairs: [(&Host, Ipv4Addr, &Host, Ipv4Addr); 4] = [
        (&anna.host, ANNA, &bert.host, BERT),
        (&bert.host, BERT, &carl.host, CARL),
        (&carl.host, CARL, &anna.host, ANNA),
        (&anna.host, ANNA, host, VISITED_HOST),
    ];
    for (one, address, other, others_address) in pairs {
        let what = || format!("{} and {}", one.name(), other.name());
        both_ways(one.namespace(), others_address, other.namespace(), address).with_context(what)?;
        let connection = Connection::open(one.namespace(), other.namespace(), others_address).with_context(what)?;
        connection.progresses(PROGRESS, PATIENCE)?.with_context(|| format!("{}: TCP stands still", what()))?;
        ensure!(connection.finish(PATIENCE)?.intact, "{}: not what was sent", what());
    }
    meeting.healthy()?;

    for (wire, file) in meeting.stop_captures()? {
        // Whatever a visitor sends goes to the foreign agent, though the other one is on the same air.
        let straight = "ip && eth.src[0:5] == 02:c1:1e:00:00 && eth.dst[0:5] == 02:c1:1e:00:00";
        ensure!(file.count(straight)? == 0, "visitors' frames straight to each other on {wire}");
        let unreachable = file.count("icmp.type == 3 && icmp.code != 4")?;
        ensure!(unreachable == 0, "{unreachable} ICMP errors on {wire}");
    }
    Ok(())
}

fn both_ways(one: &Namespace, others_address: Ipv4Addr, other: &Namespace, address: Ipv4Addr) -> Result<()> {
    reach(one, others_address, PATIENCE)?.with_context(|| format!("no answer from {others_address}"))?;
    reach(other, address, PATIENCE)?.with_context(|| format!("no answer from {address}"))?;
    Ok(())
}
