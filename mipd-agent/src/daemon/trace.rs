//! The answers to `mipd trace`: what each role knows of one client, in order of time.

use std::{
    net::Ipv4Addr,
    time::{Duration, UNIX_EPOCH},
};

use mipd_common::mac::MacAddress;

use super::{Daemon, clock::NTP_TO_UNIX};
use crate::{
    control::{
        Response,
        trace::{Subject, TraceStep},
    },
    mobility::{
        home_agent::MobilityBinding,
        proxy::{Departure, NoticedBy, Step, Trail},
        security::ViolationLog,
        time::{Instant, Now},
    },
    wire::types::{HomeAddress, Identification, Lifetime, ReplyCode},
};

impl Daemon {
    /// The story of one client.
    pub(super) fn trace(&self, subject: Subject) -> Response {
        let now = self.clock.now();
        let mut steps = self.trails(subject);
        // What the agents know goes by the address, which the access point may know for a MAC.
        let mut addresses: Vec<Ipv4Addr> = match subject {
            Subject::Address(address) => vec![address],
            Subject::Mac(_) => steps.iter().filter_map(|step| step.home_address).collect(),
        };
        addresses.sort_unstable();
        addresses.dedup();
        for address in &addresses {
            self.trace_bindings(now, HomeAddress(*address), &mut steps);
            self.trace_violations(now, HomeAddress(*address), &mut steps);
        }
        self.trace_visitors(now, subject, &mut steps);
        // Stable: steps of one moment stay in their order.
        steps.sort_by(|a, b| a.time.cmp(&b.time));
        if steps.is_empty() {
            let message = format!(
                "nothing is known of {subject} here: no role of this box has seen that client within the last day, \
                 or its record had to make room"
            );
            return Response::Refused { message };
        }
        Response::Trace { steps }
    }

    fn trails(&self, subject: Subject) -> Vec<TraceStep> {
        let Some(access_point) = &self.access_point else { return Vec::new() };
        let trails = access_point.proxy.trails();
        let found: Vec<(MacAddress, &Trail)> = match subject {
            Subject::Mac(mac) => trails.of(mac).map(|trail| (mac, trail)).into_iter().collect(),
            Subject::Address(address) => trails.with_address(HomeAddress(address)).collect(),
        };
        let mut steps = Vec::new();
        for (mac, trail) in found {
            // Steps from before a change of address are of the one before: it is named where it was noticed.
            let mut address = None;
            for entry in trail.entries() {
                if let Step::Noticed { address: noticed, .. } = entry.step {
                    address = Some(noticed.0);
                }
                steps.push(TraceStep {
                    time: time(entry.wall),
                    role: "access_point".into(),
                    mac: Some(mac.to_string()),
                    home_address: address.or(Some(trail.address.0)),
                    ..self.describe(&entry.step)
                });
            }
        }
        steps
    }

    fn describe(&self, step: &Step) -> TraceStep {
        let told = |step: &str, text: String| TraceStep { step: step.into(), text, ..TraceStep::default() };
        match *step {
            Step::Noticed { by, interface, address, is_local } => {
                let by = match by {
                    NoticedBy::Use => "noticed by its first packet",
                    NoticedBy::Association => "associated",
                    NoticedBy::List => "found to be associated",
                    NoticedBy::Restart => "taken up after a restart of the agent",
                };
                let kind = if is_local { "local" } else { "foreign" };
                told("noticed", format!("{by} on {}: {address}, {kind}", self.name(interface)))
            }
            Step::Returned => told("returned", "spoke after a silence: it may have been elsewhere".into()),
            Step::AssociationAsked => told("association_asked", "RADIUS asked for its security association".into()),
            Step::AssociationTold => told("association_told", "RADIUS told its security association".into()),
            Step::HomeAgentFound { home_agent } => TraceStep {
                home_agent: Some(home_agent.0),
                ..told("home_agent_found", format!("subnet map: its home agent is {home_agent}"))
            },
            Step::Unserved { reason } => told("unserved", format!("not served: {reason}")),
            Step::AgentAwaited => told("agent_awaited", "no foreign agent known: advertisements solicited".into()),
            Step::AgentChanged { agent } => TraceStep {
                agent: Some(agent),
                ..told(
                    "agent_changed",
                    format!("to be registered again: foreign agent {agent} is new, changed or restarted"),
                )
            },
            Step::Dismissed { agent } => TraceStep {
                agent: Some(agent),
                ..told("dismissed", format!("foreign agent {agent} says that its registration is gone"))
            },
            Step::Requested { identification, agent, home_agent, care_of_address, lifetime, is_repeated } => {
                let id = format!("{:016x}", identification.0);
                let again = if is_repeated { " again, the last one is unanswered" } else { "" };
                let text = if lifetime == Lifetime::DEREGISTER {
                    format!("deregistration {id} sent to {agent}{again}")
                } else {
                    format!(
                        "request {id} for {}s sent through foreign agent {agent} to {home_agent}{again}",
                        lifetime.0
                    )
                };
                TraceStep {
                    identification: Some(id),
                    agent: Some(agent),
                    home_agent: Some(home_agent.0),
                    care_of_address: Some(care_of_address.0),
                    ..told("requested", text)
                }
            }
            Step::Answered { code, round_trip } => TraceStep {
                code: Some(code.0),
                duration_ms: Some(milliseconds(round_trip)),
                ..told("answered", answer(code, round_trip))
            },
            Step::Forwarded { agent, after } => TraceStep {
                agent: Some(agent),
                duration_ms: Some(milliseconds(after)),
                ..told("forwarded", format!("forwarded to {agent}, {} after it was noticed", shown(after)))
            },
            Step::Renewed { times, round_trip } => TraceStep {
                duration_ms: Some(milliseconds(round_trip)),
                count: Some(times),
                ..told(
                    "renewed",
                    format!("renewed at the first attempt, {times} in a row, last in {}", shown(round_trip)),
                )
            },
            Step::HeldReleased { frames } => {
                TraceStep { count: Some(frames), ..told("held_released", format!("{frames} held packets sent on")) }
            }
            Step::HeldDropped { frames } => {
                TraceStep { count: Some(frames), ..told("held_dropped", format!("{frames} held packets dropped")) }
            }
            Step::Expired => told("expired", "its registration ran out".into()),
            Step::Asked { times } => TraceStep {
                count: Some(times.into()),
                ..told("asked", format!("silent; asked {times} times since then"))
            },
            Step::Announced => {
                told("announced", "at home: its address announced to the subnet by gratuitous ARP".into())
            }
            Step::AtHome { after } => TraceStep {
                duration_ms: Some(milliseconds(after)),
                ..told(
                    "at_home",
                    format!("its home agent knows that it is home, {} after it was noticed", shown(after)),
                )
            },
            Step::Gone { why } => {
                let why = match why {
                    Departure::Silent => "it no longer answers",
                    Departure::Moved => "its MAC is behind another access point of this subnet",
                    Departure::Disassociated => "it disassociated",
                    Departure::Readdressed => "it has another address now",
                    Departure::TurnedLocal => "it has an address of this subnet now",
                    Departure::Surrendered => "it gave its address back, or its DHCP server refused it",
                    Departure::AnotherRadio => "it went to a radio of another home network",
                    Departure::RadioGone => "the radio that it was behind is gone",
                    Departure::RegisteredElsewhere => "its home agent announced its address: it registered elsewhere",
                    Departure::LinkInterrupted => "the uplink was interrupted: it may have registered elsewhere",
                    Departure::Paused => "the service was paused",
                };
                told("gone", format!("gone: {why}"))
            }
        }
    }

    fn trace_bindings(&self, now: Now, address: HomeAddress, steps: &mut Vec<TraceStep>) {
        let Some(agent) = self.router.as_ref().and_then(|router| router.home_agent.as_ref()) else { return };
        for binding in agent.bindings_of(address) {
            let MobilityBinding { care_of_address, lifetime_granted, source, .. } = binding;
            let bound = TraceStep {
                role: "home_agent".into(),
                mac: binding.device.map(|device| device.to_string()),
                home_address: Some(address.0),
                care_of_address: Some(care_of_address.0),
                home_agent: Some(binding.home_agent.0),
                identification: Some(format!("{:016x}", binding.identification.0)),
                ..TraceStep::default()
            };
            steps.push(TraceStep {
                time: time_at(now, binding.registered_at),
                step: "bound".into(),
                text: format!(
                    "bound to care-of address {care_of_address}, for {} at a time",
                    lasting(*lifetime_granted)
                ),
                ..bound.clone()
            });
            if binding.renewed_at > binding.registered_at {
                steps.push(TraceStep {
                    time: time_at(now, binding.renewed_at),
                    step: "renewed".into(),
                    text: format!("last renewed, by {source}"),
                    ..bound
                });
            }
        }
    }

    fn trace_visitors(&self, now: Now, subject: Subject, steps: &mut Vec<TraceStep>) {
        let Some(agent) = self.router.as_ref().and_then(|router| router.foreign_agent.as_ref()) else { return };
        let is_meant = |address: HomeAddress, mac: MacAddress| match subject {
            Subject::Mac(wanted) => wanted == mac,
            Subject::Address(wanted) => wanted == address.0,
        };
        for visitor in agent.visitors().filter(|visitor| is_meant(visitor.home_address, visitor.requester.mac)) {
            let visit = TraceStep {
                role: "foreign_agent".into(),
                mac: Some(visitor.requester.mac.to_string()),
                home_address: Some(visitor.home_address.0),
                care_of_address: Some(visitor.care_of_address.0),
                home_agent: Some(visitor.home_agent.0),
                identification: Some(format!("{:016x}", visitor.identification.0)),
                ..TraceStep::default()
            };
            let interface = self.name(visitor.requester.interface);
            steps.push(TraceStep {
                time: time_at(now, visitor.registered_at),
                step: "visiting".into(),
                text: format!(
                    "visitor of home agent {} on {interface}, for {} at a time",
                    visitor.home_agent,
                    lasting(visitor.lifetime_granted)
                ),
                ..visit.clone()
            });
            if visitor.renewed_at > visitor.registered_at {
                steps.push(TraceStep {
                    time: time_at(now, visitor.renewed_at),
                    step: "renewed".into(),
                    text: "last renewed".into(),
                    ..visit
                });
            }
        }
        for pending in agent.pending().filter(|one| is_meant(one.request.home_address, one.requester.mac)) {
            steps.push(TraceStep {
                time: time(now.wall),
                role: "foreign_agent".into(),
                mac: Some(pending.requester.mac.to_string()),
                home_address: Some(pending.request.home_address.0),
                home_agent: Some(pending.request.home_agent.0),
                identification: Some(format!("{:016x}", pending.request.identification.0)),
                step: "pending".into(),
                text: format!("its request waits for home agent {} to answer", pending.request.home_agent),
                ..TraceStep::default()
            });
        }
    }

    fn trace_violations(&self, now: Now, address: HomeAddress, steps: &mut Vec<TraceStep>) {
        for (role, log) in self.violation_logs() {
            for violation in log.into_iter().flat_map(ViolationLog::iter).filter(|one| one.home_address == address) {
                steps.push(TraceStep {
                    time: time_at(now, violation.at.instant),
                    role: role.into(),
                    home_address: Some(address.0),
                    identification: Some(format!("{:016x}", violation.identification.0)),
                    step: violation.reason.name().into(),
                    text: format!(
                        "message of {} refused: {}",
                        violation.peer,
                        violation.reason.name().replace('_', " ")
                    ),
                    ..TraceStep::default()
                });
            }
        }
    }
}

fn answer(code: ReplyCode, round_trip: Duration) -> String {
    let accepted = if code.is_accepted() { "accepted" } else { "denied" };
    format!("{accepted} with code {code} after {}", shown(round_trip))
}

fn lasting(lifetime: Lifetime) -> String {
    if lifetime == Lifetime::INFINITE { "ever".into() } else { format!("{}s", lifetime.0) }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn shown(duration: Duration) -> String {
    format!("{:.1}ms", milliseconds(duration))
}

/// A wall-clock time in NTP format, which is within 68 years of the present, as RFC 3339.
fn time(wall: Identification) -> String {
    let seconds = u64::from(wall.seconds()).wrapping_sub(NTP_TO_UNIX) & 0xffff_ffff;
    let nanoseconds = (u64::from(wall.low()) * 1_000_000_000) >> 32;
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::new(seconds, nanoseconds as u32)).to_string()
}

/// A point on the monotonic clock, as RFC 3339.
fn time_at(now: Now, at: Instant) -> String {
    time(now.wall_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_before_and_after_the_wrap_of_2036() {
        assert_eq!(time(Identification(NTP_TO_UNIX << 32 | 0x8000_0000)), "1970-01-01T00:00:00.500000Z");
        let later = (1_800_000_000 + NTP_TO_UNIX) & 0xffff_ffff;
        assert_eq!(time(Identification(later << 32)), "2027-01-15T08:00:00.000000Z");
        let after = (2_300_000_000 + NTP_TO_UNIX) & 0xffff_ffff;
        assert_eq!(time(Identification(after << 32)), "2042-11-19T08:53:20.000000Z");
    }
}
