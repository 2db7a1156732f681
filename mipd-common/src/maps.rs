//! The contract between kernel programs and agent: every BPF map's key and value.
//!
//! All values are `#[repr(C)]` without padding. Addresses, ports and prefixes are byte arrays in network byte order;
//! plain integers (indexes, MTUs, flags) are in host byte order. Every map has one writer, named with it.
//!
//! | Map | Kind | Key | Value | Writer |
//! | --- | --- | --- | --- | --- |
//! | `INTERFACES` | array | ifindex | [`Interface`] | agent |
//! | `ROUTER` | array(1) | 0 | [`Router`] | agent |
//! | `OWN_ADDRESSES` | array(1) | 0 | [`AddressList`] | agent |
//! | `OWN_SUBNETS` | array(1) | 0 | [`SubnetList`] | agent |
//! | `HOME_SUBNETS` | array(1) | 0 | [`HomeSubnets`] | agent |
//! | `HOME_PREFIXES` | LPM trie | prefix | [`HomeSubnet`] | agent |
//! | `SLOTS` | array | slot | tunnel id (`u32`), 0 = at home | agent |
//! | `BINDINGS` | hash | home address | tunnel id (`u32`) | agent |
//! | `TUNNELS` | array | tunnel id | [`Tunnel`] | agent |
//! | `HOME_MACS` | hash | home address | [`Mac`] of the client | agent |
//! | `VISITORS` | [table](crate::table) | [`VisitorKey`] | [`Visitor`] | agent |
//! | `VISITOR_MACS` | table | [`Mac`] | [`VisitorSource`] | agent |
//! | `ACCESS_POINT` | array(1) | 0 | [`AccessPoint`] | agent |
//! | `STATIONS` | table | [`Mac`] | [`Station`] | agent; programs write `last_seen` and `last_jiffy` only |
//! | `SEEN` | LRU hash | [`Mac`] | [`Seen`] | programs; the agent only deletes |
//! | `EVENTS` | ring buffer | | [`StationEvent`] | programs |
//! | `COUNTERS` | per-CPU array | [`counter_row`] | [`Counters`] | programs |

/// Version of this layout. Pins live in a directory of this name, so an agent never adopts maps it cannot read.
pub const SCHEMA: u32 = 4;

/// An IPv4 address, network byte order.
pub type Address = [u8; 4];

/// An Ethernet address as a map key or value, padded to a multiple of four.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mac {
    /// The address in transmission order.
    pub octets: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}

impl Mac {
    /// The map form of an Ethernet address.
    #[inline(always)]
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self { octets, reserved: [0; 2] }
    }
}

// ---- Interfaces -----------------------------------------------------------------------------------------------------

/// What the programs must know of the interface a frame came in by, or is to leave by.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// The interface's own Ethernet address: router programs take only frames sent to it.
    pub mac: [u8; 6],
    /// Bits of [`interface_flags`].
    pub flags: u16,
    /// Which group of [`COUNTERS`](counter_row) rows counts for it. 0 is the row of interfaces nobody registered.
    pub row: u32,
    /// MTU of the interface.
    pub mtu: u32,
}

/// Bits of [`Interface::flags`].
pub mod interface_flags {
    /// The programs may deliver by themselves. Without it they only hand packets to the slow path (`fast-path = "off"`).
    pub const FAST: u16 = 1 << 0;
    /// XDP may redirect frames to this interface (native XDP transmit works there).
    pub const XDP_TARGET: u16 = 1 << 1;
    /// A home subnet of the home agent is attached here: answer ARP for its away clients.
    pub const HOME: u16 = 1 << 2;
    /// Visitors of the foreign agent are attached here.
    pub const ACCESS: u16 = 1 << 3;
}

// ---- Routers: home agent and foreign agent --------------------------------------------------------------------------

/// Settings of a box with the home agent or foreign agent role.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Router {
    /// Index of the `mip-home` device; 0 without the home agent role.
    pub home_tun: u32,
    /// Index of the `mip-visit` device; 0 without the foreign agent role.
    pub visit_tun: u32,
    /// Firewall mark that leads a reverse-tunnelled packet to `mip-visit`, and that copies on `mip-home` bear; the tunnel id is
    /// or-ed into its low bits.
    pub mark: u32,
    /// Mask of the bits that belong to [`mark`](Self::mark); the remaining ones hold the tunnel id.
    pub mark_mask: u32,
    /// Zero.
    pub reserved: u32,
}

/// How many entries the inline-compared lists hold.
pub const LIST_LENGTH: usize = 16;

/// A short list of addresses, compared inline. Unused entries are zero.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressList {
    /// Number of entries in use.
    pub length: u32,
    /// The addresses.
    pub addresses: [Address; LIST_LENGTH],
}

/// A prefix for inline comparison: `destination & mask == network`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Subnet {
    /// Network address.
    pub network: Address,
    /// Network mask.
    pub mask: Address,
}

/// A short list of prefixes. Unused entries are zero.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubnetList {
    /// Number of entries in use.
    pub length: u32,
    /// The prefixes.
    pub subnets: [Subnet; LIST_LENGTH],
}

/// How many home subnets are compared inline.
pub const HOME_SUBNETS_LENGTH: usize = 8;

/// How many home subnets there can be. Those that are not compared inline are found by longest prefix.
pub const MAXIMUM_HOME_SUBNETS: usize = 1024;

/// [`HomeSubnet::first_slot`] of a sparse subnet, whose bindings are in `BINDINGS`: beyond every slot there can be, also
/// with a host part added, so that the look-up of a slot fails by itself and dense subnets pay nothing for sparse ones.
pub const SPARSE: u32 = 1 << 31;

/// The most slots there can be.
pub const MAXIMUM_SLOTS: u32 = 1 << 28;

/// A home subnet and where its slots are.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HomeSubnet {
    /// The prefix.
    pub subnet: Subnet,
    /// Index in `SLOTS` of the address whose host part is zero; [`SPARSE`] = none.
    pub first_slot: u32,
    /// Zero.
    pub reserved: u32,
}

/// The home subnets of the home agent.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HomeSubnets {
    /// Number of home subnets. Those beyond [`HOME_SUBNETS_LENGTH`] are in `HOME_PREFIXES`.
    pub length: u32,
    /// The first ones.
    pub subnets: [HomeSubnet; HOME_SUBNETS_LENGTH],
}

/// One tunnel, ready to be prepended: a cache line, read once per packet.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tunnel {
    /// Outer IPv4 header: version 4, IHL 5, TTL and protocol set, TOS, total length, identification and flags zero. Its
    /// checksum field holds the folded one's-complement *sum* (not inverted) of the other fields, network byte order.
    pub outer: [u8; 20],
    /// Ethernet header for the next hop: destination, source, 0x0800. Valid with [`tunnel_flags::ADJACENT`].
    pub ethernet: [u8; 14],
    /// One of [`tunnel_kind`].
    pub kind: u8,
    /// Bits of [`tunnel_flags`].
    pub flags: u8,
    /// Egress interface. Valid with [`tunnel_flags::ADJACENT`].
    pub ifindex: u32,
    /// Largest inner packet, bytes.
    pub inner_mtu: u16,
    /// How many bytes the tunnel adds to a packet, outer header included, at most: [`tunnel_overhead`].
    pub overhead: u16,
    /// GRE key of packets into the tunnel. Valid with [`tunnel_flags::KEYED`].
    pub send_key: [u8; 4],
    /// GRE key of packets out of it. Valid with [`tunnel_flags::KEYED`].
    pub receive_key: [u8; 4],
    /// UDP source and destination port of packets into the tunnel; out of it they are exchanged. Valid with
    /// [`tunnel_flags::UDP`].
    pub ports: [u8; 4],
    /// Largest segment that a TCP SYN through the tunnel may announce; 0 = whatever it says.
    pub segment_limit: u16,
    /// Zero.
    pub reserved: [u8; 6],
}

impl Tunnel {
    /// The exit of the tunnel: the outer destination address.
    #[inline(always)]
    #[must_use]
    pub fn remote(&self) -> Address {
        [self.outer[16], self.outer[17], self.outer[18], self.outer[19]]
    }

    /// Of [`tunnel_kind::COPIES`]: the number of a tunnel that gets a copy; 0 = no further one.
    #[inline(always)]
    #[must_use]
    pub fn part(&self, index: usize) -> u32 {
        let at = index * 4;
        u32::from_ne_bytes([self.outer[at], self.outer[at + 1], self.outer[at + 2], self.outer[at + 3]])
    }

    /// The entry of the tunnel: the outer source address.
    #[inline(always)]
    #[must_use]
    pub fn local(&self) -> Address {
        [self.outer[12], self.outer[13], self.outer[14], self.outer[15]]
    }
}

/// How many copies of a packet there can be: bindings of one client at the same time.
pub const COPIES_LENGTH: usize = 4;

/// Values of [`Tunnel::kind`].
pub mod tunnel_kind {
    /// Not in use.
    pub const NONE: u8 = 0;
    /// IP-in-IP (RFC 2003).
    pub const IP_IN_IP: u8 = 1;
    /// No tunnel: the care-of address is our own, frames go straight to the client's MAC (in `ethernet`).
    pub const DIRECT: u8 = 2;
    /// No tunnel of its own: every packet is copied into several ([`Tunnel::part`](super::Tunnel::part)). It has no
    /// adjacency, so that the accelerated paths leave it to the slow one.
    pub const COPIES: u8 = 3;
    /// Generic routing encapsulation (RFC 2784), with a key (RFC 2890) if [`tunnel_flags::KEYED`](super::tunnel_flags::KEYED).
    pub const GRE: u8 = 4;
    /// Minimal encapsulation (RFC 2004). What it cannot carry (fragments, headers with options, several segments in one
    /// buffer) goes IP-in-IP.
    pub const MINIMAL: u8 = 5;
}

/// How many bytes a tunnel of a [`tunnel_kind`] with these [`tunnel_flags`] adds to a packet, at most.
#[inline(always)]
#[must_use]
pub const fn tunnel_overhead(kind: u8, flags: u8) -> u16 {
    let udp = if flags & tunnel_flags::UDP == 0 { 0 } else { 12 };
    let around = match kind {
        tunnel_kind::GRE if flags & tunnel_flags::KEYED != 0 => 28,
        tunnel_kind::GRE => 24,
        // The header itself has 8 or 12 bytes, but what is sent IP-in-IP instead must fit too.
        tunnel_kind::IP_IN_IP | tunnel_kind::MINIMAL => 20,
        _ => return 0,
    };
    udp + around
}

/// Bits of [`Tunnel::flags`].
pub mod tunnel_flags {
    /// `ethernet` and `ifindex` are valid.
    pub const ADJACENT: u8 = 1 << 0;
    /// XDP may redirect to `ifindex`.
    pub const XDP_TARGET: u8 = 1 << 1;
    /// GRE with keys, different ones for the two directions (RFC 6245).
    pub const KEYED: u8 = 1 << 2;
    /// Over UDP (RFC 3519): UDP header and tunnel data header between the outer header and the rest.
    pub const UDP: u8 = 1 << 3;
    /// Of a [`Visitor`](super::Visitor): the kernel's route and neighbour entry belong to another one with the same home
    /// address, so that nothing for this one may be left to the kernel.
    pub const NOT_IN_KERNEL: u8 = 1 << 4;
}

/// Key of `VISITORS`: two home networks may use the same address, so the home agent is part of it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct VisitorKey {
    /// The outer source address: the home agent of the visitor's registration.
    pub home_agent: Address,
    /// The inner destination address.
    pub home_address: Address,
}

/// Where a visitor is to be delivered, and how what it gets must be wrapped.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Visitor {
    /// Ethernet header: the visitor's MAC, the access interface's own MAC, 0x0800.
    pub ethernet: [u8; 14],
    /// Bits of [`tunnel_flags`]: `XDP_TARGET`, `KEYED`, `UDP`, `NOT_IN_KERNEL`.
    pub flags: u8,
    /// How its packets arrive: one of [`tunnel_kind`], `IP_IN_IP`, `GRE` or `MINIMAL`.
    pub kind: u8,
    /// The access interface.
    pub ifindex: u32,
    /// Where its packets arrive: the outer destination address.
    pub care_of_address: Address,
    /// GRE key of what arrives. Valid with [`tunnel_flags::KEYED`].
    pub receive_key: [u8; 4],
    /// UDP source port of what arrives. Valid with [`tunnel_flags::UDP`].
    pub port: [u8; 2],
    /// Largest segment that a TCP SYN to the visitor may announce; 0 = whatever it says.
    pub segment_limit: u16,
}

/// What a visitor may send, and where it goes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VisitorSource {
    /// The only source address accepted from this MAC.
    pub home_address: Address,
    /// Reverse tunnel; 0 = route plainly.
    pub tunnel: u32,
    /// Largest segment that a TCP SYN of the visitor may announce; 0 = whatever it says.
    pub segment_limit: u16,
    /// Bits of [`visitor_flags`].
    pub flags: u16,
}

/// Bits of [`VisitorSource::flags`].
pub mod visitor_flags {
    /// Encapsulating delivery (RFC 3024 §5.2): only what the visitor sends wrapped, to us, goes into the reverse tunnel.
    pub const ENCAPSULATING: u16 = 1 << 0;
}

// ---- Access point ---------------------------------------------------------------------------------------------------

/// Settings of an access point.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccessPoint {
    /// The TAP that carries frames meant for the agent; 0 = no agent.
    pub punt_ifindex: u32,
    /// The wired interface towards the agents.
    pub uplink_ifindex: u32,
    /// Gateway of the access point's own subnet: frames sent to the virtual MAC go there. Zero = unknown.
    pub gateway_mac: [u8; 6],
    /// UDP source port of our registration requests, network byte order: replies to it are ours.
    pub registration_port: [u8; 2],
    /// Bits of [`access_point_flags`].
    pub flags: u32,
}

/// Bits of [`AccessPoint::flags`].
pub mod access_point_flags {
    /// Drop visitors' IPv6 frames instead of bridging them.
    pub const DROP_VISITOR_IPV6: u32 = 1 << 0;
}

/// Firewall mark of a frame that the agent wrote to the punt TAP: it is never punted again unless its station is held.
pub const REINJECT_MARK: u32 = 0x6d69_7064;

/// A station the agent knows.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Station {
    /// The visitor's registered address (zero for [`station_state::LOCAL`]).
    pub home_address: Address,
    /// The foreign agent's MAC: where every unicast IPv4 packet of the visitor goes.
    pub agent_mac: [u8; 6],
    /// One of [`station_state`].
    pub state: u8,
    /// Bits of [`tunnel_flags`] (only `XDP_TARGET`, for the uplink) and of [`station_flags`].
    pub flags: u8,
    /// Where the frames leave.
    pub uplink_ifindex: u32,
    /// The radio that the station is behind: where frames go that the agent writes to the punt TAP. 0 = unknown.
    pub radio_ifindex: u32,
    /// The home agent that sends the visitor broadcasts of its home network, wrapped for its home address: the wrapper is
    /// taken off. Zero = nobody does.
    pub broadcasts_from: Address,
    /// With encapsulating delivery (RFC 3024 §5.2), the foreign agent's address: everything the visitor sends, broadcasts
    /// too, is wrapped for it. Zero = direct delivery.
    pub agent_address: Address,
    /// Low bits of the kernel's jiffies when `last_seen` was written, so that the clock is read once per jiffy at most.
    /// Written by the programs only.
    pub last_jiffy: u32,
    /// When the station last sent a frame: nanoseconds of `CLOCK_MONOTONIC`. Written by the programs; the agent sets the
    /// time of creation.
    pub last_seen: u64,
}

/// Bits of [`Station::flags`] of its own.
pub mod station_flags {
    /// Of a [`LOCAL`](super::station_state::LOCAL) station: it has not been seen to use its address yet, so its frames are
    /// still looked at like an unknown station's.
    pub const AWAITED: u8 = 1 << 7;
}

/// Values of [`Station::state`].
pub mod station_state {
    /// Belongs to this subnet: bridged untouched (the virtual MAC apart).
    pub const LOCAL: u8 = 0;
    /// Visitor not yet registered: IPv4 is punted to the agent, which holds it; ARP is answered.
    pub const HOLD: u8 = 1;
    /// Registered visitor: packets go to the foreign agent.
    pub const FORWARD: u8 = 2;
}

/// An unknown station that was reported to the agent, so that it is not reported again with every packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// The source address that it used.
    pub address: Address,
    /// The interface it is behind.
    pub ifindex: u32,
    /// When it was last reported: nanoseconds of `CLOCK_MONOTONIC`.
    pub reported: u64,
}

/// One entry of the `EVENTS` ring buffer.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StationEvent {
    /// Interface the frame arrived on.
    pub ifindex: u32,
    /// The IPv4 source address or ARP sender address; zero if the frame had none.
    pub address: Address,
    /// The station's MAC.
    pub mac: [u8; 6],
    /// One of [`station_event`].
    pub kind: u16,
}

/// Values of [`StationEvent::kind`].
pub mod station_event {
    /// An unknown station sent its first frame with an address that is foreign here.
    pub const VISITOR: u16 = 1;
    /// An unknown station sent its first frame with an address of our own subnets.
    pub const LOCAL: u16 = 2;
    /// A known visitor spoke after at least a second of silence: it may have been away.
    pub const RETURNED: u16 = 3;
    /// A frame with the MAC of one of our stations came in by the uplink: it has moved to another access point.
    pub const MOVED: u16 = 4;
    /// Somebody announced an address on the uplink (gratuitous ARP): `mac` now answers for `address`.
    pub const ANNOUNCED: u16 = 5;
    /// A visitor answered an ARP request of ours: it is attached.
    pub const ATTACHED: u16 = 6;
}

// ---- Counters -------------------------------------------------------------------------------------------------------

/// The place in the packet's way where a counter row counts.
pub mod hook {
    /// The XDP program of an interface.
    pub const XDP: u32 = 0;
    /// The TC ingress program of an interface.
    pub const INGRESS: u32 = 1;
    /// The TC egress program of an interface (TUN devices: encapsulation).
    pub const EGRESS: u32 = 2;
    /// Number of hooks.
    pub const COUNT: u32 = 3;
}

/// Index in `COUNTERS` for an interface row and a hook.
#[inline(always)]
#[must_use]
pub const fn counter_row(row: u32, hook: u32) -> u32 {
    row * hook::COUNT + hook
}

/// One row of counters, indexed by [`Counter`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Packets, by [`Counter`] as index.
    pub packets: [u64; Counter::LENGTH],
}

impl Default for Counters {
    fn default() -> Self {
        Self { packets: [0; Counter::LENGTH] }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Delivered by the program: counts as fast path.
    Fast,
    /// Ours, but left to the kernel or the agent: counts as slow path.
    Slow,
    /// None of our business: passed on untouched.
    Passed,
    /// Dropped.
    Dropped,
}

macro_rules! counters {
    ($($variant:ident = $name:literal, $action:ident, $help:literal;)+) => {
        /// Every verdict and its reason. A packet is counted exactly once at each hook that it crosses.
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Counter {
            $(#[doc = $help] $variant,)+
        }

        impl Counter {
            /// All counters, in index order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const LENGTH: usize = Self::ALL.len();

            /// The name in `mipd show counters` and its JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the counter means, in one line.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }

            /// What became of the packets counted here.
            #[must_use]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)+ }
            }
        }
    };
}

counters! {
    PassedOther = "passed_other", Passed, "not IPv4 or ARP, or not for any role of ours";
    PassedNotForUs = "passed_not_for_us", Passed, "frame addressed to another MAC";
    PassedLocal = "passed_local", Passed, "local station or own subnet: bridged or routed untouched";
    PassedNoTunnel = "passed_no_tunnel", Passed, "IPv4 without binding or visitor entry: routed by the kernel";
    PassedControl = "passed_control", Passed, "for this box itself (registration, ping, ...)";
    PassedLinkLayer = "passed_link_layer", Passed, "EAPOL and pre-authentication: never touched";
    PassedIpv6 = "passed_ipv6", Passed, "a visitor's IPv6: bridged";
    Encapsulated = "encapsulated", Fast, "home agent: encapsulated and sent to the care-of address";
    DeliveredDirect = "delivered_direct", Fast, "home agent: sent straight to the client, whose care-of address is our own";
    DeliveredVisitor = "delivered_visitor", Fast, "foreign agent: decapsulated and sent to the visitor";
    ReverseEncapsulated = "reverse_encapsulated", Fast, "foreign agent: visitor's packet sent into the reverse tunnel";
    VisitorForwarded = "visitor_forwarded", Fast, "foreign agent: visitor's packet routed to its destination";
    ReverseDecapsulated = "reverse_decapsulated", Fast, "home agent: reverse-tunnelled packet decapsulated and forwarded";
    StationForwarded = "station_forwarded", Fast, "access point: visitor's packet sent to the foreign agent";
    GatewayRewritten = "gateway_rewritten", Fast, "access point: frame to the virtual MAC sent to the subnet's gateway";
    ArpAnswered = "arp_answered", Fast, "ARP request answered";
    SlowToTun = "slow_to_tun", Slow, "decapsulated and handed to the kernel on the tunnel device";
    SlowMarked = "slow_marked", Slow, "marked for the reverse tunnel and left to the kernel";
    SlowFastPathOff = "slow_fast_path_off", Slow, "fast path switched off on the interface";
    SlowTooBig = "slow_too_big", Slow, "larger than the tunnel's MTU: the kernel fragments or answers";
    SlowFragment = "slow_fragment", Slow, "outer fragment: reassembled by the kernel for the agent";
    SlowOptions = "slow_options", Slow, "IP options";
    SlowTtl = "slow_ttl", Slow, "TTL expires here: the kernel answers";
    SlowUnresolved = "slow_unresolved", Slow, "next hop or route not resolved yet";
    SlowNotXdpTarget = "slow_not_xdp_target", Slow, "XDP cannot transmit on the outgoing interface: left to TC";
    SlowNoHeadroom = "slow_no_headroom", Slow, "no room to grow or shrink the frame";
    Punted = "punted", Slow, "handed to the agent (held first packet, registration reply, DHCP)";
    DroppedShort = "dropped_short", Dropped, "truncated or inconsistent header in a packet that is ours";
    DroppedSpoofed = "dropped_spoofed", Dropped, "a visitor's MAC sent an address that is not its own";
    DroppedNoVisitor = "dropped_no_visitor", Dropped, "tunnelled packet whose inner destination is no visitor (silent, RFC 5944 4.2.2)";
    DroppedTunnelSource = "dropped_tunnel_source", Dropped, "tunnelled packet from a wrong tunnel end";
    DroppedLoop = "dropped_loop", Dropped, "loop guard of RFC 2003: source is our own address or the tunnel's exit";
    DroppedBroadcast = "dropped_broadcast", Dropped, "a visitor's broadcast or multicast";
    DroppedArp = "dropped_arp", Dropped, "a visitor's ARP that must not reach the visited network";
    DroppedIpv6 = "dropped_ipv6", Dropped, "a visitor's IPv6, dropped as configured";
    DroppedNoAgent = "dropped_no_agent", Dropped, "meant for the agent, which is not running";
    DroppedIcmp = "dropped_icmp", Dropped, "our kernel's ICMP unreachable about a tunnel packet: never sent";
    DroppedError = "dropped_error", Dropped, "a BPF helper failed after the packet was changed";
    DroppedTooBig = "dropped_too_big", Dropped, "tunnel device: larger than the tunnel's MTU, and not to be fragmented";
    DroppedUnresolved = "dropped_unresolved", Dropped, "tunnel device: no next hop is known to the exit of the tunnel";
    Reinjected = "reinjected", Slow, "frame of the agent put back on the radio's ingress";
    SlowCopies = "slow_copies", Slow, "home agent: a client with several care-of addresses, copied on the tunnel device";
    EncapsulatedCopies = "encapsulated_copies", Slow, "tunnel device: a copy sent to each of a client's care-of addresses";
    BroadcastUnwrapped = "broadcast_unwrapped", Fast, "access point: broadcast of the home network, its wrapper taken off for the visitor";
    DroppedEncapsulation = "dropped_encapsulation", Dropped, "tunnelled packet in another form than the registration says: kind, GRE header or key, UDP port";
    SlowGreOptions = "slow_gre_options", Slow, "GRE with checksum or sequence number: verified by the agent";
    DroppedTtl = "dropped_ttl", Dropped, "foreign agent: TTL expires, and the sender is not to be told, or cannot be";
    AnsweredTooBig = "answered_too_big", Fast, "a visitor's packet is too large for the tunnel and must not be fragmented: the visitor is told";
    AnsweredTtl = "answered_ttl", Fast, "a visitor's packet for the reverse tunnel whose TTL expires here: the visitor is told";
    SlowUdpChecksum = "slow_udp_checksum", Slow, "tunnel over UDP with a checksum: verified by the kernel on the way to the agent";
    SlowGroup = "slow_group", Slow, "a broadcast or multicast for a reverse tunnel: left to TC; out of one: sent out on the home link by the agent";
    SlowWrapped = "slow_wrapped", Slow, "access point: encapsulating delivery: left to TC, which wraps the packet for the foreign agent";
    StationWrapped = "station_wrapped", Fast, "access point: visitor's packet wrapped for the foreign agent (encapsulating delivery)";
}

macro_rules! assert_layout {
    ($($type:ty = $size:literal),+ $(,)?) => {
        $(const _: () = assert!(size_of::<$type>() == $size, stringify!($type));
        #[cfg(feature = "user")]
        // SAFETY: `repr(C)`, no padding (the size above is the sum of the fields), every bit pattern is valid.
        unsafe impl aya::Pod for $type {})+
    };
}

assert_layout! {
    Mac = 8, Interface = 16, Router = 20, AddressList = 68, Subnet = 8, SubnetList = 132, HomeSubnet = 16,
    HomeSubnets = 132, Tunnel = 64, VisitorKey = 8, Visitor = 32, VisitorSource = 12, AccessPoint = 20, Station = 40,
    Seen = 16, StationEvent = 16,
}

#[cfg(feature = "user")]
// SAFETY: an array of `u64`.
unsafe impl aya::Pod for Counters {}
