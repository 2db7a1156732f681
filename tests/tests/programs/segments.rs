//! How large a segment TCP may announce through a tunnel: the option of a SYN is lowered, with the right checksum, and
//! everything else goes through as it came.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use mipd_common::maps::Counter;
use mipd_lab::packets::bench::SocketBuffer;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::transport::maximum_segment_size;

use crate::case::{Case, case};
use crate::world::{
    ALSO_AWAY, AWAY, CARE_OF, CLIENT, CORRESPONDENT, EGRESS, FAR_AGENT, FARTHER_AGENT, HOME_AGENT, HOST, MARK,
    NEXT_HOP, REVERSE_TUNNEL, ROUTED, ROUTER, VISITOR, VISITORS_AGENT, World,
};

const LIMIT: u16 = 1400;
const PORTS: RangeInclusive<u16> = 1..=u16::MAX;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;

fn large() -> [u8; 4] {
    maximum_segment_size(1460)
}

fn limit() -> [u8; 4] {
    maximum_segment_size(LIMIT)
}

/// One way of a packet through the router.
#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    encapsulation: Encapsulation,
    counter: Counter,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// What arrives, as a frame.
    arriving: fn(Encapsulation, &Ipv4) -> Frame,
    /// The frame that leaves.
    leaving: fn(Encapsulation, &Ipv4) -> Frame,
    world: fn(&mut World, Encapsulation),
    limit: fn(&mut World, u16),
}

fn arriving(packet: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(packet)
}

fn sent(packet: &Ipv4) -> Frame {
    Frame::new(EGRESS, NEXT_HOP).ipv4(packet)
}

/// All ways of each encapsulation; the first is into a tunnel by IP-in-IP.
fn paths() -> Vec<Path> {
    Encapsulation::ALL.iter().flat_map(|&encapsulation| Path::all(encapsulation)).collect()
}

impl Path {
    fn all(encapsulation: Encapsulation) -> [Self; 5] {
        let to_away_client = Self {
            name: "to an away client",
            encapsulation,
            counter: Counter::Encapsulated,
            source: CORRESPONDENT,
            destination: AWAY,
            arriving: |_, packet| arriving(packet),
            leaving: |encapsulation, packet| sent(&encapsulation.sent(HOME_AGENT, FAR_AGENT, packet)),
            world: |world, encapsulation| world.wrap(encapsulation, encapsulation),
            limit: |world, limit| world.tunnel().segment_limit = limit,
        };
        let from_away_client = Self {
            name: "from an away client",
            counter: Counter::ReverseDecapsulated,
            source: AWAY,
            destination: ROUTED,
            arriving: |encapsulation, packet| arriving(&encapsulation.arriving(FAR_AGENT, HOME_AGENT, packet)),
            leaving: |_, packet| sent(packet),
            ..to_away_client
        };
        let to_visitor = Self {
            name: "to a visitor",
            counter: Counter::DeliveredVisitor,
            source: CORRESPONDENT,
            destination: VISITOR,
            arriving: |encapsulation, packet| {
                arriving(&encapsulation.reversed().arriving(VISITORS_AGENT, CARE_OF, packet))
            },
            leaving: |_, packet| Frame::new(EGRESS, CLIENT).ipv4(packet),
            world: World::wrap_visitor,
            limit: |world, limit| world.visitors[0].2.segment_limit = limit,
            ..to_away_client
        };
        let from_visitor = Self {
            name: "from a visitor into its reverse tunnel",
            counter: Counter::ReverseEncapsulated,
            source: VISITOR,
            destination: CORRESPONDENT,
            arriving: |_, packet| Frame::new(CLIENT, ROUTER).ipv4(packet),
            leaving: |encapsulation, packet| sent(&encapsulation.reversed().sent(CARE_OF, VISITORS_AGENT, packet)),
            world: |world, encapsulation| {
                world.wrap_visitor(encapsulation);
                world.visitor_sources[0].2 = REVERSE_TUNNEL;
            },
            limit: |world, limit| world.tunnels[3].1.segment_limit = limit,
            ..to_away_client
        };
        let visitors_own = Self {
            name: "from a visitor without a reverse tunnel",
            counter: Counter::VisitorForwarded,
            destination: ROUTED,
            leaving: |_, packet| sent(packet),
            world: World::wrap_visitor,
            limit: |world, limit| world.visitor_segment_limit = limit,
            ..from_visitor
        };
        [to_away_client, from_away_client, to_visitor, from_visitor, visitors_own]
    }

    fn tcp(&self, flags: u8, options: &[u8], data: &[u8]) -> Ipv4 {
        Ipv4::tcp((self.source, 4000), (self.destination, 80), flags, options, data)
    }

    fn syn(&self, options: &[u8]) -> Ipv4 {
        self.tcp(SYN, options, &[])
    }

    /// What becomes of `after`, which is what is to be found inside.
    fn expect(&self, after: &Ipv4) -> Expect {
        let after = after.clone().forwarded();
        let word = u16::from_be_bytes([after.bytes()[6], after.bytes()[7]]);
        let expect = Expect::transmit(self.counter).bytes((self.leaving)(self.encapsulation, &after).bytes());
        // Who may fragment the outer packet needs an identification to do so.
        let into_tunnel = matches!(self.counter, Counter::Encapsulated | Counter::ReverseEncapsulated);
        if into_tunnel && word & 0x4000 == 0 { expect.any_identification() } else { expect }
    }

    fn case(&self, what: &str, before: &Ipv4, after: &Ipv4) -> Case {
        self.limited(LIMIT, what, (self.arriving)(self.encapsulation, before).bytes(), self.expect(after))
    }

    fn limited(&self, limit: u16, what: &str, frame: Vec<u8>, expect: Expect) -> Case {
        let path = *self;
        case(format!("{}, {}: {what}", path.encapsulation.name(), path.name), frame, expect).when(move |world| {
            (path.world)(world, path.encapsulation);
            (path.limit)(world, limit);
        })
    }

    /// What is lowered, and what is not.
    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (what, options) in lowered() {
            let before = [&options[..], &[4, 2, 1, 1]].concat();
            let after = [&limit()[..], &before[4..]].concat();
            cases.push(self.case(what, &self.syn(&before), &self.syn(&after)));
            let answers = (self.tcp(SYN_ACK, &before, &[]), self.tcp(SYN_ACK, &after, &[]));
            cases.push(self.case(&format!("{what}, answered"), &answers.0, &answers.1));
        }
        for (what, options) in untouched() {
            cases.push(self.case(what, &self.syn(&options), &self.syn(&options)));
        }
        let alone = |options: &[u8]| self.syn(options);
        cases.push(self.case("the option alone", &alone(&large()), &alone(&limit())));
        let fast_open = |options: &[u8]| self.tcp(SYN, options, b"fast open");
        cases.push(self.case("a SYN with data", &fast_open(&large()), &fast_open(&limit())));
        let other_flags = |options: &[u8]| self.tcp(SYN | 0xc0, options, &[]);
        cases.push(self.case("a SYN that offers ECN", &other_flags(&large()), &other_flags(&limit())));
        let hardware = |options: &[u8]| self.syn(options).checksum_left_to_hardware();
        cases.push(self.case(
            "a checksum that is left to the hardware stays",
            &hardware(&large()),
            &hardware(&limit()),
        ));
        let wrong = |options: &[u8]| {
            let packet = self.syn(options);
            let mut segment = packet.bytes().split_off(20);
            segment[4] ^= 0x40;
            packet.payload_bytes(&segment)
        };
        cases.push(self.case("a wrong checksum stays wrong", &wrong(&large()), &wrong(&limit())));
        for (what, packet) in self.others() {
            cases.push(self.case(what, &packet, &packet));
        }
        let frame = (self.arriving)(self.encapsulation, &alone(&large())).bytes();
        cases.push(self.limited(0, "no limit", frame, self.expect(&alone(&large()))));
        cases
    }

    /// Packets that are no whole SYN with the option in front.
    fn others(&self) -> Vec<(&'static str, Ipv4)> {
        let syn = self.syn(&large());
        let mut claims_none = syn.bytes().split_off(20);
        claims_none[12] = 0x50;
        let mut claims_less = claims_none.clone();
        claims_less[12] = 0x40;
        let mut cut = syn.bytes().split_off(20);
        cut.truncate(23);
        vec![
            ("no SYN", self.tcp(0x10, &large(), b"data")),
            ("FIN, RST, PSH, ACK and URG are no SYN", self.tcp(0x3d, &large(), &[])),
            ("what looks like the option is data", self.tcp(SYN, &[], &[2, 4, 5, 180, 1, 2, 3, 4])),
            ("an option behind the end of the header", syn.clone().payload_bytes(&claims_none)),
            ("a header of 16 bytes", syn.clone().payload_bytes(&claims_less)),
            ("a packet that ends within the option", syn.clone().payload_bytes(&cut)),
            ("a TCP header without options", self.tcp(SYN, &[], &[])),
            ("half a TCP header", syn.clone().payload(10)),
            ("no TCP", syn.clone().protocol(132)),
            ("the first fragment", syn.clone().fragment(0, true).identification(9)),
            ("a later fragment that looks like a SYN", syn.clone().fragment(30, true).identification(9)),
            ("the last fragment", syn.clone().fragment(30, false).identification(9)),
        ]
    }

    /// A SYN whose checksum is 0 before or after, where sums of ones' complement have two zeros.
    fn zeros(&self) -> [Case; 2] {
        let from = |port, options: &[u8]| Ipv4::tcp_syn((self.source, port), (self.destination, 80), options);
        let zero = |options: [u8; 4]| PORTS.clone().find(|&port| from(port, &options).tcp_checksum() == 0).unwrap();
        [("before", zero(large())), ("after", zero(limit()))].map(|(when, port)| {
            self.case(&format!("a checksum that is 0 {when}"), &from(port, &large()), &from(port, &limit()))
        })
    }
}

/// Larger options than the limit.
fn lowered() -> Vec<(&'static str, [u8; 4])> {
    vec![
        ("more than the limit", large()),
        ("one more than the limit", maximum_segment_size(LIMIT + 1)),
        ("a jumbo frame's", maximum_segment_size(8960)),
        ("the largest there is", maximum_segment_size(u16::MAX)),
    ]
}

/// Options that stay as they are.
fn untouched() -> Vec<(&'static str, Vec<u8>)> {
    let large = large();
    vec![
        ("no option", Vec::new()),
        ("less than the limit", maximum_segment_size(536).to_vec()),
        ("one less than the limit", maximum_segment_size(LIMIT - 1).to_vec()),
        ("the limit itself", maximum_segment_size(LIMIT).to_vec()),
        ("nothing", maximum_segment_size(0).to_vec()),
        ("behind padding", [&[1; 4], &large[..]].concat()),
        ("at an odd offset", [&[1], &large[..], &[1, 1, 1]].concat()),
        ("behind other options", [&[4, 2, 3, 3, 7, 1, 1, 1], &large[..]].concat()),
        ("behind the end of the options", [&[0, 1, 1, 1], &large[..]].concat()),
        ("a length of 0", vec![2, 0, 5, 180]),
        ("a length of 1", vec![2, 1, 5, 180]),
        ("a length of 3", vec![2, 3, 5, 180]),
        ("a length of 5", vec![2, 5, 5, 180, 1, 1, 1, 1]),
        ("a length beyond the header", vec![2, 255, 5, 180]),
        ("across the end of the header", vec![1, 1, 2, 4]),
        ("behind an option without length", [&[3, 0, 1, 1], &large[..]].concat()),
        ("behind an option that is longer than the header", [&[8, 255, 1, 1], &large[..]].concat()),
    ]
}

/// A packet that ends in front of what follows it in the frame.
fn padding(path: &Path) -> Case {
    let short = path.syn(&large()).payload(20);
    let follow = |mut frame: Vec<u8>| {
        frame.extend(large());
        frame
    };
    let frame = follow((path.arriving)(path.encapsulation, &short).bytes());
    let expect = follow((path.leaving)(path.encapsulation, &short.clone().forwarded()).bytes());
    path.limited(LIMIT, "an option in the frame's padding", frame, Expect::transmit(path.counter).bytes(expect))
}

pub fn forwarded() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in paths() {
        cases.extend(path.cases());
        cases.extend(path.zeros());
        cases.push(padding(&path));
        let options = |options: [u8; 4]| path.syn(&options).options();
        let opaque = options(large());
        let expect = match path.counter {
            Counter::DeliveredVisitor => Expect::receive(Counter::SlowToTun).bytes(arriving(&opaque).bytes()),
            Counter::ReverseEncapsulated => Expect::pass(Counter::SlowMarked).mark(MARK | REVERSE_TUNNEL),
            _ => continue,
        };
        let frame = (path.arriving)(path.encapsulation, &opaque).bytes();
        cases.push(
            path.limited(LIMIT, "IP options are the kernel's", frame, Expect::pass(Counter::SlowOptions)).tc(expect),
        );
    }
    for &encapsulation in Encapsulation::ALL {
        cases.push(handed_over(encapsulation));
        cases
            .extend([(LIMIT, 1460), (1460, LIMIT), (LIMIT, 0), (0, LIMIT)].map(|limits| across(encapsulation, limits)));
    }
    cases
}

/// What the kernel forwards instead is lowered on the way to it, because it may not pass by a program again.
fn handed_over(encapsulation: Encapsulation) -> Case {
    let [_, _, path, ..] = Path::all(encapsulation);
    let [before, after] = [large(), limit()].map(|options| path.syn(&options).ttl(1));
    let frame = (path.arriving)(encapsulation, &before).bytes();
    path.limited(LIMIT, "a SYN that is left to the kernel", frame, {
        Expect::pass(Counter::SlowTtl).bytes((path.arriving)(encapsulation, &after).bytes())
    })
    .tc(Expect::receive(Counter::SlowToTun).bytes(arriving(&after).bytes()))
}

/// Between two away clients the smaller limit counts, 0 being none.
fn across(encapsulation: Encapsulation, (from, into): (u16, u16)) -> Case {
    let syn = |options: [u8; 4]| Ipv4::tcp_syn((AWAY, 4000), (ALSO_AWAY, 80), &options);
    let outer = encapsulation.sent(HOME_AGENT, FARTHER_AGENT, &syn(limit()).forwarded());
    case(
        format!("{}: out of a tunnel with limit {from}, into one with {into}", encapsulation.name()),
        arriving(&encapsulation.arriving(FAR_AGENT, HOME_AGENT, &syn(large()))),
        Expect::transmit(Counter::Encapsulated).bytes(sent(&outer).bytes()),
    )
    .when(move |world| {
        world.wrap(encapsulation, encapsulation);
        world.tunnels[0].1.segment_limit = from;
        world.tunnels[1].1.segment_limit = into;
    })
}

pub fn home() -> Vec<Case> {
    let syn = |options: [u8; 4]| Ipv4::tcp_syn((CORRESPONDENT, 4000), (AWAY, 80), &options);
    let limited = |encapsulation| {
        move |world: &mut World| {
            world.wrap(encapsulation, encapsulation);
            world.tunnel().segment_limit = LIMIT;
        }
    };
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        let name = encapsulation.name();
        let out = |remote, packet: &Ipv4| sent(&encapsulation.sent(HOME_AGENT, remote, packet)).bytes();
        let expect = |packet: &Ipv4| Expect::transmit(Counter::Encapsulated).bytes(out(FAR_AGENT, packet));
        let piece = syn(large()).fragment(0, true).identification(9);
        let options = syn(large()).options();
        cases.extend([
            case(format!("{name}: a SYN"), &syn(large()), expect(&syn(limit()))).when(limited(encapsulation)),
            case(format!("{name}: a fragment"), &piece, expect(&piece).any_identification())
                .when(limited(encapsulation)),
            case(format!("{name}: IP options"), &options, expect(&options)).when(limited(encapsulation)),
        ]);
        for limits in [[LIMIT, 1300], [1300, LIMIT], [LIMIT, 0], [0, LIMIT]] {
            let inside = limits.map(|limit| syn(if limit == 0 { large() } else { maximum_segment_size(limit) }));
            cases.push(
                case(
                    format!("{name}: a copy with limit {}, and one with {}", limits[0], limits[1]),
                    &syn(large()),
                    Expect::transmit(Counter::EncapsulatedCopies)
                        .bytes(out(FAR_AGENT, &inside[0]))
                        .copy(Counter::EncapsulatedCopies, out(FARTHER_AGENT, &inside[1])),
                )
                .when(move |world| {
                    world.wrap(encapsulation, encapsulation);
                    world.copies();
                    world.tunnels[0].1.segment_limit = limits[0];
                    world.tunnels[1].1.segment_limit = limits[1];
                }),
            );
        }
    }
    cases
}

pub fn visit() -> Vec<Case> {
    let syn = |options: [u8; 4]| Ipv4::tcp_syn_ack((VISITOR, 80), (CORRESPONDENT, 4000), &options);
    let mut cases = Vec::new();
    for &encapsulation in Encapsulation::ALL {
        for (what, options, inside) in [("SYN-ACK", large(), limit()), ("SYN-ACK with the limit", limit(), limit())] {
            let outer = encapsulation.reversed().sent(CARE_OF, VISITORS_AGENT, &syn(inside));
            cases.push(
                case(
                    format!("{}: {what}", encapsulation.name()),
                    &syn(options),
                    Expect::transmit(Counter::ReverseEncapsulated).bytes(sent(&outer).bytes()),
                )
                .when(move |world| {
                    world.wrap_visitor(encapsulation);
                    world.tunnels[3].1.segment_limit = LIMIT;
                })
                .buffer(SocketBuffer { mark: MARK | REVERSE_TUNNEL, ..SocketBuffer::default() }),
            );
        }
    }
    cases
}
