//! What each path through the kernel programs costs, by `BPF_PROG_TEST_RUN`.
//!
//! The kernel does not restore a packet that a program has changed, so a run of many repetitions would measure something
//! else than the path from the second one on. Every call therefore is one run on a fresh copy of a packet, of a client
//! chosen at random; the kernel measures it, and what an empty program takes in the same round (two readings of the clock,
//! mostly) is subtracted. `p50` is the median of the rounds, each the mean of its calls but for the slowest hundredth; `p99`
//! is the hundredth slowest call of all.

use anyhow::{Result, ensure};
use aya::Ebpf;
use mipd_common::{mac::MacAddress, maps::Counter};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    arguments::Programs,
    boxes::{self, Hook, MOST_TUNNELS, Port, Ports, Role},
    cable,
    durations::Durations,
    machine::{self, Cores},
    path::{Fate, PATHS, Path},
    report::{Benchmark, Report, quantile},
    test_run::TestRun,
};
use crate::{
    Lab,
    packets::{maps::Maps, object},
};

/// Test runs receive every packet on loopback.
const LOOPBACK: Port = Port { ifindex: 1, mac: MacAddress([0x02, 0, 0, 0, 0, 0x01]) };
const EGRESS_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x02]);
const NEXT_HOP: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x03]);

/// Measures all paths, at each number of bindings.
pub(super) fn measure(arguments: &Programs, report: &mut Report) -> Result<()> {
    let cores = Cores::find()?;
    let lab = Lab::new("programs")?;
    let (router, neighbour) = (lab.host("router")?, lab.host("neighbour")?);
    let (egress, _) = cable::connect((&router, "eth0", EGRESS_MAC), (&neighbour, "eth0", NEXT_HOP))?;
    router.forward()?;
    router.add_address("eth0", "10.99.0.1/24".parse()?)?;
    router.add_neighbour("eth0", "10.99.0.2".parse()?, NEXT_HOP)?;
    router.add_default_route("10.99.0.2".parse()?)?;
    router.namespace().enter(|| {
        machine::pin(cores.agents)?;
        arguments.bindings.iter().try_for_each(|&bindings| at(bindings, egress, arguments, report))
    })?
}

/// Measures all paths at one number of bindings, in turns.
fn at(bindings: u32, egress: Port, arguments: &Programs, report: &mut Report) -> Result<()> {
    let mut world = World::new(bindings, egress)?;
    let mut cases = world.cases()?;
    let mut floors = [world.floor(Hook::Xdp)?, world.floor(Hook::Tc)?];
    let mut random = SmallRng::seed_from_u64(u64::from(bindings));
    for _ in 0..arguments.rounds {
        for floor in &mut floors {
            world.round(floor, arguments.calls, &mut random)?;
        }
        for case in &mut cases {
            world.round(case, arguments.calls, &mut random)?;
        }
    }
    for case in &cases {
        case.report(&floors[case.hook as usize], bindings, report);
    }
    world.check(&cases)
}

/// The boxes with their tables.
struct World {
    bindings: u32,
    tunnels: u32,
    egress: Port,
    boxes: [Ebpf; 3],
    empty: Ebpf,
}

/// A path at a hook, and how long it took.
struct Case {
    hook: Hook,
    /// `None`: the empty program.
    path: Option<Path>,
    run: TestRun,
    means: Vec<f64>,
    all: Durations,
}

impl World {
    fn new(bindings: u32, egress: Port) -> Result<Self> {
        let tunnels = bindings.min(MOST_TUNNELS);
        let ports = ports(egress, false);
        let boxes = [
            boxes::home_agent(&ports, bindings, tunnels)?,
            boxes::foreign_agent(&ports, bindings)?,
            boxes::access_point(&ports, bindings)?,
        ];
        Ok(Self { bindings, tunnels, egress, boxes, empty: object::open_bench()? })
    }

    fn cases(&mut self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for path in PATHS {
            let frame = path.frame(0, self.tunnels, &ports(self.egress, path.from_clients));
            let object = &mut self.boxes[path.role as usize];
            for (hook, program) in Hook::ALL.into_iter().zip(path.programs) {
                let Some(program) = program else { continue };
                object::load_program(object, program)?;
                cases.push(Case::new(hook, Some(path), TestRun::new(object, program, frame.clone())?));
            }
        }
        Ok(cases)
    }

    fn floor(&mut self, hook: Hook) -> Result<Case> {
        let program = match hook {
            Hook::Xdp => "empty_xdp",
            Hook::Tc => "empty_tc",
        };
        object::load_program(&mut self.empty, program)?;
        let frame = PATHS[0].frame(0, self.tunnels, &ports(self.egress, false));
        Ok(Case::new(hook, None, TestRun::new(&self.empty, program, frame)?))
    }

    /// So many calls of one program.
    fn round(&mut self, case: &mut Case, calls: u32, random: &mut SmallRng) -> Result<()> {
        let path = case.path.unwrap_or(PATHS[0]);
        let ports = ports(self.egress, path.from_clients);
        boxes::fill_interfaces(&mut Maps(&mut self.boxes[path.role as usize]), &ports)?;
        let verdict = case.hook.verdict(case.path.map_or(Fate::Pass, |path| path.fate));
        let mut durations = Durations::new();
        for _ in 0..calls {
            let client = random.random_range(0..self.bindings);
            case.run.frame().copy_from_slice(&path.frame(client, self.tunnels, &ports));
            let outcome = case.run.once()?;
            ensure!(outcome.return_value == verdict, "{} returned {}", path.name, outcome.return_value.cast_signed());
            durations.add(outcome.duration);
        }
        case.means.push(durations.mean());
        case.all.add_all(&durations);
        Ok(())
    }

    /// Whether the packets took the paths that are to be measured, and no other ones.
    fn check(&mut self, cases: &[Case]) -> Result<()> {
        for role in Role::ALL {
            let expected: Vec<Counter> = cases
                .iter()
                .filter_map(|case| case.path)
                .filter(|path| path.role == role)
                .map(|path| path.counter)
                .collect();
            for (_, _, counter, packets) in Maps(&mut self.boxes[role as usize]).counted()? {
                let name = counter.name();
                ensure!(
                    expected.contains(&counter),
                    "{packets} packets were counted as {name} at the {}",
                    role.label()
                );
            }
        }
        Ok(())
    }
}

impl Case {
    fn new(hook: Hook, path: Option<Path>, run: TestRun) -> Self {
        Self { hook, path, run, means: Vec::new(), all: Durations::new() }
    }

    fn report(&self, floor: &Self, bindings: u32, report: &mut Report) {
        let Some(path) = self.path else { return };
        let mut net: Vec<f64> = self.means.iter().zip(&floor.means).map(|(own, floor)| own - floor).collect();
        let p50 = quantile(&mut net, 0.5);
        let floor_p50 = quantile(&mut floor.means.clone(), 0.5);
        let goal = path.goals.iter().find(|(size, _)| *size == bindings && self.hook == Hook::Xdp);
        report.add(Benchmark {
            name: format!("programs/{}/{}/{}/{bindings}", self.hook.label(), path.role.label(), path.name),
            unit: "ns",
            p50,
            p99: self.all.quantile(0.99) - floor_p50,
            floor_p50: Some(floor_p50),
            goal: goal.map(|(_, goal)| *goal),
            compared_with: [("lowest", quantile(&mut net, 0.0)), ("highest", quantile(&mut net, 1.0))].into(),
        });
    }
}

fn ports(egress: Port, from_clients: bool) -> Ports {
    Ports { ingress: LOOPBACK, from_clients, egress, next_hop: NEXT_HOP }
}
