//! What became of the packets, per interface and hook.

use aya::maps::{MapData, PerCpuArray};
use mipd_common::maps::{Action, Counter, Counters, counter_row, hook};
use serde::Serialize;

use super::{error::DataPlaneError, maps::name};

/// The hook that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// XDP, in the driver.
    Xdp,
    /// TC ingress.
    Ingress,
    /// TC egress.
    Egress,
}

impl Hook {
    const ALL: [(Self, u32); 3] =
        [(Self::Xdp, hook::XDP), (Self::Ingress, hook::INGRESS), (Self::Egress, hook::EGRESS)];
}

/// The counters of one hook of one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CounterReport {
    /// The interface; empty for interfaces that are not registered.
    pub interface: String,
    /// The hook.
    pub hook: Hook,
    /// Every counter that is not zero.
    pub counters: Vec<CounterValue>,
}

/// One counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct CounterValue {
    /// Its name.
    pub name: &'static str,
    /// What became of the packets.
    #[serde(serialize_with = "serialize_action")]
    pub action: Action,
    /// How many there were.
    pub packets: u64,
    /// What it means.
    pub help: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn serialize_action<S: serde::Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match action {
        Action::Fast => "fast",
        Action::Slow => "slow",
        Action::Passed => "passed",
        Action::Dropped => "dropped",
    })
}

/// Reads the counters of these rows, all CPUs summed. Hooks that counted nothing are left out.
pub(super) fn read<'a>(
    map: &PerCpuArray<MapData, Counters>,
    rows: impl Iterator<Item = (u32, &'a str)>,
) -> Result<Vec<CounterReport>, DataPlaneError> {
    let mut reports = Vec::new();
    for (row, interface) in rows {
        for (hook, number) in Hook::ALL {
            let index = counter_row(row, number);
            if index >= map.len() {
                continue;
            }
            let per_cpu = map.get(&index, 0).map_err(DataPlaneError::map("read", name::COUNTERS))?;
            let counters: Vec<_> = Counter::ALL
                .iter()
                .map(|counter| CounterValue {
                    name: counter.name(),
                    action: counter.action(),
                    packets: per_cpu.iter().map(|cpu| cpu.packets[*counter as usize]).sum(),
                    help: counter.help(),
                })
                .filter(|value| value.packets != 0)
                .collect();
            if !counters.is_empty() {
                reports.push(CounterReport { interface: interface.to_owned(), hook, counters });
            }
        }
    }
    Ok(reports)
}
