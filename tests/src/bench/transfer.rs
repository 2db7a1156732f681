//! TCP throughput through the whole way, agents included: correspondent, home agent, foreign agent, access point, client, with
//! a reverse tunnel back; against a wired host in the same visited network, which packets reach by plain routing.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    arguments::Transfer,
    report::{Benchmark, Report, quantile},
};
use crate::{
    Namespace,
    agent::config::{FastPath, Settings},
    deployment::{Deployment, Place},
    radio::Carrier,
    topology::{CLIENT, CORRESPONDENT},
};

const CHUNK: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// The wired host behind the client's access point.
const WIRED_HOST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 20);

/// Measures each kind of fast path, and the slow one, in turns with plain routing.
pub(super) fn measure(arguments: &Transfer, report: &mut Report) -> Result<()> {
    for (label, fast_path) in [("xdp", FastPath::Auto), ("tc", FastPath::Tc), ("slow", FastPath::Off)] {
        let settings = Settings { reverse_tunnel: true, ..Settings::new(fast_path) };
        let mut deployment = Deployment::build(&format!("transfer{label}"), &settings)?;
        deployment.agents.start()?;
        let pings = deployment.start_pings()?;
        deployment.roam(Place::Visited1Ap1, Carrier::Kept)?;
        drop(pings);
        way(&deployment, label, arguments, report)?;
        deployment.agents.stop()?;
    }
    Ok(())
}

fn way(deployment: &Deployment, label: &str, arguments: &Transfer, report: &mut Report) -> Result<()> {
    let campus = &deployment.campus;
    let correspondent = (campus.correspondent.namespace(), CORRESPONDENT);
    let client = (campus.client.host.namespace(), CLIENT);
    let wired = (campus.visited1_host.namespace(), WIRED_HOST);
    let duration = Duration::from_millis(arguments.milliseconds);
    let ways = [("down", correspondent, client, wired), ("up", client, correspondent, wired)];
    for (name, from, to, plain) in ways {
        let (plain_from, plain_to) = if name == "down" { (from, plain) } else { (plain, to) };
        let (mut rates, mut plain_rates) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            rates.push(rate(from.0, to, duration)?);
            plain_rates.push(rate(plain_from.0, plain_to, duration)?);
        }
        let mut shares: Vec<f64> = rates.iter().zip(&plain_rates).map(|(own, plain)| own / plain * 100.0).collect();
        let plain = quantile(&mut plain_rates, 0.5);
        report.add(Benchmark {
            name: format!("transfer/{label}/{name}"),
            unit: "Mbit/s".into(),
            p50: quantile(&mut rates, 0.5),
            p99: quantile(&mut rates, 0.01),
            compared_with: [("plain".into(), plain)].into(),
            ..Benchmark::default()
        });
        report.add(Benchmark {
            name: format!("transfer/{label}/{name}/share-of-plain"),
            unit: "percent".into(),
            p50: quantile(&mut shares, 0.5),
            p99: quantile(&mut shares, 0.01),
            ..Benchmark::default()
        });
    }
    Ok(())
}

/// Megabits per second of one TCP connection.
fn rate(from: &Namespace, to: (&Namespace, Ipv4Addr), duration: Duration) -> Result<f64> {
    let (namespace, address) = to;
    let listener = namespace.enter(|| TcpListener::bind(SocketAddrV4::new(address, 0)))??;
    let target = listener.local_addr()?;
    let sender = from.enter(|| TcpStream::connect_timeout(&target, PATIENCE))?;
    let mut sender = sender.with_context(|| format!("{} cannot connect to {target}", from.name()))?;
    let (mut receiver, _) = listener.accept()?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || -> Result<()> {
            let chunk = vec![0x5a; CHUNK];
            while start.elapsed() < duration {
                sender.write_all(&chunk)?;
            }
            Ok(())
        });
        let (mut buffer, mut bytes) = (vec![0; CHUNK], 0);
        loop {
            let length = receiver.read(&mut buffer).context("the transfer stands still")?;
            if length == 0 {
                break;
            }
            bytes += length;
        }
        let seconds = start.elapsed().as_secs_f64();
        sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        Ok(bytes as f64 * 8.0 / seconds / 1e6)
    })
}
