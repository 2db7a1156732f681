//! What an access point keeps of the clients that it notices until they are registered.
//!
//! * [`hold`]: the bounded store of first packets;
//! * [`claim`]: what a station's DHCP message says of its address.

pub mod claim;
pub mod hold;
