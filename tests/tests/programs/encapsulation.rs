//! Into tunnels, by each encapsulation: at the home agent towards its clients, at the foreign agent back to home agents.

use mipd_common::maps::Counter;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::inner;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    AWAY, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, HOME_AGENT, HOST, NEXT_HOP, REVERSE_TUNNEL, ROUTER,
    VISITOR, VISITORS_AGENT, World,
};

/// One direction of one encapsulation.
struct Tunnel {
    encapsulation: Encapsulation,
    counter: Counter,
    /// What arrives, as a frame.
    arriving: fn(&Ipv4) -> Frame,
    /// What leaves, as a packet.
    sent: fn(Encapsulation, &Ipv4) -> Ipv4,
    world: fn(&mut World, Encapsulation),
}

impl Tunnel {
    fn down(encapsulation: Encapsulation) -> Self {
        Self {
            encapsulation,
            counter: Counter::Encapsulated,
            arriving: |packet| Frame::new(HOST, ROUTER).ipv4(packet),
            sent: |encapsulation, inner| encapsulation.sent(HOME_AGENT, FAR_AGENT, inner),
            world: |world, encapsulation| world.wrap(encapsulation, encapsulation),
        }
    }

    fn up(encapsulation: Encapsulation) -> Self {
        Self {
            encapsulation,
            counter: Counter::ReverseEncapsulated,
            arriving: |packet| Frame::new(CLIENT, ROUTER).ipv4(packet),
            sent: |encapsulation, inner| encapsulation.reversed().sent(CARE_OF, VISITORS_AGENT, inner),
            world: |world, encapsulation| {
                world.wrap_visitor(encapsulation);
                world.visitor_sources[0].2 = REVERSE_TUNNEL;
            },
        }
    }

    fn case(&self, what: &str, frame: Frame, expect: Expect) -> Case {
        let (world, encapsulation) = (self.world, self.encapsulation);
        let name = encapsulation.name();
        case(format!("{name}: {what}"), frame, expect).when(move |changed| world(changed, encapsulation))
    }

    fn wrapped(&self, inner: &Ipv4) -> Vec<u8> {
        let inner = inner.clone().forwarded();
        Frame::new(EGRESS, NEXT_HOP).ipv4(&(self.sent)(self.encapsulation, &inner)).bytes()
    }

    fn tunnelled(&self, inner: &Ipv4) -> Expect {
        let expect = Expect::transmit(self.counter).bytes(self.wrapped(inner));
        // Who may fragment the outer packet needs an identification to do so.
        let word = u16::from_be_bytes([inner.bytes()[6], inner.bytes()[7]]);
        let own_header = self.encapsulation.keeps_header() || word & 0x3fff != 0;
        if own_header && word & 0x4000 == 0 { expect.any_identification() } else { expect }
    }

    fn cases(&self, packets: Vec<(&'static str, Ipv4)>) -> Vec<Case> {
        let (_, plain) = packets[0].clone();
        let largest = usize::from(self.encapsulation.largest()) - 20;
        let mut cases = Vec::new();
        for (what, packet) in packets {
            cases.push(self.case(what, (self.arriving)(&packet), self.tunnelled(&packet)));
        }
        let fits = plain.clone().payload(largest);
        cases.push(self.case("the largest packet that fits", (self.arriving)(&fits), self.tunnelled(&fits)));
        cases.push(self.case(
            "padding of a short frame is carried along and counts for nothing",
            (self.arriving)(&plain.clone().payload(9)).padded(60),
            {
                let packet = plain.clone().payload(9);
                let mut bytes = self.wrapped(&packet);
                bytes.resize(bytes.len() + 60 - (14 + packet.len()), 0);
                Expect::transmit(self.counter).bytes(bytes)
            },
        ));
        cases
    }
}

pub fn down() -> Vec<Case> {
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        let tunnel = Tunnel::down(encapsulation);
        let packets = inner::packets(CORRESPONDENT, AWAY);
        let (_, plain) = packets[0].clone();
        cases.extend(tunnel.cases(packets));
        for length in [usize::from(encapsulation.largest()) - 19, 3000] {
            let frame = (tunnel.arriving)(&plain.clone().payload(length));
            let what = format!("{} bytes are too big", length + 20);
            cases.push(tunnel.case(&what, frame, Expect::pass(Counter::SlowTooBig)));
        }
        let back = Ipv4::tunnel(FAR_AGENT, AWAY, &plain);
        let what = "a packet that its client's agent has wrapped for it goes round and is dropped";
        cases.push(tunnel.case(what, (tunnel.arriving)(&back), Expect::drop(Counter::DroppedLoop)));
        let wrong = plain.clone().wrong_checksum();
        if !encapsulation.keeps_header() {
            let what = "a wrong header checksum would become right: dropped";
            cases.push(tunnel.case(what, (tunnel.arriving)(&wrong), Expect::drop(Counter::DroppedShort)));
            continue;
        }
        cases.push(tunnel.case("a wrong header checksum stays wrong", (tunnel.arriving)(&wrong), {
            let mut bytes = tunnel.wrapped(&plain);
            let at = bytes.len() - plain.len() + 10;
            let wrong = wrong.bytes();
            // One hop raises the sum by 0x100, right or wrong.
            let raised = u32::from(u16::from_be_bytes([wrong[10], wrong[11]])) + 0x100;
            bytes[at..at + 2].copy_from_slice(&((raised + raised / 0xffff) as u16).to_be_bytes());
            Expect::transmit(Counter::Encapsulated).bytes(bytes)
        }));
    }
    cases
}

pub fn up() -> Vec<Case> {
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        cases.extend(Tunnel::up(encapsulation).cases(inner::packets(VISITOR, CORRESPONDENT)));
    }
    cases
}
