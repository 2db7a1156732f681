//! What the roles want done: data path, state store, links.

use super::{Context, Router};
use crate::{
    config::associations::algorithm_name,
    dataplane::{BindingRoute, Encapsulation, GreKeys, TunnelExit, TunnelMode, UdpEnds, VisitorRoute},
    mobility::{
        foreign_agent, home_agent,
        link::{InterfaceIndex, REGISTRATION_PORT},
        time::Now,
        tunnel as mobility,
    },
    state::Table,
    wire::types::{HomeAddress, HomeAgentAddress, Identification},
};

impl Router {
    /// There may be a million bindings: they are installed together, without a line for each.
    pub(super) fn apply_restored(&mut self, now: Now, actions: Vec<home_agent::Action>, context: &mut Context<'_>) {
        use home_agent::Action;
        let mut routes = Vec::new();
        let mut others = Vec::new();
        for action in actions {
            match action {
                Action::InstallBinding { home_address, exits } => {
                    routes.push(binding_route(home_address, &exits));
                    if let Some(broadcasts) = &mut self.broadcasts {
                        broadcasts.set_exits(home_address, &exits);
                    }
                }
                other => others.push(other),
            }
        }
        let bindings = routes.len();
        let refused = context.dataplane.install_bindings(routes);
        tracing::info!(bindings = bindings - refused.len(), "bindings restored");
        if let Some((home_address, error)) = refused.first() {
            tracing::error!(bindings = refused.len(), %home_address, %error, "bindings cannot be carried, such as this one");
        }
        self.apply_home(now, others, context);
        for (home_address, _) in refused {
            self.refuse_binding(now, HomeAddress(home_address), context);
        }
    }

    pub(super) fn apply_home(&mut self, now: Now, actions: Vec<home_agent::Action>, context: &mut Context<'_>) {
        use home_agent::Action;
        // Before anything is answered: what is answered must not be forgotten.
        for action in &actions {
            let (Action::BindingChanged { home_address }, Some(agent)) = (action, &self.home_agent) else { continue };
            context.state.record(now, Table::Bindings, &home_address.0.octets(), |recording| {
                let record = agent.record(recording, *home_address)?;
                context.state.accepted(now, Identification(record.identification));
                Some(record)
            });
        }
        let mut refused = Vec::new();
        for action in actions {
            match action {
                // What cannot be carried is not confirmed.
                Action::Send(_) | Action::GratuitousArp { .. } if !refused.is_empty() => {}
                Action::Send(transmit) => self.send(transmit),
                Action::InstallBinding { home_address, exits } => {
                    let route = binding_route(home_address, &exits);
                    let care_of_addresses: Vec<_> = exits.iter().map(|exit| exit.care_of_address).collect();
                    if let Err(error) = context.dataplane.install_binding(&route) {
                        tracing::error!(%home_address, ?care_of_addresses, %error, "cannot carry the binding");
                        refused.push(home_address);
                    } else {
                        tracing::info!(%home_address, ?care_of_addresses, "binding");
                        if let Some(broadcasts) = &mut self.broadcasts {
                            broadcasts.set_exits(home_address, &exits);
                        }
                    }
                }
                Action::RemoveBinding { home_address } => {
                    if let Some(broadcasts) = &mut self.broadcasts {
                        broadcasts.set_exits(home_address, &[]);
                    }
                    if let Err(error) = context.dataplane.remove_binding(home_address.0) {
                        tracing::error!(%home_address, %error, "cannot remove the binding from the data path");
                    } else {
                        tracing::info!(%home_address, "binding ended");
                    }
                }
                Action::GratuitousArp { interface, address, mac } => self.announce(interface, address, mac),
                Action::ClientMac { home_address, mac } => {
                    if let Err(error) = context.dataplane.set_client_mac(home_address.0, mac) {
                        tracing::warn!(%home_address, %error, "cannot remember the client's MAC");
                    }
                }
                Action::AlgorithmMatched { home_address, algorithm } => {
                    tracing::info!(%home_address, algorithm = algorithm_name(algorithm), "authenticated, as by one of any");
                }
                Action::AssociationsNeeded { home_address } => self.wanted_associations.push(home_address),
                Action::BindingChanged { .. } => {}
            }
        }
        for home_address in refused {
            self.refuse_binding(now, home_address, context);
        }
    }

    /// The data path cannot carry a binding.
    fn refuse_binding(&mut self, now: Now, home_address: HomeAddress, context: &mut Context<'_>) {
        let Some(home_agent) = &mut self.home_agent else { return };
        let mut actions = Vec::new();
        home_agent.cannot_carry(now, home_address, &mut actions);
        self.apply_home(now, actions, context);
    }

    pub(super) fn apply_visit(&mut self, now: Now, actions: Vec<foreign_agent::Action>, context: &mut Context<'_>) {
        use foreign_agent::Action;
        let mut refused = Vec::new();
        for action in actions {
            match action {
                // What cannot be carried is not confirmed.
                Action::Send(_) if !refused.is_empty() => {}
                Action::Send(transmit) => self.send(transmit),
                Action::InstallVisitor { home_address, home_agent, care_of_address, mac, interface, tunnel } => {
                    let route = VisitorRoute {
                        home_address: home_address.0,
                        home_agent: home_agent.0,
                        care_of_address: care_of_address.0,
                        mac,
                        interface: interface.0,
                        mode: mode(&tunnel),
                        reverse_tunnel: tunnel.is_reverse(),
                        encapsulating_delivery: tunnel.reverse == Some(mobility::Delivery::Encapsulating),
                    };
                    match context.dataplane.install_visitor(route) {
                        Ok(()) => tracing::info!(%home_address, %home_agent, %mac, "visitor"),
                        Err(error) => {
                            tracing::error!(%home_address, %mac, %error, "cannot carry the visitor's packets");
                            refused.push((home_agent, home_address));
                        }
                    }
                }
                Action::Inform { interface, mac, home_address, elsewhere } => {
                    let mut actions = Vec::new();
                    if let Some(port) = self.ports.get_mut(&interface) {
                        port.advertiser.inform(home_address.0, mac, elsewhere, &mut actions);
                    }
                    self.apply_advertisements(actions);
                }
                Action::RemoveVisitor { home_address, home_agent } => {
                    match context.dataplane.remove_visitor(home_agent.0, home_address.0) {
                        Ok(()) => tracing::info!(%home_address, %home_agent, "visitor gone"),
                        Err(error) => {
                            tracing::error!(%home_address, %error, "cannot remove the visitor from the data path");
                        }
                    }
                }
                Action::VisitorChanged { home_agent, home_address } => {
                    let Some(agent) = &self.foreign_agent else { continue };
                    context.state.record(now, Table::Visitors, &visitor_key(home_agent, home_address), |now| {
                        let mut record = agent.record(now, home_agent, home_address)?;
                        if let Some(port) = self.ports.get(&InterfaceIndex(record.interface)) {
                            record.interface_name.clone_from(&port.name);
                        }
                        Some(record)
                    });
                }
            }
        }
        for (home_agent, home_address) in refused {
            let mut actions = Vec::new();
            if let Some(foreign_agent) = &mut self.foreign_agent {
                foreign_agent.cannot_carry(now, home_agent, home_address, &mut actions);
            }
            self.apply_visit(now, actions, context);
        }
        self.tell_whether_busy(now);
    }

    /// Has the links told as soon as the foreign agent takes no more visitors, or takes them again.
    fn tell_whether_busy(&mut self, now: Now) {
        let Some(foreign_agent) = &self.foreign_agent else { return };
        let busy = foreign_agent.is_busy();
        for port in self.ports.values_mut() {
            port.advertiser.set_busy(now.instant, busy);
        }
    }
}

/// What the data path must know of what two agents have agreed on.
fn mode(agreed: &mobility::TunnelMode) -> TunnelMode {
    let keys = agreed.gre_keys.map(|keys| GreKeys { send: keys.send, receive: keys.receive });
    TunnelMode {
        encapsulation: match agreed.encapsulation {
            mobility::Encapsulation::IpInIp => Encapsulation::IpInIp,
            mobility::Encapsulation::Gre => Encapsulation::Gre(keys),
            mobility::Encapsulation::Minimal => Encapsulation::Minimal,
        },
        udp: agreed.udp.map(|udp| UdpEnds { port: REGISTRATION_PORT, peer: udp.peer }),
    }
}

/// What the data path must know of a binding.
fn binding_route(home_address: HomeAddress, exits: &[home_agent::Exit]) -> BindingRoute {
    let exits = exits.iter().map(|exit| TunnelExit {
        home_agent: exit.home_agent.0,
        care_of_address: exit.care_of_address.0,
        mode: mode(&exit.tunnel),
    });
    BindingRoute { home_address: home_address.0, exits: exits.collect() }
}

/// The key of a visitor's record.
fn visitor_key(home_agent: HomeAgentAddress, home_address: HomeAddress) -> Vec<u8> {
    [home_agent.0.octets(), home_address.0.octets()].concat()
}
