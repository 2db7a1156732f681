//! Noticing clients: what an access point knows of stations before, beside and beyond their registrations.
//!
//! * [`notice`]: what a source tells, in one form for all sources;
//! * [`hostapd`]: what hostapd tells on its control socket;
//! * `nl80211`: what the kernel's wireless subsystem tells;
//! * [`roster`]: all sources together, as events for the proxy;
//! * [`memory`]: which address a station had;
//! * [`hold`]: the bounded store of first packets;
//! * [`claim`]: what a station's DHCP message says of its address;
//! * [`relay`]: visitors' exchange with the DHCP servers of their home networks.

pub mod claim;
pub mod hold;
pub mod hostapd;
pub mod memory;
#[cfg(feature = "daemon")]
pub mod nl80211;
pub mod notice;
pub mod relay;
pub mod roster;
