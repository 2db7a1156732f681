//! How long a client that moves is cut off, and where the time goes.
//!
//! The agents are not asked: `frames` reads the captures of all wires, `story` makes of them what each roam took and what was lost.

mod frames;
mod story;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use mipd_agent::wire::frame::layer_2_update;
use mipd_common::mac::MacAddress;

use self::story::{Roam, Visit, Wires};
use super::{
    arguments,
    report::{Benchmark, Report, quantile},
};
use crate::{
    agent::config::{FastPath, Settings},
    capture::Capture,
    deployment::{Deployment, Place},
    radio::Carrier,
    topology::CLIENT_MAC,
    traffic::{frames::FramePort, ping::PingStream},
};

const CLIENT: MacAddress = MacAddress(CLIENT_MAC);
/// How often the client goes from one visited network to the other and back before it is at home again: no client may register
/// with one access point more than once per second on average, and at home that counts on when it has been away.
const ROUNDS: usize = 40;
/// Wires, and what is captured there.
const CAPTURES: [(&str, Filter); 10] = [
    ("air-home-ap", Filter::Client),
    ("air-ap1", Filter::Client),
    ("air-ap3", Filter::Client),
    ("lan1", Filter::Client),
    ("lan2", Filter::Client),
    ("lan3", Filter::Client),
    ("core1", Filter::Registrations),
    ("core2", Filter::Registrations),
    ("core3", Filter::Registrations),
    ("cn", Filter::Connection),
];
const HOME_AGENT: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 1, 0, 1);
const ECHO_INTERVAL: Duration = Duration::from_millis(20);
/// What must arrive each way before the client goes on.
const PROGRESS: u64 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);
/// A roam may take so much longer than a round trip to the home agent.
const GOAL_BEYOND_ROUND_TRIP_MS: f64 = 5.0;
/// Until everything that is under way has arrived.
const SETTLING: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
enum Filter {
    /// The client's frames, registrations and echoes.
    Client,
    Registrations,
    Connection,
}

impl Filter {
    fn text(self) -> &'static str {
        match self {
            Self::Client => "(ether host 02:c1:1e:00:00:64 and (ip or arp)) or udp port 434 or icmp",
            Self::Registrations => "udp port 434",
            Self::Connection => "tcp and host 10.1.0.100",
        }
    }
}

/// Has a client roam, and reports.
pub(super) fn measure(arguments: &arguments::Roam, report: &mut Report) -> Result<()> {
    let mut deployment = Deployment::build("roam", &Settings::new(FastPath::Auto))?;
    deployment.agents.start()?;
    let directory = deployment.campus.lab.directory();
    let captures = CAPTURES
        .iter()
        .map(|(wire, filter)| {
            let file = directory.join(format!("{wire}.pcap"));
            Ok((*wire, Capture::headers(&deployment.campus.lab, wire, &file, filter.text())?))
        })
        .collect::<Result<Vec<_>>>()?;
    let (roams, end) = walk(&deployment, arguments.roams)?;
    std::thread::sleep(SETTLING);
    let wires = captures
        .into_iter()
        .map(|(wire, capture)| Ok((wire, frames::read(&capture.take_headers()?))))
        .collect::<Result<Wires>>()?;
    deployment.agents.stop()?;
    tell(&wires, &roams, end, report)
}

/// The client's way, until it has come into visited networks so often. Gives each roam, and when the last stay ended.
fn walk(deployment: &Deployment, visits: u32) -> Result<(Vec<Roam>, Duration)> {
    let campus = &deployment.campus;
    // What a wired host says in the client's name: as if it were behind another access point of that subnet. So the access
    // point that the client left forgets it, and finds it new when it comes again.
    let elsewhere = [(Place::Visited1Ap1, &campus.visited1_host), (Place::Visited2, &campus.visited2_host)];
    let elsewhere = elsewhere.map(|(place, host)| FramePort::open(host, "eth0").map(|port| (place, port)));
    let elsewhere = elsewhere.into_iter().collect::<Result<Vec<_>>>()?;
    let ping = |host: &crate::Host| PingStream::start(host.namespace(), HOME_AGENT, ECHO_INTERVAL);
    let _echoes = [ping(&campus.ap1.host)?, ping(&campus.ap3.host)?];
    let connection = crate::traffic::tcp::Connection::open(
        campus.client.host.namespace(),
        campus.correspondent.namespace(),
        crate::topology::CORRESPONDENT,
    )?;
    connection.progresses(PROGRESS, PATIENCE)?.context("no data flows at home")?;

    let (mut roams, mut done) = (Vec::new(), 0);
    let stops = [Place::Visited1Ap1, Place::Visited2].into_iter().cycle().take(2 * ROUNDS).chain([Place::Home]);
    for to in stops.cycle() {
        let from = roams.last().map_or(Place::Home, |roam: &Roam| roam.to);
        roams.push(Roam { left: now()?, to });
        campus.client.roam(deployment.air(to), Carrier::Kept)?;
        // Long before it comes again.
        if let Some((_, port)) = elsewhere.iter().find(|(place, _)| *place == from) {
            port.send(&layer_2_update(CLIENT))?;
        }
        let flows = connection.progresses(PROGRESS, PATIENCE)?;
        flows.with_context(|| format!("no data flows from {}, roam {}", to.label(), roams.len()))?;
        done += u32::from(to != Place::Home);
        if done == visits {
            break;
        }
    }
    let end = now()?;
    let outcome = connection.finish(PATIENCE)?;
    ensure!(outcome.intact, "the two ends of the connection saw different bytes: {outcome:?}");
    Ok((roams, end))
}

fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn tell(wires: &Wires, roams: &[Roam], end: Duration, report: &mut Report) -> Result<()> {
    let ends = roams.iter().skip(1).map(|next| next.left).chain([end]);
    let stays: Vec<(Roam, Duration)> = roams.iter().copied().zip(ends).collect();
    let (home, visited): (Vec<_>, Vec<_>) = stays.iter().copied().partition(|(roam, _)| roam.to == Place::Home);
    let visits: Vec<Visit> =
        visited.iter().filter_map(|(roam, end)| story::visit(wires, CLIENT, *roam, *end)).collect();
    let untold = visited.len() - visits.len();
    ensure!(untold * 100 <= visited.len(), "{untold} of {} roams cannot be followed in the captures", visited.len());
    let mut echoes: Vec<f64> =
        ["lan2", "lan3"].iter().flat_map(|wire| story::round_trips(&wires[wire])).map(milliseconds).collect();
    ensure!(!echoes.is_empty(), "no echo from the home agent");
    let round_trip = quantile(&mut echoes, 0.5);
    let of = |part: fn(&Visit) -> Duration| visits.iter().map(|visit| milliseconds(part(visit))).collect::<Vec<_>>();

    add(report, "round-trip-to-home-agent", echoes);
    add(report, "visited/first-packet", of(|visit| visit.total));
    let mut beyond: Vec<f64> = of(|visit| visit.total).into_iter().map(|total| total - round_trip).collect();
    let worst = quantile(&mut beyond, 0.99);
    report.add(Benchmark {
        name: "roam/visited/beyond-round-trip-p99".into(),
        unit: "ms".into(),
        p50: worst,
        p99: worst,
        goal: Some(GOAL_BEYOND_ROUND_TRIP_MS),
        compared_with: [("p50".into(), quantile(&mut beyond, 0.5))].into(),
        ..Benchmark::default()
    });
    add(report, "visited/part/access-point-notices-and-asks", of(|visit| visit.notice));
    add(report, "visited/part/foreign-agent", of(|visit| visit.foreign_agent));
    add(report, "visited/part/network", of(|visit| visit.network));
    add(report, "visited/part/home-agent", of(|visit| visit.home_agent));
    add(report, "visited/part/access-point-writes-and-releases", of(|visit| visit.release));
    let home: Vec<f64> = home
        .iter()
        .filter_map(|(roam, end)| story::home_coming(wires, CLIENT, *roam, *end))
        .map(milliseconds)
        .collect();
    if !home.is_empty() {
        add(report, "home/binding-ended", home);
    }
    let requests = visits.iter().filter(|visit| visit.requests > 1).count();
    count(report, "visited/with-more-than-one-request", requests as u64, visits.len() as u64, None);

    let mut losses = story::losses(wires, CLIENT, roams, end);
    count(report, "packets/lost-up", losses.lost_up, losses.sent_up, Some(0.0));
    count(report, "packets/repeated-up", losses.repeated_up, losses.sent_up, None);
    let at_foreign_agent = losses.lost_down_at_foreign_agent;
    count(report, "packets/lost-down-before-foreign-agent-knows", at_foreign_agent, losses.sent_down, None);
    count(report, "packets/lost-down-otherwise", losses.lost_down_otherwise, losses.sent_down, Some(0.0));
    report.add(Benchmark {
        name: "roam/packets/lost-down-per-roam".into(),
        unit: "packets".into(),
        p50: quantile(&mut losses.lost_down, 0.5),
        p99: quantile(&mut losses.lost_down, 0.99),
        ..Benchmark::default()
    });
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn add(report: &mut Report, name: &str, mut values: Vec<f64>) {
    let compared_with = [
        ("p90".into(), quantile(&mut values, 0.9)),
        ("max".into(), quantile(&mut values, 1.0)),
        ("count".into(), values.len() as f64),
    ];
    report.add(Benchmark {
        name: format!("roam/{name}"),
        unit: "ms".into(),
        p50: quantile(&mut values, 0.5),
        p99: quantile(&mut values, 0.99),
        compared_with: compared_with.into(),
        ..Benchmark::default()
    });
}

/// A number of all roams together.
fn count(report: &mut Report, name: &str, number: u64, of: u64, goal: Option<f64>) {
    report.add(Benchmark {
        name: format!("roam/{name}"),
        unit: "packets".into(),
        p50: number as f64,
        p99: number as f64,
        goal,
        compared_with: [("of".into(), of as f64)].into(),
        ..Benchmark::default()
    });
}
