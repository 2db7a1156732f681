//! Mobile IPv4 messages and the frames that carry them: pure parse and emit, no I/O.
//!
//! * [`types`]: the values messages are made of;
//! * [`registration`]: Registration Request and Reply (RFC 5944 §3.3, §3.4);
//! * [`advertisement`]: agent advertisement and solicitation (RFC 5944 §2.1, §2.2);
//! * [`extension`]: the extension list and its skip/refuse rule (RFC 5944 §1.8);
//! * [`authentication`]: authenticators (RFC 5944 §3.5);
//! * [`ip`], [`frame`], [`arp`]: the headers around them, for raw frames;
//! * [`dhcp`]: what a client's DHCP message says about its address.

pub mod advertisement;
pub mod arp;
pub mod authentication;
mod checksum;
pub mod dhcp;
pub mod extension;
pub mod frame;
pub mod ip;
pub mod registration;
pub mod types;
