//! Sockets: the only place where Mobile IP messages meet the network.
//!
//! * [`udp`]: the UDP 434 socket of home and foreign agents, for everything that is routed;
//! * [`frames`]: packet sockets, for everything that must not be resolved by ARP or must show its link-layer source;
//! * [`undeliverable`]: what comes back of datagrams that did not arrive;
//! * [`hostapd`]: hostapd's control socket;
//! * [`nl80211`]: the kernel's wireless subsystem;
//! * [`radius`]: sockets for RADIUS servers;
//! * [`datagram`]: what both hand to the roles;
//! * [`encapsulated`]: packets inside packets;
//! * [`raw_ip`]: whole packets, from ports that others may hold;
//! * `burst`: room for many at once;
//! * [`batch`]: many messages per system call.

pub mod batch;
mod burst;
pub mod datagram;
pub mod encapsulated;
pub mod frames;
pub mod hostapd;
pub mod nl80211;
pub mod radius;
pub mod raw_ip;
pub mod udp;
pub mod undeliverable;
