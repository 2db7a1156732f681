//! Buffers of many segments (GSO) through the tunnel and back: TCP over cables with all offloads on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mipd_common::maps::Counter;
use mipd_lab::chain::{CLIENT, CORRESPONDENT, Chain, Joined, Path};
use mipd_lab::packets::encapsulation::Encapsulation;
use mipd_lab::traffic::transfer;

const BYTES: u64 = 32 << 20;
const PATIENCE: Duration = Duration::from_mins(1);
/// No segment is larger; buffers of one segment each would have this on average at most.
const SEGMENT: u64 = 1460;

fn run(path: Path) -> Result<()> {
    if !mipd_lab::available() {
        return Ok(());
    }
    let _turn = mipd_lab::turn();
    let mut chain = Chain::build("segments", Joined::ByCables, path)?;
    // Room for the headers of TCP and of every tunnel.
    chain.address_ends(1400)?;
    for &encapsulation in Encapsulation::ALL {
        chain.wrap(encapsulation)?;
        through(&mut chain, encapsulation, path).with_context(|| format!("{} by {path:?}", encapsulation.name()))?;
    }
    Ok(())
}

fn through(chain: &mut Chain, encapsulation: Encapsulation, path: Path) -> Result<()> {
    let (client, correspondent) = (chain.client.namespace().clone(), chain.correspondent.namespace().clone());
    let (delivered, decapsulated) = match path {
        Path::Kernel => (Counter::SlowToTun, Counter::SlowToTun),
        Path::Tc | Path::Xdp => (Counter::DeliveredVisitor, Counter::ReverseDecapsulated),
    };
    let name = |counter: Counter| format!("{} by {path:?}: {}", encapsulation.name(), counter.name());

    let before = (chain.home.counted(Counter::Encapsulated)?, chain.visit.counted(delivered)?);
    transfer::run(&correspondent, &client, CLIENT, BYTES, PATIENCE).context("to the client")?;
    ensure_large(&name(Counter::Encapsulated), chain.home.counted(Counter::Encapsulated)? - before.0)?;
    ensure_large(&name(delivered), chain.visit.counted(delivered)? - before.1)?;

    let before = (chain.visit.counted(Counter::ReverseEncapsulated)?, chain.home.counted(decapsulated)?);
    transfer::run(&client, &correspondent, CORRESPONDENT, BYTES, PATIENCE).context("from the client")?;
    ensure_large(&name(Counter::ReverseEncapsulated), chain.visit.counted(Counter::ReverseEncapsulated)? - before.0)?;
    ensure_large(&name(decapsulated), chain.home.counted(decapsulated)? - before.1)
}

/// That so many buffers for all the bytes cannot have held a segment each.
fn ensure_large(what: &str, buffers: u64) -> Result<()> {
    println!("{what}: {buffers} buffers of {} bytes", BYTES / buffers.max(1));
    ensure!(buffers > 0 && BYTES / buffers > 4 * SEGMENT, "{what}: {buffers} buffers for {BYTES} bytes");
    Ok(())
}

#[test]
fn buffers_of_many_segments_go_through_tc() -> Result<()> {
    run(Path::Tc)
}

#[test]
fn buffers_of_many_segments_go_through_the_tunnel_devices() -> Result<()> {
    run(Path::Kernel)
}
