//! What each encapsulation costs, by `BPF_PROG_TEST_RUN`: into a tunnel at a home agent, and out of it to a visitor at a
//! foreign agent, one client each. One packet per call, a fresh copy each time, against an empty program in turns; so these
//! figures compare the encapsulations with each other, and with the `xdp-single` and `tc` figures of the other paths.

use anyhow::{Result, ensure};
use aya::Ebpf;
use mipd_common::maps::{Visitor, tunnel_flags};
use rand::{SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};

use super::{
    arguments::Programs,
    boxes::{self, Bindings, CORRESPONDENT, FIRST_CARE_OF_ADDRESS, FIRST_CLIENT, HOME_AGENT, Hook, Ports, client_mac},
    headers,
    path::Fate,
    programs::Measured,
    report::Report,
};
use crate::packets::{
    encapsulation::Encapsulation,
    frame::Frame,
    ipv4::Ipv4,
    maps::{Maps, ethernet},
    object,
};

/// The two directions.
const INTO: &str = "home-agent/encapsulate";
const OUT_OF: &str = "foreign-agent/decapsulate";

/// An encapsulation in one direction, at one hook.
struct Case {
    name: String,
    hook: Hook,
    /// The box with its tables, and what does nothing.
    _objects: [Ebpf; 2],
    own: Measured,
    floor: Measured,
}

/// Measures all of them.
pub(super) fn measure(ports: &Ports, arguments: &Programs, report: &mut Report) -> Result<()> {
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        for hook in Hook::ALL {
            cases.push(Case::into_tunnel(encapsulation, hook, ports)?);
            cases.push(Case::out_of_tunnel(encapsulation, hook, ports)?);
        }
    }
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..arguments.rounds {
        cases.shuffle(&mut random);
        for case in &mut cases {
            case.round(arguments.calls)?;
        }
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    for case in &cases {
        report.add(case.own.against(&case.floor, case.name.clone(), None));
    }
    Ok(())
}

impl Case {
    fn into_tunnel(encapsulation: Encapsulation, hook: Hook, ports: &Ports) -> Result<Self> {
        let mut object = boxes::home_agent(object::open, ports, Bindings::Slots, 1, 1)?;
        let adjacent = (ports.next_hop, ports.egress.mac);
        let entry = encapsulation.entry(HOME_AGENT, FIRST_CARE_OF_ADDRESS, adjacent, ports.egress.ifindex);
        Maps(&mut object).tunnel(1, entry)?;
        let packet = headers::packet(CORRESPONDENT, FIRST_CLIENT);
        let frame = headers::frame(ports.next_hop, ports.ingress.mac, &packet);
        Self::new(INTO, encapsulation, hook, object, frame)
    }

    fn out_of_tunnel(encapsulation: Encapsulation, hook: Hook, ports: &Ports) -> Result<Self> {
        let mut object = boxes::foreign_agent(object::open, ports, 1)?;
        let visitor = encapsulation.visitor(Visitor {
            ethernet: ethernet(client_mac(FIRST_CLIENT), ports.egress.mac),
            flags: tunnel_flags::XDP_TARGET,
            ifindex: ports.egress.ifindex,
            care_of_address: FIRST_CARE_OF_ADDRESS.octets(),
            ..Visitor::default()
        });
        Maps(&mut object).visitor(HOME_AGENT, FIRST_CLIENT, visitor)?;
        let inner = Ipv4::udp((CORRESPONDENT, 5000), (FIRST_CLIENT, 5001), 22);
        let packet = encapsulation.arriving(HOME_AGENT, FIRST_CARE_OF_ADDRESS, &inner);
        let frame = Frame::new(ports.next_hop, ports.ingress.mac).ipv4(&packet).bytes();
        Self::new(OUT_OF, encapsulation, hook, object, frame)
    }

    fn new(path: &str, encapsulation: Encapsulation, hook: Hook, mut object: Ebpf, frame: Vec<u8>) -> Result<Self> {
        let (program, empty) = match hook {
            Hook::Xdp => ("router_xdp", "empty_xdp"),
            Hook::Tc => ("router_ingress", "empty_tc"),
        };
        let mut nothing = object::open_bench(&[])?;
        let label = encapsulation.name().to_lowercase().replace(' ', "-");
        Ok(Self {
            name: format!("encapsulations/{}/{path}/{label}", hook.label()),
            hook,
            own: Measured::new(&mut object, program, frame.clone())?,
            floor: Measured::new(&mut nothing, empty, frame)?,
            _objects: [object, nothing],
        })
    }

    /// A turn of the program and of the empty one.
    fn round(&mut self, calls: u32) -> Result<()> {
        for (measured, fate) in [(&mut self.own, Fate::Redirect), (&mut self.floor, Fate::Pass)] {
            let wanted = self.hook.verdict(fate);
            let got = measured.round_of_single_calls(calls, wanted)?;
            ensure!(got.is_none(), "{} returned {:?}, not {wanted}", self.name, got);
        }
        Ok(())
    }
}
