//! How many packets per second boxes forward, over virtual Ethernet: a source, the boxes and a sink in a row, in a network
//! namespace each, all work done on one core, so that the reciprocal of the rate is what a packet costs.
//!
//! The source is an XDP program that writes each frame's headers anew, for a client at random, and redirects it; the sink is
//! one that counts and drops. What both cost, and the cables, is part of every figure. All stands have their turn in every
//! round, and ratios are taken within rounds.

mod element;
mod stand;

use anyhow::{Context as _, Result};

use self::{
    element::{Element, KernelTunnel},
    stand::Stand,
};
use super::{
    arguments::{Forwarding, Instructions},
    boxes::{Hook, Role},
    machine::Cores,
    path::Path,
    report::{Benchmark, Report, quantile},
};
use crate::Lab;

/// Measures all stands in turns.
pub(super) fn measure(arguments: &Forwarding, report: &mut Report) -> Result<()> {
    let core = Cores::find()?.agents;
    let lab = Lab::new("forwarding")?;
    let plans = plans(&lab, arguments)?;
    let mut stands = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let stand = Stand::build(&lab, &plan.name, number, &plan.elements, &plan.path, plan.clients)?;
        stand.rate(core, arguments.frames / 10)?;
        stands.push((stand, Vec::new()));
    }
    for _ in 0..arguments.rounds {
        for (stand, rates) in &mut stands {
            rates.push(stand.rate(core, arguments.frames)?);
        }
    }
    for (plan, (stand, rates)) in plans.iter().zip(&stands) {
        add(report, stand.name().to_owned(), "pps", rates.clone(), None);
        for (other, kind, goal) in &plan.compared {
            let found = stands.iter().find(|(stand, _)| stand.name() == other);
            let (_, others) = found.with_context(|| format!("there is no stand {other}"))?;
            let ratio = |(own, other): (&f64, &f64)| own / other * kind.factor();
            let ratios = rates.iter().zip(others).map(ratio).collect();
            add(report, format!("{}/{}", stand.name(), kind.label()), kind.unit(), ratios, *goal);
        }
    }
    Ok(())
}

/// Counts the instructions that a packet costs a box, on a machine whose clock counts them: those of source, sink and the cable
/// between them are subtracted.
pub(super) fn count_instructions(arguments: &Instructions, report: &mut Report) -> Result<()> {
    let core = Cores::find()?.agents;
    let lab = Lab::new("instructions")?;
    let down = Path::of(Role::HomeAgent, "encapsulate");
    let tunnelled = Path::of(Role::ForeignAgent, "decapsulate");
    let ours = |hook, role| vec![Element::Ours { role, hook, from_clients: false, clients: 1 }];
    let exit = Element::Exit(KernelTunnel::IpIp);
    // What each is compared with, and the goal in percent of it.
    let mut plans = vec![
        ("nothing".to_owned(), Vec::new(), down, None),
        ("redirect/xdp".to_owned(), vec![Element::Redirect(Hook::Xdp)], down, None),
        ("redirect/tc".to_owned(), vec![Element::Redirect(Hook::Tc)], down, None),
        ("plain-forwarding".to_owned(), vec![Element::Route], down, None),
        ("ipip-exit".to_owned(), vec![exit], tunnelled, None),
    ];
    for tunnel in [KernelTunnel::IpIp, KernelTunnel::Gre, KernelTunnel::Vxlan] {
        plans.push((format!("{}-entry", tunnel.label()), vec![Element::Entry(tunnel)], down, None));
    }
    for (hook, goal) in [(Hook::Xdp, 25.0), (Hook::Tc, 200.0 / 3.0)] {
        let hook_name = hook.label();
        let entry = Some(("ipip-entry", Some(goal)));
        plans.push((format!("home-agent/encapsulate/{hook_name}"), ours(hook, Role::HomeAgent), down, entry));
        let exit = Some(("ipip-exit", None));
        plans.push((format!("foreign-agent/decapsulate/{hook_name}"), ours(hook, Role::ForeignAgent), tunnelled, exit));
    }
    let mut costs: Vec<(String, f64)> = Vec::new();
    for (number, (name, elements, path, compared)) in plans.iter().enumerate() {
        let stand = Stand::build(&lab, name, number, elements, path, 1)?;
        stand.rate(core, arguments.frames)?;
        let mut each = Vec::new();
        for _ in 0..arguments.rounds {
            each.push(1e9 / stand.rate(core, arguments.frames)?);
        }
        let whole = quantile(&mut each, 0.5);
        let nothing = costs.first().map_or(0.0, |(_, cost)| *cost);
        let name = format!("instructions/{name}");
        add(report, name.clone(), "instructions", each.iter().map(|cost| cost - nothing).collect(), None);
        if let Some((other, goal)) = compared {
            let other = format!("instructions/{other}");
            let found = costs.iter().find(|(name, _)| *name == other);
            let (_, other) = found.with_context(|| format!("{other} comes later"))?;
            let share = (whole - nothing) / (other - nothing) * 100.0;
            add(report, format!("{name}/share-of-ipip"), "percent", vec![share], *goal);
        }
        costs.push((name, whole));
    }
    Ok(())
}

fn add(report: &mut Report, name: String, unit: &'static str, mut values: Vec<f64>, goal: Option<f64>) {
    let (p50, p99) = (quantile(&mut values, 0.5), quantile(&mut values, 0.01));
    report.add(Benchmark { name, unit: unit.into(), p50, p99, goal, ..Benchmark::default() });
}

/// A stand to build, and what it is compared with.
struct Plan {
    name: String,
    elements: Vec<Element>,
    path: Path,
    clients: u32,
    compared: Vec<(String, Ratio, Option<f64>)>,
}

/// How a rate is related to another one.
#[derive(Clone, Copy, Debug)]
enum Ratio {
    /// To programs that only redirect.
    Redirect,
    /// To the kernel's plain forwarding.
    Kernel,
    /// To a home agent that hashes.
    Hashed,
}

impl Ratio {
    fn label(self) -> &'static str {
        match self {
            Self::Redirect => "share-of-redirect",
            Self::Kernel => "times-plain-forwarding",
            Self::Hashed => "times-hashed",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Redirect => "percent",
            Self::Kernel | Self::Hashed => "times",
        }
    }

    fn factor(self) -> f64 {
        match self {
            Self::Redirect => 100.0,
            Self::Kernel | Self::Hashed => 1.0,
        }
    }
}

const ROUTE: &str = "forwarding/kernel/route";

fn plans(lab: &Lab, arguments: &Forwarding) -> Result<Vec<Plan>> {
    let down = Path::of(Role::HomeAgent, "encapsulate");
    let mut plans = vec![Plan::new(ROUTE, vec![Element::Route], down, 1)];
    plans.push(Plan::new(
        "forwarding/kernel/bridge",
        vec![Element::Bridge],
        Path::of(Role::AccessPoint, "downlink"),
        1,
    ));
    for tunnel in [KernelTunnel::Vxlan, KernelTunnel::IpIp, KernelTunnel::Gre] {
        if !element::is_available(tunnel, &lab.host(&format!("try-{}", tunnel.label()))?) {
            continue;
        }
        let name = |what| format!("forwarding/kernel/{}-{what}", tunnel.label());
        plans.push(Plan::new(&name("entry"), vec![Element::Entry(tunnel)], down, 1));
        if tunnel == KernelTunnel::IpIp {
            let tunnelled = Path::of(Role::ForeignAgent, "decapsulate");
            plans.push(Plan::new(&name("exit"), vec![Element::Exit(tunnel)], tunnelled, 1));
        }
    }
    for hook in Hook::ALL {
        plans.push(Plan::new(&redirect(hook), vec![Element::Redirect(hook)], down, 1));
        for &(role, path, clients, share) in BOXES {
            let clients = clients.min(arguments.most_clients);
            if hook == Hook::Tc && matches!(role, Role::HashedHomeAgent | Role::Reference) {
                continue;
            }
            plans.push(single(hook, role, path, clients, share));
        }
    }
    plans.dedup_by(|left, right| left.name == right.name);
    plans.extend(chains());
    Ok(plans)
}

/// Boxes by themselves: the path, for how many clients, and the goal in percent of a redirect at XDP.
const BOXES: &[(Role, &str, u32, Option<f64>)] = &[
    (Role::HomeAgent, "encapsulate", 1, Some(80.0)),
    (Role::HomeAgent, "encapsulate", 1_000_000, Some(57.0)),
    (Role::HashedHomeAgent, "encapsulate", 1_000_000, None),
    (Role::HomeAgent, "reverse-decapsulate", 1, None),
    (Role::ForeignAgent, "decapsulate", 1, None),
    (Role::ForeignAgent, "decapsulate", 10_000, None),
    (Role::ForeignAgent, "reverse-encapsulate", 1, None),
    (Role::AccessPoint, "rewrite", 1, Some(85.0)),
    (Role::Reference, "encapsulate", 1, None),
];

fn redirect(hook: Hook) -> String {
    format!("forwarding/{}/redirect", hook.label())
}

fn single(hook: Hook, role: Role, name: &str, clients: u32, share: Option<f64>) -> Plan {
    let path = Path::of(role, name);
    let element = Element::Ours { role, hook, from_clients: path.from_clients, clients };
    let full = format!("forwarding/{}/{}/{name}/{clients}", hook.label(), role.label());
    let mut plan = Plan::new(&full, vec![element], path, clients);
    let (share, times) = match hook {
        Hook::Xdp => (share, share.filter(|_| clients == 1).map(|_| 3.0)),
        Hook::Tc => (None, None),
    };
    plan.compared.push((redirect(hook), Ratio::Redirect, share));
    plan.compared.push((ROUTE.to_owned(), Ratio::Kernel, times));
    if hook == Hook::Xdp && role == Role::HomeAgent && name == "encapsulate" && clients > 1 {
        let hashed = format!("forwarding/xdp/{}/{name}/{clients}", Role::HashedHomeAgent.label());
        plan.compared.push((hashed, Ratio::Hashed, Some(2.0)));
    }
    plan
}

/// The whole way of a packet: home agent, foreign agent and access point in a row, and back.
fn chains() -> Vec<Plan> {
    let down = Path::of(Role::HomeAgent, "encapsulate");
    let up = Path::of(Role::AccessPoint, "rewrite");
    let route = [Element::Route; 2];
    let mut plans = vec![
        Plan::new("forwarding/kernel/chain-down", [&route[..], &[Element::Bridge]].concat(), down, 1),
        Plan::new("forwarding/kernel/chain-up", [&[Element::Bridge], &route[..]].concat(), up, 1),
    ];
    for hook in Hook::ALL {
        let ours = |role, from_clients| Element::Ours { role, hook, from_clients, clients: 1 };
        let redirects = format!("forwarding/{}/chain-of-redirects", hook.label());
        let ways = [
            (
                "down",
                down,
                vec![ours(Role::HomeAgent, false), ours(Role::ForeignAgent, false), Element::OurBridge(hook)],
            ),
            (
                "up",
                up,
                vec![ours(Role::AccessPoint, true), ours(Role::ForeignAgent, true), ours(Role::HomeAgent, false)],
            ),
        ];
        plans.push(Plan::new(&redirects, vec![Element::Redirect(hook); 3], down, 1));
        for (way, path, elements) in ways {
            let mut plan = Plan::new(&format!("forwarding/{}/chain-{way}", hook.label()), elements, path, 1);
            plan.compared.push((redirects.clone(), Ratio::Redirect, None));
            plan.compared.push((format!("forwarding/kernel/chain-{way}"), Ratio::Kernel, None));
            plans.push(plan);
        }
    }
    plans
}

impl Plan {
    fn new(name: &str, elements: Vec<Element>, path: Path, clients: u32) -> Self {
        Self { name: name.to_owned(), elements, path, clients, compared: Vec::new() }
    }
}
