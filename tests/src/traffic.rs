//! What a client notices: echo requests, datagrams and a TCP connection, and what hosts notice of the client.

pub mod datagrams;
pub mod forge;
pub mod frames;
pub mod ping;
pub mod tcp;
pub mod transfer;
