//! The access point's side of discovery.

use arbitrary::Arbitrary;
use mipd_agent::{
    mobility::discovery::{Listener, ListenerAction},
    wire::{
        advertisement::{ALL_SYSTEMS, AgentAdvertisement, AgentFlags, AgentSolicitation},
        frame::IcmpPacket,
        types::{CareOfAddress, Lifetime},
    },
};
use mipd_common::mac::MacAddress;

use super::{Clock, Counted, Pause, steps};

/// More agents than this are not remembered, whoever advertises.
const MAXIMUM_AGENTS: usize = 32;

#[derive(Arbitrary, Debug)]
enum Step {
    Advertisement {
        agent: u8,
        mac: u8,
        ttl: u8,
        group: bool,
        code: bool,
        lifetime: u16,
        sequence: u16,
        flags: u16,
        care_of: u8,
        prefix: Option<u8>,
    },
    Crowd(u8),
    Bytes(Vec<u8>),
    Pass(Pause),
    Solicit,
    LinkChanged,
}

/// Any sequence of advertisements, pauses and wishes.
pub fn check(data: &[u8]) {
    let mut listener = Listener::new([10, 2, 0, 11].into(), 1);
    let mut clock = Clock::new();
    let mut counted = Counted::default();
    let start = clock.0.instant;
    let (mut solicitations, mut moves) = (0, 0);
    for step in steps(data) {
        let mut actions = Vec::new();
        let now = clock.0.instant;
        match step {
            Step::Advertisement { agent, mac, ttl, group, code, lifetime, sequence, flags, care_of, prefix } => {
                let advertisement = AgentAdvertisement {
                    code: if code { 16 } else { 0 },
                    lifetime,
                    routers: prefix.map(|_| ([10, 2, 0, agent].into(), 0)).into_iter().collect(),
                    sequence,
                    registration_lifetime: Lifetime(600),
                    flags: AgentFlags::from_bits(flags),
                    care_of_addresses: (0..care_of % 3).map(|at| CareOfAddress([10, 2, 0, at].into())).collect(),
                    prefix_lengths: prefix.map(|prefix| prefix % 33).into_iter().collect(),
                    challenge: None,
                };
                let message = advertisement.emit();
                let destination = if group { ALL_SYSTEMS } else { [10, 2, 0, 11].into() };
                let ttl = if ttl < 200 { 1 } else { ttl };
                let packet = IcmpPacket { source: [10, 2, 0, agent].into(), destination, ttl, message: &message };
                let source_mac = MacAddress([2, 0, 0, 0, mac % 2, agent]);
                listener.handle_advertisement(now, source_mac, &packet, &mut actions);
            }
            Step::Crowd(count) => {
                for number in 0..=count {
                    let mut message = crate::decoders::discovery::seeds()[0].clone();
                    message.truncate(message.len());
                    let source = [10, 3, number, 1].into();
                    let packet = IcmpPacket { source, destination: ALL_SYSTEMS, ttl: 1, message: &message };
                    listener.handle_advertisement(now, MacAddress([2, 0, 0, 1, 0, number]), &packet, &mut Vec::new());
                }
            }
            Step::Bytes(message) => {
                let packet =
                    IcmpPacket { source: [10, 2, 0, 1].into(), destination: ALL_SYSTEMS, ttl: 1, message: &message };
                listener.handle_advertisement(now, MacAddress([2, 0, 0, 0, 0, 1]), &packet, &mut actions);
            }
            Step::Pass(pause) => {
                let handle = |listener: &mut Listener, now: mipd_agent::mobility::time::Now| {
                    listener.handle_timeout(now.instant, &mut actions);
                };
                clock.run(pause.duration(), &mut listener, Listener::poll_timeout, handle);
            }
            Step::Solicit => {
                listener.solicit(now);
                moves += 1;
            }
            Step::LinkChanged => {
                listener.link_changed(now);
                moves += 1;
            }
        }
        for action in &actions {
            if let ListenerAction::Solicit { icmp, .. } = action {
                assert_eq!(AgentSolicitation::parse(icmp), Ok(AgentSolicitation));
                solicitations += 1;
            }
        }
        // At most one a second on average (RFC 5944 §2.4), and a burst for each sign of a move.
        let seconds = clock.0.instant.since(start).as_secs();
        assert!(solicitations <= 4 + seconds + moves, "{solicitations} solicitations in {seconds} s and {moves} moves");
        let agents = listener.agents();
        assert!(agents.len() <= MAXIMUM_AGENTS, "{} agents", agents.len());
        assert!(agents.iter().all(|agent| agent.expires >= agent.heard));
        if let Some(agent) = listener.foreign_agent() {
            assert!(agent.advertisement.flags.foreign_agent && !agent.advertisement.care_of_addresses.is_empty());
        }
        counted.check(listener.counters().iter().map(|counter| (counter.name, counter.value)));
    }
}

/// Something of each length.
pub fn seeds() -> Vec<Vec<u8>> {
    super::home_agent::seeds()
}
