//! Each role on the bench: its settings, what it is told and what it does, in the words of the cases.

pub mod discovery;
pub mod foreign_agent;
pub mod home_agent;
pub mod proxy;

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::Result;
use mipd_agent::mobility::security::{
    MobileHomeAssociations, Peer, PeerAssociations, ReplayProtection, SecurityAssociation,
};

use crate::scene::key;

/// The keys that all clients of 10.1.0.0/16 share with their home agent, the primary one first.
fn client_keys(names: &[String], nonces: bool) -> Result<Arc<MobileHomeAssociations>> {
    let clients = "10.1.0.0/16".parse()?;
    let replay = if nonces { ReplayProtection::Nonces } else { ReplayProtection::Timestamps };
    let entry = |name: &String| Ok((clients, SecurityAssociation { replay, ..key(name)? }));
    let entries: Result<Vec<_>> = names.iter().map(entry).collect();
    Ok(Arc::new(MobileHomeAssociations::new(entries?)?))
}

/// One key for each of these peers.
fn peer_keys(peers: &[Ipv4Addr], name: &str) -> Result<Arc<PeerAssociations>> {
    let entries: Result<Vec<_>> = peers.iter().map(|peer| Ok((Peer::Address(*peer), key(name)?))).collect();
    Ok(Arc::new(PeerAssociations::new(entries?)?))
}
