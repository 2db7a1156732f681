//! Each role on the bench: its settings, what it is told and what it does, in the words of the cases.

pub mod discovery;
pub mod foreign_agent;
pub mod home_agent;
pub mod proxy;

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::Result;
use mipd_agent::mobility::security::{MobileHomeAssociations, Peer, PeerAssociations};

use crate::scene::key;

/// The keys that all clients of 10.1.0.0/16 share with their home agent, the primary one first.
fn client_keys(names: &[String]) -> Result<Arc<MobileHomeAssociations>> {
    let clients = "10.1.0.0/16".parse()?;
    let entries: Result<Vec<_>> = names.iter().map(|name| Ok((clients, key(name)?))).collect();
    Ok(Arc::new(MobileHomeAssociations::new(entries?)?))
}

/// One key for each of these peers.
fn peer_keys(peers: &[Ipv4Addr], name: &str) -> Result<Arc<PeerAssociations>> {
    let entries: Result<Vec<_>> = peers.iter().map(|peer| Ok((Peer::Address(*peer), key(name)?))).collect();
    Ok(Arc::new(PeerAssociations::new(entries?)?))
}
