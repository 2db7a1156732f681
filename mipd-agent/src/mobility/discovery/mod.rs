//! Agent discovery (RFC 5944 §2, RFC 1256): how an access point learns which agents serve its link.
//!
//! * [`advertiser`]: the agent's side, one per interface that a home or foreign agent serves;
//! * [`listener`]: the access point's side, one per uplink;
//! * `solicitation`: when the listener may ask; `move_detection`, `former`: what it concludes from what it hears.

pub mod advertiser;
mod former;
pub mod listener;
mod move_detection;
mod solicitation;

pub use advertiser::{Advertiser, AdvertiserConfig};
pub use listener::{Agent, Listener, ListenerAction};
