//! Tunnels over UDP (RFC 3519) whose headers are not as agreed, at the foreign agent.

use mipd_common::maps::Counter;
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::packets::expect::Expect;
use mipd_lab::packets::frame::Frame;
use mipd_lab::packets::ipv4::Ipv4;
use mipd_lab::packets::tunnel::UdpTunnel;

use crate::case::{Case, case};
use crate::world::{CARE_OF, CLIENT, CORRESPONDENT, EGRESS, HOST, ROUTER, VISITOR, VISITORS_AGENT};

fn inner() -> Ipv4 {
    Ipv4::udp((CORRESPONDENT, 9), (VISITOR, 9), 32)
}

fn arriving(header: &UdpTunnel) -> Frame {
    let tunnel = header.tunnel(VISITORS_AGENT, CARE_OF, &inner(), &inner().bytes());
    Frame::new(HOST, ROUTER).ipv4(&tunnel)
}

pub fn cases() -> Vec<Case> {
    let delivered = || {
        let bytes = Frame::new(EGRESS, CLIENT).ipv4(&inner().forwarded()).bytes();
        Expect::transmit(Counter::DeliveredVisitor).bytes(bytes)
    };
    let dropped = || Expect::drop(Counter::DroppedEncapsulation);
    let control = || Expect::pass(Counter::PassedControl);
    let udp = |what: &'static str, header: UdpTunnel, expect: Expect| {
        case(what, arriving(&header), expect).when(|world| world.wrap_visitor(Encapsulation::UDP))
    };
    let echo = Ipv4::echo(VISITORS_AGENT, CARE_OF, 8);
    vec![
        udp("as agreed", UdpTunnel::new(), delivered()),
        udp("a reserved field is ignored", UdpTunnel::new().reserved([0xff; 2]), delivered()),
        udp("a wrong source port", UdpTunnel::new().ports(435, 434), dropped()),
        udp("another destination port is somebody else's", UdpTunnel::new().ports(434, 435), control()),
        udp("a registration request is for the agent", UdpTunnel::new().kind(1), control()),
        udp("a registration reply is for the agent", UdpTunnel::new().kind(3), control()),
        case(
            "a keepalive's answer is for the agent",
            Frame::new(HOST, ROUTER).ipv4(&UdpTunnel::new().tunnel(VISITORS_AGENT, CARE_OF, &echo, &echo.bytes())),
            control(),
        ),
        udp("a next header that nobody knows", UdpTunnel::new().next_header(6), dropped()),
        udp("UDP in UDP", UdpTunnel::new().next_header(17), dropped()),
        udp("a UDP length beyond the packet", UdpTunnel::new().too_long_by(1), Expect::drop(Counter::DroppedShort)),
        udp("a checksum is verified by the kernel", UdpTunnel::new().checksum([0x12, 0x34]), {
            Expect::pass(Counter::SlowUdpChecksum)
        }),
    ]
}
