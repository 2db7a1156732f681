//! From the captures of all wires to what each roam took.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use mipd_common::mac::MacAddress;

use super::frames::{Content, Frame, Segment};
use crate::deployment::Place;

/// What was on the wires, by their names.
pub(super) type Wires = BTreeMap<&'static str, Vec<Frame>>;

/// A move of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roam {
    /// When the client began to leave the last place, since the Unix epoch.
    pub left: Duration,
    pub to: Place,
}

/// The wires around a place: what the radio reaches, the LAN, and the router's towards the core.
pub(super) fn wires_of(place: Place) -> (&'static str, &'static str, &'static str) {
    match place {
        Place::Home => ("air-home-ap", "lan1", "core1"),
        Place::Visited1Ap1 => ("air-ap1", "lan2", "core2"),
        Place::Visited1Ap2 => ("air-ap2", "lan2", "core2"),
        Place::Visited2 => ("air-ap3", "lan3", "core3"),
    }
}

/// Where the time of a roam went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// From the client's first frame to its first forwarded packet.
    pub total: Duration,
    /// To the request: noticed, looked up, signed, sent.
    pub notice: Duration,
    /// In the foreign agent, there and back.
    pub foreign_agent: Duration,
    /// Between the agents, there and back.
    pub network: Duration,
    /// In the home agent.
    pub home_agent: Duration,
    /// From the reply at the access point to the first forwarded packet: checked, map written, packets released.
    pub release: Duration,
    /// How many requests it took.
    pub requests: usize,
}

/// Frames of one roam: from when the client left the last place to when it left this one.
fn during<'a>(wires: &'a Wires, wire: &str, from: Duration, to: Duration) -> &'a [Frame] {
    let frames = wires.get(wire).map_or(&[][..], Vec::as_slice);
    let place = |at: Duration| frames.partition_point(|frame| frame.at < at);
    &frames[place(from)..place(to)]
}

fn time_of(frames: &[Frame], wanted: Content) -> Option<Duration> {
    frames.iter().find(|frame| frame.content == wanted).map(|frame| frame.at)
}

/// What a roam into a visited network took; `None` if the captures lack a part of it.
pub(super) fn visit(wires: &Wires, client: MacAddress, roam: Roam, end: Duration) -> Option<Visit> {
    let (air, lan, core) = wires_of(roam.to);
    let [air, lan, core, home] = [air, lan, core, "core1"].map(|wire| during(wires, wire, roam.left, end));
    let begin = air.iter().find(|frame| frame.link.source == client)?.at;
    let requests = lan.iter().filter(|frame| matches!(frame.content, Content::Request(_))).count();
    let first_request = lan.iter().find(|frame| matches!(frame.content, Content::Request(_)))?.at;
    let (id, replied) = lan.iter().find_map(|frame| match frame.content {
        Content::Reply(id, true) if frame.link.destination == client => Some((id, frame.at)),
        _ => None,
    })?;
    let asked = time_of(lan, Content::Request(id))?;
    let reply = Content::Reply(id, true);
    let [relayed, at_home] = [core, home].map(|wire| time_of(wire, Content::Request(id)));
    let [back, answered] = [core, home].map(|wire| time_of(wire, reply));
    let (relayed, at_home, answered, back) = (relayed?, at_home?, answered?, back?);
    let is_forwarded = |frame: &&Frame| {
        frame.at >= replied && frame.link.source == client && matches!(frame.content, Content::Segment(_))
    };
    let forwarded = lan.iter().find(is_forwarded)?.at;
    let between = |from: Duration, to: Duration| to.saturating_sub(from);
    Some(Visit {
        total: between(begin, forwarded),
        notice: between(begin, first_request),
        foreign_agent: between(asked, relayed) + between(back, replied),
        network: between(relayed, at_home) + between(answered, back),
        home_agent: between(at_home, answered),
        release: between(replied, forwarded),
        requests,
    })
}

/// From the client's first frame at home to the home agent's word that its binding has ended.
pub(super) fn home_coming(wires: &Wires, client: MacAddress, roam: Roam, end: Duration) -> Option<Duration> {
    let (air, lan, _) = wires_of(roam.to);
    let begin = during(wires, air, roam.left, end).iter().find(|frame| frame.link.source == client)?.at;
    let replied = bound(wires, lan, roam, end)?;
    Some(replied.saturating_sub(begin))
}

fn bound(wires: &Wires, wire: &str, roam: Roam, end: Duration) -> Option<Duration> {
    let mut frames = during(wires, wire, roam.left, end).iter();
    frames.find(|frame| matches!(frame.content, Content::Reply(_, true))).map(|frame| frame.at)
}

/// Round trips of echoes on a wire.
pub(super) fn round_trips(frames: &[Frame]) -> Vec<Duration> {
    let mut asked = HashMap::new();
    let mut times = Vec::new();
    for frame in frames {
        match frame.content {
            Content::Echo { is_reply: false, number } => {
                asked.insert(number, frame.at);
            }
            Content::Echo { is_reply: true, number } => {
                times.extend(asked.remove(&number).map(|at| frame.at.saturating_sub(at)));
            }
            _ => {}
        }
    }
    times
}

/// What became of the packets of the TCP connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// Packets that the client sent to an access point.
    pub sent_up: u64,
    /// Of these, packets that never reached the correspondent's wire.
    pub lost_up: u64,
    /// Pieces of data that the client sent again.
    pub repeated_up: u64,
    /// Packets that the correspondent sent.
    pub sent_down: u64,
    /// For each roam, those lost between the client's leaving and the home agent's reply.
    pub lost_down: Vec<f64>,
    /// Those lost between the home agent's reply and the foreign agent's, until which it does not know the visitor.
    pub lost_down_at_foreign_agent: u64,
    /// All other lost ones.
    pub lost_down_otherwise: u64,
}

/// A roam as the way down sees it.
#[derive(Clone, Copy)]
struct Gap {
    /// The client began to leave.
    left: Duration,
    /// The home agent has replied.
    bound: Duration,
    /// The foreign agent has.
    visiting: Duration,
}

/// Follows every packet of the connection.
pub(super) fn losses(wires: &Wires, client: MacAddress, roams: &[Roam], end: Duration) -> Losses {
    let airs = ["air-home-ap", "air-ap1", "air-ap3"];
    let frames =
        |names: &[&'static str]| -> Vec<&Frame> { names.iter().filter_map(|name| wires.get(name)).flatten().collect() };
    let segment = |frame: &Frame| match frame.content {
        Content::Segment(segment) => Some(segment),
        _ => None,
    };
    let on_air = frames(&airs);
    let at_correspondent = frames(&["cn"]);
    let is_over = |at: Duration| at >= end;
    let mut losses = Losses::default();

    let arrived_up: HashSet<Segment> = at_correspondent.iter().filter_map(|frame| segment(frame)).collect();
    let mut data = HashSet::new();
    for frame in on_air.iter().filter(|frame| frame.link.source == client && !is_over(frame.at)) {
        let Some(sent) = segment(frame) else { continue };
        losses.sent_up += 1;
        losses.lost_up += u64::from(!arrived_up.contains(&sent));
        losses.repeated_up += u64::from(sent.data().is_some_and(|begin| !data.insert(begin)));
    }

    let down = |frame: &&&Frame| frame.link.destination == client;
    let arrived_down: HashSet<Segment> = on_air.iter().filter(down).filter_map(|frame| segment(frame)).collect();
    let ours: HashSet<Segment> =
        on_air.iter().filter(|frame| frame.link.source == client).filter_map(|frame| segment(frame)).collect();
    let gaps: Vec<Gap> = roams
        .iter()
        .enumerate()
        .map(|(index, roam)| {
            let next = roams.get(index + 1).map_or(end, |next| next.left);
            let of_home_agent = if roam.to == Place::Home { "lan1" } else { "core1" };
            let at = |wire| bound(wires, wire, *roam, next).unwrap_or(next);
            Gap { left: roam.left, bound: at(of_home_agent), visiting: at(wires_of(roam.to).1) }
        })
        .collect();
    losses.lost_down = vec![0.0; roams.len()];
    for frame in at_correspondent.iter().filter(|frame| !is_over(frame.at)) {
        let Some(sent) = segment(frame).filter(|sent| !ours.contains(sent)) else { continue };
        losses.sent_down += 1;
        if !arrived_down.contains(&sent) {
            let index = gaps.partition_point(|gap| gap.left <= frame.at + IN_FLIGHT).checked_sub(1);
            match index.map(|index| (index, gaps[index])) {
                Some((index, gap)) if frame.at <= gap.bound => losses.lost_down[index] += 1.0,
                Some((_, gap)) if frame.at <= gap.visiting => losses.lost_down_at_foreign_agent += 1,
                _ => losses.lost_down_otherwise += 1,
            }
        }
    }
    losses
}

/// A packet that has just passed the correspondent's wire has not reached the client yet when it leaves.
const IN_FLIGHT: Duration = Duration::from_millis(5);
