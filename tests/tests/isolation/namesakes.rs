//! Two visitors with the same home address, from two home networks, at one access point and one foreign agent.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_lab::agent::config::{FastPath, Settings};
use mipd_lab::meeting::{Homes, Meeting, Options, guest_mac};
use mipd_lab::traffic::ping::reach;
use mipd_lab::traffic::tcp::Connection;

use super::datagrams::{Ear, Shape, arrive, send};

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS: u64 = 100_000;
/// Everybody's address.
const SHARED: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const SHAPES: [Shape; 4] = [Shape::Plain, Shape::Options, Shape::Long(1400), Shape::Long(4000)];

#[test]
fn two_visitors_with_the_same_address_do_not_notice_each_other_by_xdp() -> Result<()> {
    side_by_side("samexdp", Homes::Overlapping, FastPath::Auto, true, [0, 1])
}

#[test]
fn two_visitors_with_the_same_address_do_not_notice_each_other_by_tc() -> Result<()> {
    side_by_side("sametc", Homes::Overlapping, FastPath::Tc, true, [1, 0])
}

#[test]
fn two_visitors_with_the_same_address_do_not_notice_each_other_by_the_kernel() -> Result<()> {
    side_by_side("sameoff", Homes::Overlapping, FastPath::Off, true, [0, 1])
}

#[test]
fn two_visitors_with_the_same_address_do_not_notice_each_other_without_reverse_tunnels() -> Result<()> {
    side_by_side("sameplain", Homes::Overlapping, FastPath::Auto, false, [1, 0])
}

#[test]
fn a_visitor_at_home_on_the_foreign_agents_box_and_its_namesake_do_not_notice_each_other_by_xdp() -> Result<()> {
    side_by_side("samenearxdp", Homes::OverlappingAndNear, FastPath::Auto, true, [0, 1])
}

#[test]
fn a_visitor_at_home_on_the_foreign_agents_box_and_its_namesake_do_not_notice_each_other_by_the_kernel() -> Result<()> {
    side_by_side("samenearoff", Homes::OverlappingAndNear, FastPath::Off, true, [1, 0])
}

/// Whoever of the two comes first has the kernel's entries.
fn side_by_side(label: &str, homes: Homes, fast_path: FastPath, reverse_tunnel: bool, order: [usize; 2]) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let settings = Settings { reverse_tunnel, lifetime: "12s".to_owned(), ..Settings::new(fast_path) };
    let mut meeting = Meeting::set_up(label, homes, &settings, &Options::default())?;
    meeting.capture(&["visited", "air-1", "air-2"])?;
    let mut guests = Vec::new();
    for home in order {
        guests.push(meeting.guest(&format!("guest-{home}"), home, SHARED, home as u8 + 1)?);
    }
    if order[0] == 1 {
        guests.reverse();
    }
    let visitors = meeting.visitors(SHARED)?;
    ensure!(visitors.len() == 2 && visitors[0]["home_agent"] != visitors[1]["home_agent"], "{visitors:?}");

    // Both at the same time, on the same port.
    let connect = |home: usize| {
        let (guest, correspondent) = (&guests[home], &meeting.correspondents[home]);
        let address = meeting.correspondent_address(home);
        Connection::open(guest.host.namespace(), correspondent.namespace(), address)
    };
    let connections = [connect(0)?, connect(1)?];
    for connection in &connections {
        connection.progresses(PROGRESS, PATIENCE)?.context("TCP stands still")?;
    }
    let ears = [Ear::open(&guests[0].host)?, Ear::open(&guests[1].host)?];
    for (home, ear) in ears.iter().enumerate() {
        arrive(&meeting.correspondents[home], SHARED, home as u8 + 1, ear, &SHAPES)?;
    }
    for connection in connections {
        let outcome = connection.finish(PATIENCE)?;
        ensure!(outcome.intact, "{outcome:?}");
    }

    // The tunnel packets themselves in fragments.
    let narrow = Command::new("ip").args(["link", "set", "to-3", "mtu", "1400"]).output_in(&meeting)?;
    ensure!(narrow.is_empty(), "{narrow}");
    for (home, ear) in ears.iter().enumerate() {
        arrive(&meeting.correspondents[home], SHARED, home as u8 + 1, ear, &[Shape::Long(1440), Shape::Long(3000)])?;
    }

    // The second one's TTL expires at the foreign agent. The kernel would not know whom to tell.
    let second = order[1];
    if homes != Homes::OverlappingAndNear {
        let before = meeting.foreign_agent.counter("dropped_ttl")?;
        send(&meeting.correspondents[second], SHARED, 99, Shape::Ttl(2))?;
        meeting.counted(&meeting.foreign_agent, "dropped_ttl", before)?;
    }

    // The first one leaves, and the second one inherits.
    let first = order[0];
    guests[first].leave()?;
    meeting.await_that("the visitor's end", || Ok(meeting.visitors(SHARED)?.len() == 1))?;
    arrive(&meeting.correspondents[second], SHARED, second as u8 + 1, &ears[second], &SHAPES)?;
    reach(guests[second].host.namespace(), meeting.correspondent_address(second), PATIENCE)?
        .context("the second one is cut off")?;
    let late = ears[first].heard();
    ensure!(late.iter().all(|(whose, _)| usize::from(*whose) == first + 1), "the first one hears the second: {late:?}");
    meeting.healthy()?;

    for (wire, file) in meeting.stop_captures()? {
        for (home, other) in [(0_usize, 1), (1, 0)] {
            let [.., last] = guest_mac(home as u8 + 1);
            let theirs = meeting.correspondent_address(other);
            let whose = match wire {
                "visited" => format!("eth.addr == 02:c1:1e:00:00:{last:02x}"),
                "air-1" if home == 0 => "frame".to_owned(),
                "air-2" if home == 1 => "frame".to_owned(),
                _ => continue,
            };
            let crossed = file.count(&format!("{whose} && ip.addr == {theirs} && !icmp"))?;
            ensure!(crossed == 0, "{crossed} packets of guest {other} at guest {home} on {wire}");
        }
    }
    Ok(())
}

/// A command on the core router.
trait OnCore {
    fn output_in(&mut self, meeting: &Meeting) -> Result<String>;
}

impl OnCore for Command {
    fn output_in(&mut self, meeting: &Meeting) -> Result<String> {
        let output = meeting.core.namespace().output(self)?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}
