//! The subnet map: which home agent serves which subnet, and how access points tell each other.
//!
//! * [`map`]: what a client's home agent is looked up in;
//! * `table`: the same with versions, so that tables of several access points can be merged;
//! * `link`: a session with one other access point: one message at a time, repeated until it is acknowledged;
//! * [`exchange`]: the role; `receive` takes what arrives; its halves are `member`, which reports to an authoritative access point and gets the table, and
//!   `authority`, which keeps the table, distributes it and compares it with the others; `probe` asks whether a home agent
//!   that no access point reports any more is alive;
//! * `counters`.

mod authority;
mod counters;
pub mod exchange;
mod link;
pub mod map;
mod member;
mod probe;
mod receive;
mod table;

pub use self::{
    counters::{Counters, Discard},
    exchange::{Action, Config, Exchange, MemberReport, Status},
    map::{SubnetMap, SubnetMapError},
};

#[cfg(test)]
mod tests;
