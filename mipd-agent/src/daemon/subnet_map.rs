//! The exchange of the subnet map: its socket, the names of the authoritative access points, and what is configured besides.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;

use super::{DaemonError, inputs::Inputs};
use crate::{
    config::SubnetMapExchange,
    control::report::{AccessPoint, SubnetMapEntry},
    io::{datagram::Datagram, udp::RegistrationSocket},
    mobility::{
        link::Transmit,
        subnet_map::{Action, Config, Exchange, SubnetMap},
        time::{Instant, Now},
    },
};

/// The exchange, and how it reaches the network.
#[derive(Debug)]
pub struct SubnetMapService {
    exchange: Exchange,
    socket: Arc<RegistrationSocket>,
    /// The configured entries: they stand above what is learned.
    configured: SubnetMap,
    send_errors: u64,
    /// The map is another one than the proxy's.
    changed: bool,
}

impl SubnetMapService {
    /// Opens the socket and begins.
    pub fn start(
        settings: &SubnetMapExchange,
        address: Ipv4Addr,
        configured: SubnetMap,
        now: Now,
        inputs: &Inputs,
    ) -> Result<Self, DaemonError> {
        let socket = inputs.subnet_map_socket().map_err(DaemonError::SubnetMapSocket)?;
        let addresses = settings.authoritative.iter().map(|name| name.parse().ok());
        let authoritative = addresses.clone().flatten().collect();
        if addresses.clone().any(|address: Option<Ipv4Addr>| address.is_none()) {
            inputs.resolve(settings.authoritative.clone());
        }
        let config =
            Config { address, authoritative, key: settings.key.clone(), maximum_members: Config::MAXIMUM_MEMBERS };
        Ok(Self {
            exchange: Exchange::new(config, now, rand::random()),
            socket,
            configured,
            send_errors: 0,
            changed: false,
        })
    }

    /// The addresses that the names of the authoritative access points have now.
    pub fn resolved(&mut self, now: Now, addresses: Vec<Ipv4Addr>) {
        self.drive(|exchange, actions| exchange.authorities_changed(now, addresses, actions));
    }

    /// The home agent of our own subnet is this one now.
    pub fn own_home_agent(&mut self, now: Now, own: Option<(Ipv4Addr, Ipv4Net)>) {
        self.drive(|exchange, actions| exchange.own_home_agent(now, own, actions));
    }

    /// Datagrams to the socket.
    pub fn handle_datagrams(&mut self, now: Now, datagrams: &[Datagram]) {
        for datagram in datagrams {
            self.drive(|exchange, actions| exchange.handle_datagram(now, &datagram.received(), actions));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.poll_timeout()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.drive(|exchange, actions| exchange.handle_timeout(now, actions));
    }

    /// Forgets what was learned.
    pub fn clear(&mut self, now: Now) {
        self.drive(|exchange, actions| exchange.clear(now, actions));
    }

    /// The map, if it has changed since the last call.
    pub fn take_change(&mut self) -> Option<SubnetMap> {
        std::mem::take(&mut self.changed).then(|| overlaid(self.exchange.map(), &self.configured))
    }

    fn drive(&mut self, what: impl FnOnce(&mut Exchange, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        what(&mut self.exchange, &mut actions);
        let mut transmits: Vec<Transmit> = Vec::new();
        for action in actions {
            match action {
                Action::Send(transmit) => transmits.push(transmit),
                Action::MapChanged => self.changed = true,
                Action::AuthorityChanged(Some(address)) => {
                    tracing::info!(authoritative = %address, "reporting to an authoritative access point");
                }
                Action::AuthorityChanged(None) => {
                    tracing::warn!("no authoritative access point answers; the subnet map stays as it is");
                }
            }
        }
        let send_errors = &mut self.send_errors;
        self.socket.send(&transmits, |transmit, error| {
            tracing::debug!(destination = %transmit.destination, %error, "subnet map");
            *send_errors += 1;
        });
    }

    /// Rows of `mipd show subnet-map`.
    pub fn entries(&self) -> Vec<SubnetMapEntry> {
        let learned = self.exchange.entries().map(|(subnet, entry)| (subnet, Some(entry.origin)));
        let mut origins: BTreeMap<_, _> = learned.collect();
        origins.extend(self.configured.iter().map(|(subnet, _)| (subnet, None)));
        let map = overlaid(self.exchange.map(), &self.configured);
        map.iter()
            .map(|(subnet, home_agent)| entry(subnet, home_agent.0, origins.get(&subnet).copied().flatten()))
            .collect()
    }

    /// Rows of `mipd show access-points`.
    pub fn access_points(&self) -> Vec<AccessPoint> {
        let status = self.exchange.status();
        let rows = status.members.iter().map(|member| AccessPoint {
            address: member.address,
            authoritative: member.authoritative,
            in_charge: status.authority == Some(member.address),
            subnet: member.serves.map(|subnet| subnet.to_string()),
        });
        rows.collect()
    }

    /// What was counted.
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let counters = self.exchange.counters();
        let discarded =
            counters.discarded.iter().map(|(reason, count)| (format!("discarded_{}", reason.name()), count));
        let counted = counters.iter().map(|count| (count.name.into_owned(), count.value));
        counted.chain(discarded).chain([("send_errors".to_owned(), self.send_errors)])
    }
}

/// A row of `mipd show subnet-map`.
pub fn entry(subnet: Ipv4Net, home_agent: Ipv4Addr, reported_to: Option<Ipv4Addr>) -> SubnetMapEntry {
    let source = if reported_to.is_some() { "exchange" } else { "static" };
    SubnetMapEntry { subnet: subnet.to_string(), home_agent, source: source.to_owned(), reported_to }
}

/// What is learned, and above it what is configured.
fn overlaid(mut learned: SubnetMap, configured: &SubnetMap) -> SubnetMap {
    for (subnet, home_agent) in configured.iter() {
        // What is in a map can be in a map.
        let _ = learned.insert(home_agent, subnet.netmask());
    }
    learned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::types::{HomeAddress, HomeAgentAddress};

    #[test]
    fn what_is_configured_stands_above_what_is_learned() {
        let agent = |last: u8| HomeAgentAddress(Ipv4Addr::new(10, 1, 0, last));
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        let learned = SubnetMap::from_entries([(agent(1), mask)]).unwrap();
        let configured = SubnetMap::from_entries([(agent(2), mask)]).unwrap();
        let map = overlaid(learned, &configured);
        assert_eq!(map.home_agent(HomeAddress(Ipv4Addr::new(10, 1, 0, 77))), Some(agent(2)));
        assert_eq!(map.len(), 1);
    }
}
