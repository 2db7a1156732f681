//! Out of tunnels, by each encapsulation: at the foreign agent for its visitors, at the home agent from its clients.

use mipd_common::maps::{Counter, interface_flags};
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::inner;
use mipd_lab::packets::ipv4::Ipv4;

use crate::case::{Case, case};
use crate::world::{
    ALSO_AWAY, AWAY, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, FARTHER_AGENT, HOME_AGENT, HOST, NEIGHBOUR,
    NEXT_HOP, ROUTED, ROUTER, VISITOR, VISITORS_AGENT, World,
};

/// One direction of one encapsulation.
#[derive(Clone, Copy)]
struct Tunnel {
    encapsulation: Encapsulation,
    counter: Counter,
    /// What arrives, as a packet.
    arriving: fn(Encapsulation, &Ipv4) -> Ipv4,
    /// The frame that leaves with the packet from inside.
    leaving: fn(&Ipv4) -> Frame,
    world: fn(&mut World, Encapsulation),
}

impl Tunnel {
    fn down(encapsulation: Encapsulation) -> Self {
        Self {
            encapsulation,
            counter: Counter::DeliveredVisitor,
            arriving: |encapsulation, inner| encapsulation.reversed().arriving(VISITORS_AGENT, CARE_OF, inner),
            leaving: |inner| Frame::new(EGRESS, CLIENT).ipv4(inner),
            world: World::wrap_visitor,
        }
    }

    fn back(encapsulation: Encapsulation) -> Self {
        Self {
            encapsulation,
            counter: Counter::ReverseDecapsulated,
            arriving: |encapsulation, inner| encapsulation.arriving(FAR_AGENT, HOME_AGENT, inner),
            leaving: |inner| Frame::new(EGRESS, NEXT_HOP).ipv4(inner),
            world: |world, encapsulation| world.wrap(encapsulation, encapsulation),
        }
    }

    fn case(&self, what: &str, outer: &Ipv4, expect: Expect) -> Case {
        self.framed(what, Frame::new(HOST, ROUTER).ipv4(outer), expect)
    }

    fn framed(&self, what: &str, frame: Frame, expect: Expect) -> Case {
        let (world, encapsulation) = (self.world, self.encapsulation);
        let name = encapsulation.name();
        case(format!("{name}: {what}"), frame, expect).when(move |changed| world(changed, encapsulation))
    }

    fn wrapped(&self, inner: &Ipv4) -> Ipv4 {
        (self.arriving)(self.encapsulation, inner)
    }

    fn unwrapped(&self, inner: &Ipv4) -> Expect {
        Expect::transmit(self.counter).bytes((self.leaving)(&inner.clone().forwarded()).bytes())
    }

    /// What XDP leaves to TC, and TC to the kernel, which gets what is inside.
    fn slowly(&self, plain: &Ipv4, without_device: fn(&mut World)) -> [Case; 3] {
        // A test run shows the frame before the redirection takes the Ethernet header off.
        let received =
            |inner: &Ipv4| Expect::receive(Counter::SlowToTun).bytes(Frame::new(HOST, ROUTER).ipv4(inner).bytes());
        let expiring = plain.clone().ttl(1);
        [
            self.case("with the fast path off the kernel forwards it", &self.wrapped(plain), {
                Expect::pass(Counter::SlowFastPathOff)
            })
            .tc(received(plain))
            .when(|world| world.interface.flags &= !interface_flags::FAST),
            self.case("expiring, the kernel answers", &self.wrapped(&expiring), Expect::pass(Counter::SlowTtl))
                .tc(received(&expiring)),
            self.case("without a device the agent's socket gets it", &self.wrapped(&expiring), {
                Expect::pass(Counter::SlowTtl)
            })
            .when(without_device),
        ]
    }

    /// What the outer header may look like, and what must not be inside.
    fn cases(&self, packets: Vec<(&'static str, Ipv4)>) -> Vec<Case> {
        let (_, plain) = packets[0].clone();
        let mut cases = Vec::new();
        for (what, packet) in packets {
            cases.push(self.case(what, &self.wrapped(&packet), self.unwrapped(&packet)));
        }
        let outer = || self.wrapped(&plain);
        let short = || Expect::drop(Counter::DroppedShort);
        cases.extend([
            self.case("a first outer fragment is the kernel's", &outer().fragment(0, true), {
                self.unopened(Expect::pass(Counter::SlowFragment))
            }),
            self.case("a last outer fragment is the kernel's", &outer().fragment(9, false), {
                self.unopened(Expect::pass(Counter::SlowFragment))
            }),
            self.case("outer options are the kernel's", &outer().options(), {
                self.unopened(Expect::pass(Counter::SlowOptions))
            }),
            self.case("a wrong outer checksum", &outer().wrong_checksum(), short()),
            self.case("an outer header of 16 bytes", &outer().header_words(4), self.unopened(short())),
            self.case("an outer total length below its header", &outer().total_length(19), short()),
            self.case("an outer total length beyond the frame", &outer().total_length(1400), short()),
            self.case("inner TTL zero", &self.wrapped(&plain.clone().ttl(0)), short()),
        ]);
        if self.encapsulation.keeps_header() {
            cases.extend(self.headers(&plain));
        } else {
            let arriving = outer().tos(0xfc).identification(0x7777).may_fragment();
            let leaving = plain.clone().tos(0xfc).identification(0x7777).may_fragment();
            cases.push(self.case("what the outer header says is the packet's", &arriving, self.unwrapped(&leaving)));
        }
        let short_one = plain.clone().payload(0);
        let frame = Frame::new(HOST, ROUTER).ipv4(&self.wrapped(&short_one));
        let padding = 90 - frame.len();
        cases.push(self.framed("padding is carried along and counts for nothing", frame.padded(90), {
            let mut bytes = (self.leaving)(&short_one.clone().forwarded()).bytes();
            bytes.resize(bytes.len() + padding, 0);
            Expect::transmit(self.counter).bytes(bytes)
        }));
        cases.extend(self.truncated(&outer()));
        cases
    }

    /// What to expect where only the kernel can look for the UDP header: that it is left to it.
    fn unopened(&self, otherwise: Expect) -> Expect {
        if self.encapsulation.ports().is_some() { Expect::pass(Counter::PassedControl) } else { otherwise }
    }

    /// Two headers, and each has its own fields.
    fn headers(&self, plain: &Ipv4) -> Vec<Case> {
        let outer = || self.wrapped(plain);
        let good = || self.unwrapped(plain);
        let short = || Expect::drop(Counter::DroppedShort);
        vec![
            self.case("the outer TOS stays outside", &outer().tos(0xfc), good()),
            self.case("the outer identification stays outside", &outer().identification(0x7777), good()),
            self.case("the outer DF stays outside", &outer().may_fragment().identification(3), good()),
            self.case("the outer TTL does not matter here", &outer().ttl(1), good()),
            self.case("inner version 6", &self.wrapped(&plain.clone().version(6)), short()),
            self.case(
                "an inner total length below its header",
                &self.wrapped(&plain.clone().total_length(12)),
                short(),
            ),
            self.case("an inner header of 16 bytes", &self.wrapped(&plain.clone().header_words(4)), short()),
            self.case(
                "an inner header longer than its packet",
                &{ self.wrapped(&plain.clone().header_words(15).total_length(40)) },
                short(),
            ),
            self.case(
                "an inner total length one beyond the outer one",
                &{ self.wrapped(&plain.clone().total_length(plain.len() as u16 + 1)) },
                short(),
            ),
        ]
    }

    /// The packet cut short at every length: by the wire, and by its sender.
    fn truncated(self, outer: &Ipv4) -> impl Iterator<Item = Case> {
        let short = || Expect::drop(Counter::DroppedShort);
        let (wire, sender) = (outer.clone(), outer.clone());
        let udp = if self.encapsulation.ports().is_some() { 12 } else { 0 };
        let cut = (34..14 + outer.len()).map(move |length| {
            let what = format!("cut off after {length} bytes");
            let expect = if length < 34 + udp { self.unopened(short()) } else { short() };
            self.framed(&what, Frame::new(HOST, ROUTER).ipv4(&wire).cut(length), expect)
        });
        // A packet whose header is taken apart is a shorter one then, and UDP says how long it was.
        let longest = if self.encapsulation.keeps_header() || udp > 0 { outer.len() - 20 } else { 12 };
        let claimed = (0..longest).map(move |length| {
            let what = format!("{length} bytes behind the outer header");
            let expect = if length < udp { self.unopened(short()) } else { short() };
            self.case(&what, &sender.clone().payload(length), expect)
        });
        cut.chain(claimed)
    }
}

pub fn down() -> Vec<Case> {
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        let tunnel = Tunnel::down(encapsulation);
        let packets = inner::packets(CORRESPONDENT, VISITOR);
        let (_, plain) = packets[0].clone();
        cases.extend(tunnel.cases(packets));
        let stranger = Ipv4::udp((CORRESPONDENT, 9), (NEIGHBOUR, 9), 4);
        let ours = encapsulation.reversed();
        cases.extend([
            tunnel.case("a destination that is no visitor is dropped silently", &tunnel.wrapped(&stranger), {
                Expect::drop(Counter::DroppedNoVisitor)
            }),
            tunnel.case(
                "a visitor's address from another tunnel end is dropped silently",
                &{ ours.arriving(FAR_AGENT, CARE_OF, &plain) },
                Expect::drop(Counter::DroppedNoVisitor),
            ),
            tunnel.case("a tunnel for another of our addresses", &ours.arriving(VISITORS_AGENT, HOME_AGENT, &plain), {
                Expect::drop(Counter::DroppedEncapsulation)
            }),
            tunnel.case(
                "a tunnel for somebody else is routed",
                &{ ours.arriving(VISITORS_AGENT, CORRESPONDENT, &plain) },
                Expect::pass(Counter::PassedNoTunnel),
            ),
        ]);
        for &other in Encapsulation::ALL.iter().filter(|other| !encapsulation.accepts(**other)) {
            let what = format!("{} although it is not agreed", other.name());
            let packet = other.reversed().arriving(VISITORS_AGENT, CARE_OF, &plain);
            cases.push(tunnel.case(&what, &packet, Expect::drop(Counter::DroppedEncapsulation)));
        }
        cases.extend(tunnel.slowly(&plain, |world| world.router.visit_tun = 0));
    }
    cases
}

pub fn back() -> Vec<Case> {
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        let tunnel = Tunnel::back(encapsulation);
        let packets = inner::packets(AWAY, ROUTED);
        let (_, plain) = packets[0].clone();
        cases.extend(tunnel.cases(packets));
        cases.push(tunnel.case(
            "from another tunnel end",
            &{ encapsulation.arriving(FARTHER_AGENT, HOME_AGENT, &plain) },
            Expect::drop(Counter::DroppedTunnelSource),
        ));
        for &other in Encapsulation::ALL {
            if !encapsulation.accepts(other) {
                let what = format!("{} although it is not agreed", other.name());
                let packet = other.arriving(FAR_AGENT, HOME_AGENT, &plain);
                cases.push(tunnel.case(&what, &packet, Expect::drop(Counter::DroppedEncapsulation)));
            }
            cases.push(across(encapsulation, other));
            cases.push(from_both(encapsulation, other));
        }
        cases.extend(tunnel.slowly(&plain, |world| world.router.home_tun = 0));
    }
    cases
}

/// Between two clients that are both away: out of one tunnel, into the other.
fn across(from: Encapsulation, into: Encapsulation) -> Case {
    let inner = Ipv4::udp((AWAY, 9), (ALSO_AWAY, 9), 20);
    let sent = into.sent(HOME_AGENT, FARTHER_AGENT, &inner.clone().forwarded());
    case(
        format!("out of {}, into {}", from.name(), into.name()),
        Frame::new(HOST, ROUTER).ipv4(&from.arriving(FAR_AGENT, HOME_AGENT, &inner)),
        Expect::transmit(Counter::Encapsulated).bytes(Frame::new(EGRESS, NEXT_HOP).ipv4(&sent).bytes()),
    )
    .when(move |world| world.wrap(from, into))
}

/// From a client with two care-of addresses, each with an encapsulation of its own.
fn from_both(one: Encapsulation, other: Encapsulation) -> Case {
    let inner = Ipv4::udp((AWAY, 9), (ROUTED, 9), 20);
    case(
        format!("a copy's tunnel brings {} although the first one's brings {}", other.name(), one.name()),
        Frame::new(HOST, ROUTER).ipv4(&other.arriving(FARTHER_AGENT, HOME_AGENT, &inner)),
        Expect::transmit(Counter::ReverseDecapsulated)
            .bytes(Frame::new(EGRESS, NEXT_HOP).ipv4(&inner.clone().forwarded()).bytes()),
    )
    .when(move |world| {
        world.wrap(one, other);
        world.copies();
    })
}
