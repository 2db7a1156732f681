//! The local control socket: how `mipd show`, `deregister`, `pause` and `resume` reach the running agent.
//!
//! One JSON value per line, in both directions; a client may ask several times on one connection.
//!
//! * [`protocol`]: requests and responses;
//! * [`report`]: the tables of `mipd show`, whose JSON is a stable interface; [`catalogue`]: the counters in them, with
//!   their meanings;
//! * [`trace`]: the story of one client, for `mipd trace`;
//! * [`server`]: the agent's end, which hands each request to the daemon with a [`Responder`];
//! * [`client`]: the command line's end;
//! * `socket`: where the socket is, and who may use it.

pub mod catalogue;
pub mod client;
pub mod protocol;
pub mod report;
pub mod server;
mod socket;
#[cfg(test)]
mod tests;
pub mod trace;

pub use self::{
    client::{Client, ClientError},
    protocol::{Request, Response, What},
    report::Report,
    server::{Responder, Server, ServerError},
};
