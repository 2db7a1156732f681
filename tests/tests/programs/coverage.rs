//! Whether the table reaches everything that a program can say: each counter at each hook, and each combination of what
//! becomes of a packet with what its counter calls that.
//!
//! A counter that no case reaches at a hook needs a case there, or a line in [`NOT_COUNTED_AT`] that says why there is none.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mipd_common::maps::{Action, Counter, hook};
use mipd_lab::packets::expect::Fate;

use Counter::*;

use crate::case::Answer;
use crate::table::families;

const HOOKS: [(u32, &str); 3] = [(hook::XDP, "XDP"), (hook::INGRESS, "TC ingress"), (hook::EGRESS, "TC egress")];

/// Which counters never count at a hook, and why.
const NOT_COUNTED_AT: &[(u32, &str, &[Counter])] = &[
    (
        hook::XDP,
        "XDP has the accelerated paths alone and leaves these to TC",
        &[
            PassedLinkLayer,
            PassedIpv6,
            GatewayRewritten,
            ArpAnswered,
            SlowToTun,
            Punted,
            DroppedArp,
            DroppedIpv6,
            DroppedNoAgent,
            Reinjected,
            BroadcastUnwrapped,
            DroppedTtl,
            AnsweredTooBig,
            AnsweredTtl,
            StationWrapped,
            DroppedTooBig,
        ],
    ),
    (hook::XDP, "what leaves is filtered at TC", &[DroppedIcmp]),
    (hook::XDP, "XDP does not see tunnel devices", &[EncapsulatedCopies]),
    (hook::XDP, "fails only if the kernel gives back less of a frame than it had just shown", &[DroppedError]),
    (hook::INGRESS, "TC can transmit everywhere, and wrap", &[SlowNotXdpTarget, SlowWrapped]),
    (hook::INGRESS, "what leaves is filtered at egress", &[DroppedIcmp]),
    (hook::INGRESS, "tunnel devices are left by egress", &[EncapsulatedCopies]),
    (
        hook::EGRESS,
        "what leaves has been decided upon when it arrived",
        &[
            PassedNotForUs,
            PassedLocal,
            PassedNoTunnel,
            PassedControl,
            PassedLinkLayer,
            PassedIpv6,
            DeliveredVisitor,
            VisitorForwarded,
            ReverseDecapsulated,
            StationForwarded,
            GatewayRewritten,
            ArpAnswered,
            SlowToTun,
            SlowMarked,
            SlowFastPathOff,
            SlowTooBig,
            SlowFragment,
            SlowOptions,
            SlowTtl,
            SlowUnresolved,
            SlowNotXdpTarget,
            SlowNoHeadroom,
            Punted,
            DroppedShort,
            DroppedSpoofed,
            DroppedTunnelSource,
            DroppedBroadcast,
            DroppedArp,
            DroppedIpv6,
            DroppedNoAgent,
            Reinjected,
            SlowCopies,
            BroadcastUnwrapped,
            DroppedTtl,
            AnsweredTooBig,
            AnsweredTtl,
            DroppedEncapsulation,
            SlowGreOptions,
            SlowUdpChecksum,
            SlowGroup,
            SlowWrapped,
            StationWrapped,
        ],
    ),
];

/// What an action can be carried out as.
const VERDICTS: &[(Action, Fate)] = &[
    (Action::Fast, Fate::Transmit),
    (Action::Fast, Fate::Pass),
    (Action::Fast, Fate::Resolve),
    (Action::Slow, Fate::Pass),
    (Action::Slow, Fate::Transmit),
    (Action::Slow, Fate::Receive),
    (Action::Passed, Fate::Pass),
    (Action::Dropped, Fate::Drop),
];

/// What the cases expect, which their own tests prove: hook, counter, fate.
fn reached() -> Vec<(u32, Counter, Fate)> {
    let mut reached = Vec::new();
    for family in families() {
        for case in &family.cases {
            for place in family.places {
                if let Answer::Expect(expect) = case.answer(place.hook) {
                    reached.push((place.hook, expect.counter, expect.fate));
                    reached.extend(expect.copies.iter().map(|(counter, sent)| {
                        (place.hook, *counter, if sent.is_some() { Fate::Transmit } else { Fate::Drop })
                    }));
                }
            }
        }
    }
    reached
}

fn excuse(hook: u32, counter: Counter) -> Option<&'static str> {
    NOT_COUNTED_AT.iter().find(|(at, _, counters)| *at == hook && counters.contains(&counter)).map(|(_, why, _)| *why)
}

#[test]
fn every_counter_is_reached_at_every_hook_where_it_counts() {
    let reached: BTreeSet<(u32, u8)> = reached().iter().map(|&(hook, counter, _)| (hook, counter as u8)).collect();
    let mut problems = String::new();
    for &counter in Counter::ALL {
        for (hook, hook_name) in HOOKS {
            let name = counter.name();
            match (reached.contains(&(hook, counter as u8)), excuse(hook, counter)) {
                (false, None) => writeln!(problems, "  {name} at {hook_name}: no case expects it"),
                (true, Some(why)) => {
                    writeln!(problems, "  {name} at {hook_name}: a case expects it, although \"{why}\"")
                }
                _ => Ok(()),
            }
            .unwrap();
        }
    }
    assert!(
        problems.is_empty(),
        "the table of cases and the counters do not agree:\n{problems}\
         Add a case that reaches the counter to its family in tests/tests/programs (docs/testing.md tells how), or, if no \
         program counts it at that hook, name it with the reason in NOT_COUNTED_AT of tests/tests/programs/coverage.rs."
    );
}

#[test]
fn every_way_to_carry_an_action_out_is_reached_and_no_other() {
    let reached = reached();
    let is =
        |action, fate| move |&&(_, counter, done): &&(u32, Counter, Fate)| counter.action() == action && done == fate;
    for &(action, fate) in VERDICTS {
        assert!(reached.iter().any(|entry| is(action, fate)(&entry)), "no case expects {action:?} as {fate:?}");
    }
    let known = |counter: Counter, fate| VERDICTS.contains(&(counter.action(), fate));
    let unknown: Vec<_> = reached.iter().filter(|&&(_, counter, fate)| !known(counter, fate)).collect();
    assert!(unknown.is_empty(), "a counter's action cannot be carried out like this: {unknown:?}");
}

#[test]
fn what_does_not_run_at_a_hook_says_why() {
    for family in families() {
        for case in &family.cases {
            let run = family.places.iter().any(|place| matches!(case.answer(place.hook), Answer::Expect(_)));
            assert!(run, "{}: {} runs nowhere", family.name, case.description);
            for place in family.places {
                if let Answer::NotRun(reason) = case.answer(place.hook) {
                    assert!(reason.len() > 10, "{}: no reason why not in {}", case.description, place.program);
                }
            }
        }
    }
}
