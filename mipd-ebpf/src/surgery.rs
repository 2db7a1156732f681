//! What the programs do to packets that they carry on themselves: take off what they arrived in, put on what they go
//! into, write the Ethernet header, one hop less. The decisions only plan it; it is done once, at the end.

use core::mem::MaybeUninit;

use mipd_common::{
    maps::{Counter, Tunnel, Visitor, tunnel_kind::DIRECT},
    packet::{ETHERNET_LENGTH, IPV4_LENGTH},
};

use crate::{
    bytes::{Bytes, BytesMut, Frame},
    hook::{Hook, Layers},
    ipv4::{Ipv4, hop},
    next_hop::NextHop,
    segment_limit,
    verdict::Verdict,
    wrap::{self, Failure},
};

/// Ethernet and IPv4.
const HEADERS: usize = ETHERNET_LENGTH + IPV4_LENGTH;

/// What a plan refers to and neither packet nor maps hold.
pub struct Scratch {
    /// A route that was looked up.
    pub next_hop: MaybeUninit<NextHop>,
    /// A header that has to be made before it can be looked at.
    pub header: Header,
}

/// Place for an IPv4 header, aligned like one in a packet.
#[repr(C, align(4))]
pub struct Header(MaybeUninit<[u8; IPV4_LENGTH]>);

impl Header {
    /// The place, to be written.
    #[inline(always)]
    pub fn bytes(&mut self) -> BytesMut<IPV4_LENGTH> {
        BytesMut::of(&mut self.0)
    }
}

impl Scratch {
    /// Nothing in it yet.
    #[inline(always)]
    pub fn new() -> Self {
        Self { next_hop: MaybeUninit::uninit(), header: Header(MaybeUninit::uninit()) }
    }
}

/// What has to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Operation {
    /// Nothing: the packet stays as it is.
    Leave,
    /// Take off what it arrived in: the kernel does the rest.
    HandOver,
    /// Everything.
    Forward,
}

/// What is to become of a packet, and what has to be done for it.
///
/// No enum with contents, for the reason that [`Verdict`] has none.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    verdict: Verdict,
    operation: Operation,
    /// The packet that is carried on.
    carried: Option<Carried<'a>>,
    /// What it goes into.
    tunnel: Option<&'static Tunnel>,
    /// The Ethernet header, if it is ready; otherwise there is a next hop.
    ethernet: Option<&'static [u8; ETHERNET_LENGTH]>,
    next_hop: Option<&'a NextHop>,
    /// Largest segment that it may announce, if it is a TCP SYN; 0 = whatever it does.
    segment_limit: u16,
}

impl From<Verdict> for Plan<'_> {
    #[inline(always)]
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            operation: Operation::Leave,
            carried: None,
            tunnel: None,
            ethernet: None,
            next_hop: None,
            segment_limit: 0,
        }
    }
}

impl<'a> Plan<'a> {
    /// On to the kernel (or the next program), untouched.
    #[inline(always)]
    pub fn pass(counter: Counter) -> Self {
        Verdict::pass(counter).into()
    }

    /// Gone.
    #[inline(always)]
    pub fn drop(counter: Counter) -> Self {
        Verdict::drop(counter).into()
    }

    /// Received by the device `tun`, without what it arrived in. TC only.
    #[inline(always)]
    pub fn hand_over(carried: Carried<'a>, tun: u32) -> Self {
        Self {
            operation: Operation::HandOver,
            carried: Some(carried),
            ..Verdict::receive(Counter::SlowToTun, tun).into()
        }
    }

    #[inline(always)]
    fn forward(counter: Counter, carried: Carried<'a>, ifindex: u32) -> Self {
        Self { operation: Operation::Forward, carried: Some(carried), ..Verdict::transmit(counter, ifindex).into() }
    }

    /// Into a tunnel whose next hop is known.
    #[inline(always)]
    pub fn encapsulate(counter: Counter, carried: Carried<'a>, tunnel: &'static Tunnel) -> Self {
        let segment_limit = tunnel.segment_limit;
        Self { tunnel: Some(tunnel), segment_limit, ..Self::forward(counter, carried, tunnel.ifindex) }
    }

    /// Lowers the largest segment that the packet may announce, whatever becomes of it; 0 = no limit.
    #[inline(always)]
    pub fn limited(self, carried: Carried<'a>, limit: u16) -> Self {
        // 0 is above all others here.
        if limit.wrapping_sub(1) < self.segment_limit.wrapping_sub(1) {
            Self { carried: Some(carried), segment_limit: limit, ..self }
        } else {
            self
        }
    }

    /// To an away client: into its tunnel, or straight to it if its care-of address is our own.
    #[inline(always)]
    pub fn to_away_client(carried: Carried<'a>, tunnel: &'static Tunnel) -> Self {
        if tunnel.kind == DIRECT {
            let forward = Self::forward(Counter::DeliveredDirect, carried, tunnel.ifindex);
            return Self { ethernet: Some(&tunnel.ethernet), ..forward };
        }
        Self::encapsulate(Counter::Encapsulated, carried, tunnel)
    }

    /// To a visitor.
    #[inline(always)]
    pub fn deliver(carried: Carried<'a>, visitor: &'static Visitor) -> Self {
        Self { ethernet: Some(&visitor.ethernet), ..Self::forward(Counter::DeliveredVisitor, carried, visitor.ifindex) }
    }

    /// To the next hop of a route.
    #[inline(always)]
    pub fn route(counter: Counter, carried: Carried<'a>, next_hop: &'a NextHop) -> Self {
        Self { next_hop: Some(next_hop), ..Self::forward(counter, carried, next_hop.ifindex()) }
    }

    #[inline(always)]
    fn write_ethernet(self, header: BytesMut<ETHERNET_LENGTH>) {
        if let Some(ready) = self.ethernet {
            header.set_ethernet::<0>(Bytes::of(ready));
        } else if let Some(next_hop) = self.next_hop {
            next_hop.write(header);
        }
    }
}

/// A packet that is to be carried on.
#[derive(Clone, Copy)]
pub struct Carried<'a> {
    /// Its header.
    pub packet: Ipv4<'a>,
    /// Bytes between the Ethernet header and it: what it arrived in.
    pub strip: usize,
    /// Its header is not in the frame, only the place for it is.
    pub rebuilt: bool,
}

impl<'a> Carried<'a> {
    /// A packet that arrived in nothing.
    #[inline(always)]
    pub fn plain(packet: Ipv4<'a>) -> Self {
        Self { packet, strip: 0, rebuilt: false }
    }

    /// Where it begins in the frame.
    #[inline(always)]
    pub fn offset(self) -> usize {
        ETHERNET_LENGTH + self.strip
    }

    /// Puts the header into its place, which is at `at` of the frame by now, if it is not there.
    #[inline(always)]
    pub fn put_back(self, frame: Frame, at: usize) -> bool {
        if !self.rebuilt {
            return true;
        }
        let Some(place) = frame.take_at::<IPV4_LENGTH>(at) else { return false };
        self.packet.copy_to(place);
        true
    }
}

/// Does what is planned, and says what becomes of the packet.
#[inline(always)]
pub fn carry_out<H: Hook>(hook: H, plan: Plan<'_>) -> Verdict {
    let Some(carried) = plan.carried else { return plan.verdict };
    segment_limit::apply(hook.frame(), carried.offset(), carried.packet, plan.segment_limit);
    if plan.operation == Operation::Leave {
        return plan.verdict;
    }
    // Whatever the programs forward comes by here, its packet still at `carried.offset()`.
    if plan.operation == Operation::Forward
        && let Some(tunnel) = plan.tunnel
    {
        return match wrap::put_on(hook, carried, tunnel) {
            Ok(()) => plan.verdict,
            Err(Failure::NoRoom) => Verdict::pass(Counter::SlowNoHeadroom),
            Err(Failure::Broken) => Verdict::drop(Counter::DroppedError),
        };
    }
    if !hook.resize(carried.strip, 0, Layers::Ip) {
        return Verdict::pass(Counter::SlowNoHeadroom);
    }
    if !carried.put_back(hook.frame(), ETHERNET_LENGTH) {
        return Verdict::drop(Counter::DroppedError);
    }
    if plan.operation == Operation::HandOver {
        return plan.verdict;
    }
    let Some(headers) = hook.frame().take::<HEADERS>() else { return Verdict::drop(Counter::DroppedError) };
    plan.write_ethernet(headers.part_mut::<0, ETHERNET_LENGTH>());
    hop(headers.part_mut::<ETHERNET_LENGTH, IPV4_LENGTH>());
    plan.verdict
}
