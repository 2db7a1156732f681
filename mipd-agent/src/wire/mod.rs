//! Mobile IPv4 messages and the frames that carry them: pure parse and emit, no I/O.
//!
//! * [`types`]: the values messages are made of;
//! * [`registration`]: Registration Request and Reply (RFC 5944 §3.3, §3.4);
//! * [`advertisement`]: agent advertisement and solicitation (RFC 5944 §2.1, §2.2);
//! * [`extension`]: the extension list and its skip/refuse rule (RFC 5944 §1.8);
//! * [`authentication`]: authenticators (RFC 5944 §3.5);
//! * extensions by the RFC that defines them: [`gre_key`] (6245), [`udp_tunnel`] (3519), [`challenge`] (4721), [`nai`]
//!   (2794), [`foreign_agent_error`] (4636), [`dynamic_home_agent`] (4433), [`proxy_mode`] (5563);
//! * [`revocation`]: registration revocation, its messages and its extension (RFC 3543);
//! * [`ip`], [`frame`], [`arp`], `checksum`: the headers around them, for raw frames;
//! * [`radius`]: the exchange that downloads security associations (RFC 2865);
//! * [`encapsulation`]: packets inside packets (RFC 2003, 2784, 2004), for those that no kernel program carries;
//! * [`echo`]: what keeps tunnels over UDP alive;
//! * [`subnet_map`]: the exchange between access points that tells them each other's home agents;
//! * [`dhcp`]: what a client's DHCP message says about its address.

pub mod advertisement;
pub mod arp;
pub mod authentication;
pub mod challenge;
pub(crate) mod checksum;
pub mod dhcp;
pub mod dynamic_home_agent;
pub mod echo;
pub mod encapsulation;
pub mod extension;
pub mod foreign_agent_error;
pub mod frame;
pub mod gre_key;
pub mod ip;
pub mod nai;
pub mod proxy_mode;
pub mod radius;
pub mod registration;
pub mod revocation;
pub mod subnet_map;
pub mod types;
pub mod udp_tunnel;
