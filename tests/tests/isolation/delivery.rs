//! Encapsulating delivery from a client's socket to its home link and back.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::meeting::{Homes, Meeting, Options};
use mipd_lab::traffic::tcp::Connection;

use super::datagrams::{PORT, Shape, send};

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
const ANNA: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const GROUPS: [Ipv4Addr; 3] = [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 1, 0, 255), Ipv4Addr::new(239, 255, 255, 250)];

#[test]
fn a_client_s_broadcasts_reach_its_home_link_by_xdp_when_they_are_wrapped() -> Result<()> {
    wrapped("delivxdp", FastPath::Auto)
}

#[test]
fn a_client_s_broadcasts_reach_its_home_link_by_the_kernel_when_they_are_wrapped() -> Result<()> {
    wrapped("delivoff", FastPath::Off)
}

fn wrapped(label: &str, fast_path: FastPath) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { reverse_tunnel: true, ..Settings::new(fast_path) };
    let encapsulating = "delivery = \"encapsulating\"\n".to_owned();
    let options = Options { access_point: encapsulating.clone(), foreign_agent: encapsulating };
    let mut meeting = Meeting::set_up(label, Homes::Apart, &settings, &options)?;
    meeting.capture(&["home1", "visited", "air-1"])?;
    let anna = meeting.guest("anna", 0, ANNA, 0xa)?;

    let address = meeting.correspondent_address(0);
    let connection = Connection::open(anna.host.namespace(), meeting.correspondents[0].namespace(), address)?;
    connection.progresses(PROGRESS, PATIENCE)?.context("TCP stands still")?;
    let count = meeting.foreign_agent.counter("reverse_encapsulated")?;
    let mouth = anna.host.namespace().enter(|| UdpSocket::bind((ANNA, 0)))??;
    mouth.set_broadcast(true)?;
    for group in GROUPS {
        mouth.send_to(b"is anybody home?", (group, PORT))?;
    }
    // Without "don't fragment", and too large for the wrapper.
    send(&anna.host, address, 7, Shape::Long(1450))?;
    meeting.counted(&meeting.foreign_agent, "reverse_encapsulated", count + 4)?;
    ensure!(connection.finish(PATIENCE)?.intact, "not what was sent");
    meeting.healthy()?;

    for (wire, file) in meeting.stop_captures()? {
        let sent = "eth.src == 02:c1:1e:00:00:0a && ip && !(udp.port == 434)";
        match wire {
            "home1" => {
                for group in GROUPS {
                    let heard = file.count(&format!("ip.dst == {group} && ip.src == {ANNA} && udp.port == {PORT}"))?;
                    ensure!(heard == 1, "{group} is heard {heard} times at home");
                }
            }
            "visited" => {
                let plain = file.count(&format!("{sent} && !(ip.proto == 4)"))?;
                ensure!(plain == 0, "{plain} packets of the client on the visited network are not wrapped");
                ensure!(
                    file.count(&format!("{sent} && ip.dst == 10.2.0.1"))? > 10,
                    "the client's packets are not there"
                );
            }
            _ => ensure!(file.count("ip.proto == 4")? == 0, "a wrapper is on the air"),
        }
    }
    Ok(())
}

#[test]
fn a_client_s_broadcasts_are_dropped_unless_agreed_otherwise() -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { reverse_tunnel: true, ..Settings::new(FastPath::Auto) };
    let mut meeting = Meeting::set_up("delivno", Homes::Apart, &settings, &Options::default())?;
    meeting.capture(&["home1", "visited"])?;
    let anna = meeting.guest("anna", 0, ANNA, 0xa)?;
    let mouth = anna.host.namespace().enter(|| UdpSocket::bind((ANNA, 0)))??;
    mouth.set_broadcast(true)?;
    for (sent, group) in (0..).zip(GROUPS) {
        mouth.send_to(b"is anybody home?", (group, PORT))?;
        meeting.counted(&meeting.access_point, "dropped_broadcast", sent)?;
    }
    for (wire, file) in meeting.stop_captures()? {
        ensure!(file.count(&format!("udp.port == {PORT}"))? == 0, "a broadcast on {wire}");
    }
    Ok(())
}
