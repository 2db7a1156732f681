//! Watching whether radios keep frames between their stations from us, and saying so when that changes.

use std::collections::BTreeMap;

use crate::{dataplane::InterfaceReport, wireless::Isolation};

/// What was said last, by radio.
#[derive(Debug, Default)]
pub struct IsolationWatch {
    said: BTreeMap<String, Isolation>,
}

impl IsolationWatch {
    /// Looks at each radio among these interfaces, and logs what is new. hostapd sets this whenever it starts. It may take a
    /// search through all processes, so only those are looked at that have changed.
    pub fn look(&mut self, interfaces: impl IntoIterator<Item = InterfaceReport>) {
        for interface in interfaces {
            let Some(isolation) = of(&interface) else { continue };
            if self.said.get(&interface.name) == Some(&isolation) {
                continue;
            }
            let radio = &interface.name;
            match &isolation {
                Isolation::On => tracing::info!(radio, "frames between stations come up to the bridge"),
                Isolation::Off => tracing::warn!(
                    radio,
                    "frames between stations pass by unseen: set ap_isolate=1 in hostapd's configuration"
                ),
                Isolation::Unknown(why) => tracing::info!(radio, why, "whether ap_isolate is on is unknown"),
            }
            self.said.insert(interface.name.clone(), isolation);
        }
    }
}

/// The isolation of an interface that is a radio of hostapd's.
pub fn of(interface: &InterfaceReport) -> Option<Isolation> {
    interface.roles.radio.then(|| Isolation::of(&interface.name, interface.ifindex)).flatten()
}
