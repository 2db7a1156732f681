//! GRE headers that are not plain (RFC 2784 §2, RFC 2890 §2), at the foreign agent.

use mipd_common::maps::Counter;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::tunnel::Gre;

use crate::case::{Case, case};
use crate::world::{CARE_OF, CLIENT, CORRESPONDENT, EGRESS, HOST, ROUTER, VISITOR, VISITORS_AGENT};

fn inner() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)
}

fn arriving(header: &Gre, inner: &Ipv4) -> Frame {
    Frame::new(HOST, ROUTER).ipv4(&header.tunnel(VISITORS_AGENT, CARE_OF, inner))
}

fn key(of: Encapsulation) -> [u8; 4] {
    of.send_key().expect("it has keys")
}

pub fn cases() -> Vec<Case> {
    let dropped = || Expect::drop(Counter::DroppedEncapsulation);
    let to_agent = || Expect::pass(Counter::SlowGreOptions);
    let delivered = || {
        let bytes = Frame::new(EGRESS, CLIENT).ipv4(&inner().forwarded()).bytes();
        Expect::transmit(Counter::DeliveredVisitor).bytes(bytes)
    };
    let gre = |what: &'static str, header: Gre, expect| {
        case(what, arriving(&header, &inner()), expect).when(|world| world.wrap_visitor(Encapsulation::GRE))
    };
    let mut cases = vec![
        gre("a checksum is the agent's to verify", Gre::new().checksum(), to_agent()),
        gre("a wrong one too", Gre::new().wrong_checksum(), to_agent()),
        gre("a sequence number is the agent's to compare", Gre::new().sequence(1), to_agent()),
        gre("all three fields", Gre::new().checksum().key([1; 4]).sequence(1), to_agent()),
        gre("a key that was not agreed", Gre::new().key([0; 4]), dropped()),
        gre("routing", Gre::new().flags(0x4000), dropped()),
        gre("routing and checksum", Gre::new().flags(0x4000).checksum(), dropped()),
        gre("a strict source route", Gre::new().flags(0x0800), dropped()),
        gre("recursion", Gre::new().flags(0x0400), dropped()),
        gre("bits that a receiver ignores", Gre::new().flags(0x03f8), delivered()),
        gre("version 1, as in PPTP", Gre::new().flags(0x0001), dropped()),
        gre("version 7", Gre::new().flags(0x0007), dropped()),
        gre("IPv6 inside", Gre::new().ether_type(0x86dd), dropped()),
        gre("Ethernet inside", Gre::new().ether_type(0x6558), dropped()),
        gre("WCCP inside", Gre::new().ether_type(0x883e), dropped()),
        case(
            "a packet for the tunnel's own entry goes round",
            arriving(&Gre::new(), &Ipv4::udp((CORRESPONDENT, 9), (VISITORS_AGENT, 9), 4)),
            Expect::drop(Counter::DroppedLoop),
        ),
    ];
    let keyed = |what: &'static str, header: Gre, expect| {
        case(what, arriving(&header, &inner()), expect).when(|world| world.wrap_visitor(Encapsulation::KEYED_GRE))
    };
    cases.extend([
        keyed("no key although one was agreed", Gre::new(), dropped()),
        keyed("a wrong key", Gre::new().key([1; 4]), dropped()),
        // What the home agent receives with is what we send with.
        keyed("the key of the other direction", Gre::new().key(key(Encapsulation::KEYED_GRE.reversed())), dropped()),
        keyed("the right key", Gre::new().key(key(Encapsulation::KEYED_GRE)), delivered()),
        keyed("the right key and a checksum", Gre::new().checksum().key(key(Encapsulation::KEYED_GRE)), to_agent()),
    ]);
    cases
}
