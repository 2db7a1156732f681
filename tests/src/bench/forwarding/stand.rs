//! A row of boxes between a source of frames and a sink, all of them on one core.

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, maps::PerCpuArray};
use mipd_common::mac::MacAddress;

use super::element::{self, Element, LEFT, RIGHT};
use crate::{
    Host, Lab,
    bench::{boxes::Ports, machine, path::Path, test_run::TestRun},
    cable::{self, Port},
    packets::{maps::Maps, object},
};

/// The source's only interface.
const SOURCE: &str = "out";
/// The program that sends.
const SEND: &str = "send";
/// At least so many of a hundred frames have to arrive.
const LEAST_ARRIVALS: u64 = 98;

/// Source, boxes and sink.
pub(super) struct Stand {
    name: String,
    source: Host,
    run: TestRun,
    sink: Ebpf,
    /// What keeps the programs attached.
    _objects: Vec<Ebpf>,
}

impl Stand {
    /// Joins boxes in a row. The source sends what takes `path`, to or from so many clients.
    pub fn build(
        lab: &Lab,
        name: &str,
        number: usize,
        elements: &[Element],
        path: &Path,
        clients: u32,
    ) -> Result<Self> {
        let host = |what: &str| lab.host(&format!("{number}-{what}"));
        let (source, end) = (host("source")?, host("sink")?);
        let middle = (0..elements.len()).map(|position| host(&format!("box{position}"))).collect::<Result<Vec<_>>>()?;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for position in 0..=middle.len() {
            let before = position.checked_sub(1).map_or((&source, SOURCE), |before| (&middle[before], RIGHT));
            let after = middle.get(position).unwrap_or(&end);
            let (near, far) = cable::connect((before.0, before.1, mac(position, 1)), (after, LEFT, mac(position, 2)))
                .with_context(|| format!("at the stand {name}"))?;
            right.push(near);
            left.push(far);
        }
        // A bridge is nobody's next hop, but what is behind it is.
        let next_hop = |from: usize| {
            let bridges = elements[from..].iter().take_while(|element| element.is_bridge()).count();
            left[from + bridges].mac
        };
        let mut objects = Vec::new();
        for (position, element) in elements.iter().enumerate() {
            let next_hop = next_hop(position + 1);
            let ports = Ports { ingress: left[position], from_clients: false, egress: right[position + 1], next_hop };
            let object = element.set_up(&middle[position], &ports);
            objects.extend(object.with_context(|| format!("box {position} of the stand {name}"))?);
        }
        let mut sink = object::open_bench(&[])?;
        element::attach(&mut sink, "sink", &end)?;
        let (object, run) = frames(path, clients, right[0], next_hop(0))?;
        objects.push(object);
        Ok(Self { name: name.to_owned(), source, run, sink, _objects: objects })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends so many frames and gives how many per second, by the kernel's own measurement: what it needs to set up and tear
    /// down a run is not in it, nor what other processes did meanwhile.
    pub fn rate(&self, core: usize, frames: u32) -> Result<f64> {
        let before = self.sunk()?;
        let outcome = self.source.namespace().enter(|| -> Result<_> {
            machine::pin(core)?;
            self.run.send(frames)
        })??;
        let arrived = self.sunk()? - before;
        ensure!(
            arrived * 100 >= u64::from(frames) * LEAST_ARRIVALS,
            "{}: only {arrived} of {frames} frames arrived",
            self.name
        );
        // Whole nanoseconds, rounded down.
        Ok(1e9 / (f64::from(outcome.duration) + 0.5))
    }

    fn sunk(&self) -> Result<u64> {
        let map = self.sink.map("SUNK").context("the benchmarks' object has no map SUNK")?;
        let sunk = PerCpuArray::<_, u64>::try_from(map)?;
        Ok(sunk.get(&0, 0)?.iter().sum())
    }
}

/// The program that sends frames on a path, ready to run.
fn frames(path: &Path, clients: u32, out: Port, first_box: MacAddress) -> Result<(Ebpf, TestRun)> {
    let ports =
        Ports { ingress: Port { ifindex: 0, mac: first_box }, from_clients: false, egress: out, next_hop: out.mac };
    let frame = path.frame(0, 1, &ports);
    let mut object = object::open_bench(&[])?;
    Maps(&mut object).set("SOURCE", 0, path.source(&frame, clients, 1, out.ifindex))?;
    object::load_program(&mut object, SEND)?;
    let run = TestRun::new(&object, SEND, frame)?;
    Ok((object, run))
}

/// The Ethernet address of one end of a cable.
fn mac(cable: usize, end: u8) -> MacAddress {
    MacAddress([0x02, 0, 0, 0, cable as u8, end])
}
