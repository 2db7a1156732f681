//! RADIUS: look-ups of the roles in, what servers say of clients out.

use std::{net::SocketAddrV4, sync::Arc};

use super::inputs::Inputs;
use crate::{
    config,
    control::report::Association,
    io::radius::RadiusSocket,
    mobility::{
        security::radius::{Action, Outcome, RadiusClient, ServerIndex},
        time::Now,
    },
    wire::types::HomeAddress,
};

/// The client and its servers.
#[derive(Debug)]
pub struct Radius {
    /// The state machine.
    pub client: RadiusClient,
    servers: Vec<Server>,
    /// Packets that could not be sent.
    pub send_errors: u64,
}

#[derive(Debug)]
struct Server {
    address: SocketAddrV4,
    /// `None` as long as there is no route to it.
    socket: Option<Arc<RadiusSocket>>,
}

/// What the roles shall know of a client.
#[derive(Debug)]
pub struct News {
    /// The client.
    pub home_address: HomeAddress,
    /// Its associations, or why there are none; `None`: what was known of it has expired.
    pub outcome: Option<Outcome>,
}

impl Radius {
    /// The client, with a socket for each server that can be reached now.
    pub fn new(settings: &config::Radius) -> Self {
        let servers = settings.servers.iter().map(|address| Server { address: *address, socket: None }).collect();
        Self { client: RadiusClient::new(settings.client.clone(), rand::random()), servers, send_errors: 0 }
    }

    /// A role needs the client's associations.
    pub fn look_up(&mut self, now: Now, home_address: HomeAddress, inputs: &Inputs) -> Vec<News> {
        let mut actions = Vec::new();
        self.client.look_up(now.instant, home_address, &mut actions);
        self.apply(actions, inputs)
    }

    /// A datagram of a server.
    pub fn handle_datagram(&mut self, now: Now, server: ServerIndex, datagram: &[u8], inputs: &Inputs) -> Vec<News> {
        let mut actions = Vec::new();
        self.client.handle_datagram(now.instant, server, datagram, &mut actions);
        self.apply(actions, inputs)
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now, inputs: &Inputs) -> Vec<News> {
        let mut actions = Vec::new();
        self.client.handle_timeout(now.instant, &mut actions);
        self.apply(actions, inputs)
    }

    fn apply(&mut self, actions: Vec<Action>, inputs: &Inputs) -> Vec<News> {
        let mut news = Vec::new();
        for action in actions {
            match action {
                Action::Send { server, packet } => self.send(server, &packet, inputs),
                Action::Resolved { home_address, outcome } => {
                    news.push(News { home_address, outcome: Some(outcome) });
                }
                Action::Withdrawn { home_address } => news.push(News { home_address, outcome: None }),
                Action::ServerFailed { server } => {
                    let server = &mut self.servers[server.0];
                    // A new socket has the address that suits the routes of today.
                    server.socket = None;
                    tracing::warn!(server = %server.address, "RADIUS server does not answer");
                }
                Action::ServerReturned { server } => {
                    tracing::info!(server = %self.servers[server.0].address, "RADIUS server answers again");
                }
            }
        }
        news
    }

    fn send(&mut self, index: ServerIndex, packet: &[u8], inputs: &Inputs) {
        let server = &mut self.servers[index.0];
        let socket = match &server.socket {
            Some(socket) => Ok(Arc::clone(socket)),
            None => inputs.radius_socket(index, server.address),
        };
        let sent = socket.and_then(|socket| {
            let sent = socket.send(packet);
            server.socket = Some(socket);
            sent
        });
        if let Err(error) = sent {
            tracing::debug!(server = %server.address, %error, "cannot ask the RADIUS server");
            self.send_errors += 1;
        }
    }

    /// Rows of `mipd show associations`.
    pub fn associations(&self, now: Now) -> impl Iterator<Item = Association> {
        self.client.downloaded().flat_map(move |row| {
            let source = self.servers[row.server.0].address.to_string();
            let remaining = row.expires.since(now.instant).as_secs();
            row.associations.iter().map(move |association| Association {
                source: source.clone(),
                lifetime_remaining_s: Some(remaining),
                ..Association::configured("mobile-home", row.home_address, association)
            })
        })
    }
}
