//! Where an access point notices its clients, and what it keeps of them until they are registered.
//!
//! * [`hold`]: the bounded store of first packets;

pub mod hold;
