//! Peers that are wrong, broken or hostile: each message gets the documented answer or silence, is counted, does the
//! registered client no harm, and however often it comes it fills no log.
//!
//! * `scene`: the campus with a registered client, and the verdict on one message;
//! * `messages`: requests in the client's name, and what can be wrong with them;
//! * `home_agent`, `foreign_agent`: a table of such messages for each; `reverse_tunnel`: by the agents' policy;
//! * `full_tables`: more tunnels than there is room for;
//! * `access_point`: one with a wrong association, and replies that it has not asked for;
//! * `stations`: stations with the addresses and MACs of others, or with ten thousand addresses;
//! * `forged`: packets, frames and floods; `tunnels`: tunnel packets, in every encapsulation.

mod access_point;
mod foreign_agent;
mod forged;
mod full_tables;
mod home_agent;
mod messages;
mod reverse_tunnel;
mod scene;
mod stations;
mod tunnels;
