//! Visitors next to each other: what is for one never reaches another.
//!
//! * `namesakes`: two visitors with the same address from different home networks, at one access point;
//! * `neighbours`: visitors who talk with each other, and with hosts of the visited network;
//! * `delivery`: what they broadcast, by policy;
//! * `datagrams`: what they are sent.

mod datagrams;
mod delivery;
mod namesakes;
mod neighbours;
