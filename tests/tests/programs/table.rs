//! Runs a table of cases, each with fresh maps, and reports every case that differs.

use mipd_common::maps::hook;
use mipd_lab::packets::bench::{self, Expect, SocketBuffer};
use mipd_lab::packets::frame::Frame;

use crate::world::World;

/// One packet through a program.
pub struct Case {
    pub description: &'static str,
    pub world: fn(&mut World),
    pub frame: Frame,
    pub buffer: SocketBuffer,
    pub expect: Expect,
}

/// A case in the plain world.
pub fn case(description: &'static str, frame: Frame, expect: Expect) -> Case {
    Case { description, world: |_| {}, frame, buffer: SocketBuffer::default(), expect }
}

impl Case {
    /// In a world that differs.
    pub fn when(mut self, world: fn(&mut World)) -> Self {
        self.world = world;
        self
    }

    /// With this in the socket buffer beside the packet.
    pub fn buffer(mut self, buffer: SocketBuffer) -> Self {
        self.buffer = buffer;
        self
    }
}

/// Runs the cases through `program`, attached at `hook`.
pub fn check(program: &str, hook: u32, cases: Vec<Case>) {
    if !bench::privileged() {
        return;
    }
    let mut failures = String::new();
    for case in cases {
        let mut world = World::default();
        (case.world)(&mut world);
        let mut object = bench::load(program).unwrap();
        world.write(&mut object).unwrap();
        let packet = case.frame.bytes();
        let differences = match bench::run(&mut object, program, &packet, case.buffer) {
            Ok(outcome) => bench::compare(&mut object, hook, &packet, &outcome, &case.expect).unwrap(),
            Err(error) => format!("  {error:#}\n"),
        };
        if !differences.is_empty() {
            failures.push_str(case.description);
            failures.push('\n');
            failures.push_str(&differences);
        }
    }
    assert!(failures.is_empty(), "{program}:\n{failures}");
}

/// Runs router cases at XDP.
pub fn check_xdp(cases: Vec<Case>) {
    check("router_xdp", hook::XDP, cases);
}

/// Runs router cases at TC.
pub fn check_tc(cases: Vec<Case>) {
    check("router_ingress", hook::INGRESS, cases);
}
