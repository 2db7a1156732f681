//! What each path through the kernel programs costs, by `BPF_PROG_TEST_RUN`.
//!
//! The kernel does not restore a packet that a program has changed, so that repeating a path would measure something else
//! from the second run on. There are two ways out, and both are measured, each against an empty program under the same
//! conditions, in turns:
//!
//! * Thousands of packets per call (`xdp`): a program of the benchmarks takes the real decision, then restores the packet's
//!   length and writes its headers anew, for a client at random. Restoring alone is the floor. Calls are few, for the kernel
//!   patches its own code before and after one that repeats.
//! * One packet per call (`xdp-single`, `tc`), a fresh copy each time: what a packet costs that comes alone, the caches and
//!   branch predictors being somebody else's. The floor is mostly two readings of the clock.
//!
//! `p50` is the median of the rounds, each the mean of its calls but for the slowest hundredth; `p99` is the hundredth slowest
//! call of all.

use anyhow::{Result, ensure};
use aya::Ebpf;
use mipd_common::{mac::MacAddress, maps::Counter};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    arguments::Programs,
    boxes::{self, Bindings, Hook, MOST_TUNNELS, Ports, Role},
    durations::Durations,
    encapsulations,
    machine::{self, Cores},
    path::{Fate, PATHS, Path},
    report::{Benchmark, Report, quantile},
    test_run::TestRun,
};
use crate::{
    Lab,
    cable::{self, Port},
    packets::{maps::Maps, object},
};

/// Test runs receive every packet on loopback.
const LOOPBACK: Port = Port { ifindex: 1, mac: MacAddress([0x02, 0, 0, 0, 0, 0x01]) };
const EGRESS_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x02]);
const NEXT_HOP: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x03]);
/// How many calls a turn has that repeat a program.
const REPEATING_CALLS: u32 = 2;
/// What does nothing but restore the packet.
const NOTHING: &str = "repeat_nothing";

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
        arguments.bindings.iter().try_for_each(|&bindings| at(bindings, egress, arguments, report))?;
        encapsulations::measure(&ports(egress, false), arguments, report)
    })?
}

/// Measures all paths at one number of bindings, in turns.
fn at(bindings: u32, egress: Port, arguments: &Programs, report: &mut Report) -> Result<()> {
    let mut world = World::new(bindings, egress)?;
    let mut cases = world.cases()?;
    let mut random = SmallRng::seed_from_u64(u64::from(bindings));
    for _ in 0..arguments.rounds {
        for case in &mut cases {
            world.round(case, arguments, &mut random)?;
        }
    }
    for case in &cases {
        case.report(bindings, report);
    }
    world.check(&cases)
}

/// The boxes with their tables.
struct World {
    bindings: u32,
    tunnels: u32,
    egress: Port,
    boxes: [Ebpf; Role::ALL.len()],
}

/// How packets come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// At XDP, many at a time.
    Repeated,
    /// At XDP, one by one.
    Single,
    /// At TC, one by one.
    Tc,
}

impl Style {
    const ALL: [Self; 3] = [Self::Repeated, Self::Single, Self::Tc];

    fn label(self) -> &'static str {
        match self {
            Self::Repeated => "xdp",
            Self::Single => "xdp-single",
            Self::Tc => "tc",
        }
    }

    fn hook(self) -> Hook {
        if self == Self::Tc { Hook::Tc } else { Hook::Xdp }
    }

    /// The program for a path, and the empty one.
    fn programs(self, path: &Path) -> Option<(&'static str, &'static str)> {
        match self.hook() {
            Hook::Xdp => Some((path.repeated?, NOTHING)),
            Hook::Tc => Some((path.tc?, "empty_tc")),
        }
    }
}

/// A path at a hook, and how long it took.
struct Case {
    style: Style,
    path: Path,
    own: Measured,
    floor: Measured,
}

/// A program and how long it took: the mean of each round, and every call.
pub(super) struct Measured {
    run: TestRun,
    means: Vec<f64>,
    all: Durations,
}

impl World {
    fn new(bindings: u32, egress: Port) -> Result<Self> {
        let tunnels = bindings.min(MOST_TUNNELS);
        let ports = ports(egress, false);
        let boxes = [
            boxes::home_agent(object::open_bench, &ports, Bindings::Slots, bindings, tunnels)?,
            boxes::home_agent(object::open_bench, &ports, Bindings::Hashed, bindings, tunnels)?,
            boxes::foreign_agent(object::open_bench, &ports, bindings)?,
            boxes::access_point(object::open_bench, &ports, bindings)?,
            boxes::reference(&ports, bindings, tunnels)?,
        ];
        Ok(Self { bindings, tunnels, egress, boxes })
    }

    fn cases(&mut self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for path in PATHS {
            let frame = path.frame(0, self.tunnels, &ports(self.egress, path.from_clients));
            let object = &mut self.boxes[path.role as usize];
            for style in Style::ALL {
                let Some((own, floor)) = style.programs(&path) else { continue };
                let [own, floor] = [own, floor].map(|program| Measured::new(object, program, frame.clone()));
                cases.push(Case { style, path, own: own?, floor: floor? });
            }
        }
        Ok(cases)
    }

    /// A turn of one program and of the empty one.
    fn round(&mut self, case: &mut Case, arguments: &Programs, random: &mut SmallRng) -> Result<()> {
        let Case { style, path, own, floor } = case;
        let ports = ports(self.egress, path.from_clients);
        let object = &mut self.boxes[path.role as usize];
        if path.role != Role::Reference {
            boxes::fill_interfaces(&mut Maps(object), &ports)?;
        }
        let source = path.source(&path.frame(0, self.tunnels, &ports), self.bindings, self.tunnels, 0);
        Maps(object).set("SOURCE", 0, source)?;
        let hook = style.hook();
        let (calls, packets) = match style {
            Style::Repeated => (REPEATING_CALLS, arguments.calls),
            Style::Single | Style::Tc => (arguments.calls, 1),
        };
        for (measured, fate) in [(own, path.fate), (floor, Fate::Pass)] {
            let mut durations = Durations::new();
            for _ in 0..calls {
                let client = random.random_range(0..self.bindings);
                measured.run.frame().copy_from_slice(&path.frame(client, self.tunnels, &ports));
                let outcome = measured.run.repeat(packets)?;
                let (wanted, got) = (hook.verdict(fate), outcome.return_value);
                ensure!(got == wanted, "{}/{} returned {}", path.role.label(), path.name, got.cast_signed());
                durations.add(outcome.duration);
            }
            measured.means.push(durations.mean());
            measured.all.add_all(&durations);
        }
        Ok(())
    }

    /// Whether the packets took the paths that are to be measured, and no other ones.
    fn check(&mut self, cases: &[Case]) -> Result<()> {
        for role in Role::ALL {
            let of_role = cases.iter().map(|case| case.path).filter(|path| path.role == role);
            let expected: Vec<Counter> = of_role.map(|path| path.counter).collect();
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

impl Measured {
    /// A program of an object, loaded if need be, and the frame that it gets.
    pub fn new(object: &mut Ebpf, program: &str, frame: Vec<u8>) -> Result<Self> {
        object::load_program(object, program)?;
        Ok(Self { run: TestRun::new(object, program, frame)?, means: Vec::new(), all: Durations::new() })
    }

    /// A round of calls with one packet each. Gives the first verdict that is not the one wanted.
    pub fn round_of_single_calls(&mut self, calls: u32, wanted: u32) -> Result<Option<u32>> {
        let mut durations = Durations::new();
        for _ in 0..calls {
            let outcome = self.run.repeat(1)?;
            if outcome.return_value != wanted {
                return Ok(Some(outcome.return_value));
            }
            durations.add(outcome.duration);
        }
        self.means.push(durations.mean());
        self.all.add_all(&durations);
        Ok(None)
    }

    /// What it took more than the empty program.
    pub fn against(&self, floor: &Self, name: String, goal: Option<f64>) -> Benchmark {
        let mut net: Vec<f64> = self.means.iter().zip(&floor.means).map(|(own, floor)| own - floor).collect();
        let floor_p50 = quantile(&mut floor.means.clone(), 0.5);
        Benchmark {
            name,
            unit: "ns".into(),
            p50: quantile(&mut net, 0.5),
            p99: self.all.quantile(0.99) - floor_p50,
            floor_p50: Some(floor_p50),
            goal,
            compared_with: [("lowest".into(), quantile(&mut net, 0.0)), ("highest".into(), quantile(&mut net, 1.0))]
                .into(),
        }
    }
}

impl Case {
    fn report(&self, bindings: u32, report: &mut Report) {
        let path = &self.path;
        let goal = path.goals.iter().find(|(size, _)| *size == bindings && self.style == Style::Repeated);
        let name = format!("programs/{}/{}/{}/{bindings}", self.style.label(), path.role.label(), path.name);
        report.add(self.own.against(&self.floor, name, goal.map(|(_, goal)| *goal)));
    }
}

fn ports(egress: Port, from_clients: bool) -> Ports {
    Ports { ingress: LOOPBACK, from_clients, egress, next_hop: NEXT_HOP }
}
