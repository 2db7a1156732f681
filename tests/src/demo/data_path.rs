//! Who forwarded the client's packets: the programs by their own counters, the kernel by its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::agent::Agent;
use crate::deployment::{Deployment, Place};

/// What the programs and the kernel of one box did for a client away from home, while it stayed at one place.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Share {
    /// Packets forwarded by the programs.
    pub packets_fast: u64,
    /// Packets of ours that the programs left to the kernel or the agent.
    pub packets_slow: u64,
    /// Packets that the kernel forwarded by its own count (`IpForwDatagrams`), ours or not; none on a bridge.
    pub kernel_forwarded: u64,
    /// Packets of the client that passed the box, as counted at the correspondent.
    pub client_packets: u64,
}

impl Share {
    /// Part of the packets that the programs forwarded, of all they knew of.
    pub fn fast(&self) -> f64 {
        let all = self.packets_fast + self.packets_slow;
        if all == 0 { 0.0 } else { self.packets_fast as f64 / all as f64 }
    }

    /// The same by the kernel's count, which knows nothing of ours.
    pub fn fast_by_kernel(&self) -> f64 {
        let kernel = self.kernel_forwarded.min(self.client_packets);
        if self.client_packets == 0 { 0.0 } else { 1.0 - kernel as f64 / self.client_packets as f64 }
    }

    fn add(&mut self, other: &Self) {
        self.packets_fast += other.packets_fast;
        self.packets_slow += other.packets_slow;
        self.kernel_forwarded += other.kernel_forwarded;
        self.client_packets += other.client_packets;
    }
}

/// The shares of all boxes, by box.
pub(super) type Shares = BTreeMap<String, Share>;

/// A look at the boxes on the way of a client away from home.
pub(super) struct Look {
    boxes: Vec<(String, Kind, Share)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Home,
    Foreign,
    AccessPoint,
}

impl Look {
    pub fn at(stage: &Deployment, place: Place) -> Result<Self> {
        let on_the_way = [
            (Kind::Home, &stage.agents.ha),
            (Kind::Foreign, stage.router(place)),
            (Kind::AccessPoint, stage.access_point(place)),
        ];
        let look = |(kind, agent): (Kind, &Agent)| -> Result<(String, Kind, Share)> {
            Ok((agent.host().name().to_owned(), kind, counted(agent, kind)?))
        };
        Ok(Self { boxes: on_the_way.into_iter().map(look).collect::<Result<_>>()? })
    }

    /// Adds what happened between this look and a later one, when the client's packets were so many up and down.
    pub fn add_until(&self, later: &Self, (up, down): (u64, u64), reverse_tunnel: bool, shares: &mut Shares) {
        for ((name, kind, before), (_, _, after)) in self.boxes.iter().zip(&later.boxes) {
            let client_packets = match kind {
                Kind::Home if reverse_tunnel => up + down,
                Kind::Home => down,
                Kind::Foreign => up + down,
                Kind::AccessPoint => up,
            };
            shares.entry(name.clone()).or_default().add(&Share {
                packets_fast: after.packets_fast.saturating_sub(before.packets_fast),
                packets_slow: after.packets_slow.saturating_sub(before.packets_slow),
                kernel_forwarded: after.kernel_forwarded.saturating_sub(before.kernel_forwarded),
                client_packets,
            });
        }
    }
}

fn counted(agent: &Agent, kind: Kind) -> Result<Share> {
    let interfaces = interfaces(agent)?;
    // At an access point the way up counts: the radio's interface.
    let counts = |interface: &&Value| kind != Kind::AccessPoint || has_role(interface, "radio");
    let sum = |field: &str| interfaces.iter().filter(counts).filter_map(|interface| interface[field].as_u64()).sum();
    let kernel_forwarded =
        if kind == Kind::AccessPoint { 0 } else { agent.host().namespace().ip_counter("ForwDatagrams")? };
    Ok(Share {
        packets_fast: sum("packets_fast"),
        packets_slow: sum("packets_slow"),
        kernel_forwarded,
        client_packets: 0,
    })
}

/// The rows of `mipd show interfaces`.
pub(super) fn interfaces(agent: &Agent) -> Result<Vec<Value>> {
    let rows = agent.show("interfaces")?;
    Ok(rows.as_array().context("`mipd show interfaces --json` is no array")?.clone())
}

fn has_role(interface: &Value, role: &str) -> bool {
    interface["roles"].as_array().is_some_and(|roles| roles.iter().any(|one| one == role))
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn a_share_of_nothing_is_no_success() {
        assert!(Share::default().fast() < 0.1 && Share::default().fast_by_kernel() < 0.1);
    }

    #[test]
    fn the_kernels_count_contradicts_ours_when_it_forwarded_what_we_claim() {
        let share = Share { packets_fast: 100, packets_slow: 0, kernel_forwarded: 100, client_packets: 100 };
        assert!(share.fast() > 0.99 && share.fast_by_kernel() < 0.01);
    }
}
