//! One step of the walk, and what it cost.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::data_path::{Look, Shares};
use super::path::Crossings;
use super::report::{Reachability, Roam};

use crate::deployment::{Deployment, Place, Traffic};
use crate::radio::Carrier;
use crate::topology::CLIENT;
use crate::traffic::ping::reach;
use crate::wait;

const REGISTRATION_PATIENCE: Duration = Duration::from_secs(5);
const TRAFFIC_PATIENCE: Duration = Duration::from_secs(10);
const REACH_PATIENCE: Duration = Duration::from_secs(2);
/// Without a registration little is to be expected, and the demo shall end in time.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);
/// How long the client stays with its traffic being watched.
const STAY: Duration = Duration::from_millis(1500);
/// Fresh TCP bytes each way that prove the connection alive.
const PROGRESS: u64 = 100_000;

/// A step to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub from: Place,
    pub to: Place,
    pub carrier: Carrier,
}

impl Step {
    /// Moves the client, waits for its registration, watches its traffic, and asks the neighbours.
    pub fn take(
        self,
        stage: &Deployment,
        traffic: &Traffic,
        reverse_tunnel: bool,
        shares: &mut Shares,
    ) -> Result<Roam> {
        let start = Instant::now();
        let link_down = stage.campus.client.roam(stage.air(self.to), self.carrier)?;
        let associated = Instant::now();
        let registered = wait::until(REGISTRATION_PATIENCE, || stage.registered(self.to, start))?;
        let registered_at = registered.as_ref().map(|_| Instant::now());
        let patience = if registered.is_some() { TRAFFIC_PATIENCE } else { LITTLE_PATIENCE };
        let flowing = wait::until(patience, || Ok(traffic.pings.answered_since(registered_at.unwrap_or(associated))))?;

        let crossings = Crossings::count(stage, self.to)?;
        let look = Look::at(stage, self.to)?;
        if flowing.is_some() {
            stay(traffic, STAY)?;
        }
        let later = Crossings::count(stage, self.to)?;
        let (path_up, path_down) = crossings.ways(&later, stage, self.to);
        if self.to != Place::Home && registered.is_some() {
            let packets = crossings.client_packets(&later);
            look.add_until(&Look::at(stage, self.to)?, packets, reverse_tunnel, shares);
        }
        let end = Instant::now();

        let tcp_progressed = traffic.connection.progresses(PROGRESS, patience)?.is_some();
        let reached_from = self.neighbours(stage)?;
        // By now every reply to what was sent before `end` is either here or lost.
        let account = traffic.pings.during(start, end);
        let lost_after = registered_at.map_or(0, |moment| traffic.pings.during(moment, end).lost);
        Ok(Roam {
            from: self.from.label(),
            to: self.to.label(),
            link: match self.carrier {
                Carrier::Lost => "bounced",
                Carrier::Kept => "kept",
            },
            link_down_ms: milliseconds(link_down),
            registered: registered.is_some(),
            registration_ms: registered
                .as_ref()
                .zip(registered_at)
                .map(|(row, at)| row["registered_in_ms"].as_f64().unwrap_or_else(|| milliseconds(at - associated))),
            registered_after_ms: registered_at.map(|at| milliseconds(at - associated)),
            outage_ms: milliseconds(account.outage.saturating_sub(link_down)),
            packets_sent: account.sent,
            packets_lost: account.lost,
            packets_lost_after_registration: lost_after,
            path_up,
            path_down,
            tcp_progressed,
            reached_from,
        })
    }

    /// A host behind the router just left, and one at home, must reach the client wherever it is.
    fn neighbours(self, stage: &Deployment) -> Result<Vec<Reachability>> {
        let mut hosts = vec![stage.wired_host(Place::Home)];
        if self.from != Place::Home {
            hosts.push(stage.wired_host(self.from));
        }
        let ask = |host: &&crate::Host| -> Result<Reachability> {
            let answered = reach(host.namespace(), CLIENT, REACH_PATIENCE)?;
            Ok(Reachability { host: host.name().to_owned(), after_ms: answered.map(milliseconds) })
        };
        hosts.iter().map(ask).collect()
    }
}

/// Lets the traffic run for so long as it takes the ping stream to send that many.
fn stay(traffic: &Traffic, time: Duration) -> Result<()> {
    let enough = traffic.pings.probes().len() + (time.as_millis() / traffic.pings.interval().as_millis()) as usize;
    wait::until(time * 4, || Ok((traffic.pings.probes().len() >= enough).then_some(()))).map(drop)
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
