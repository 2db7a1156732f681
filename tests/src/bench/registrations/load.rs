//! A window of requests under way: as soon as one is answered, the next one leaves.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::clients::Clients;

/// Without any answer for so long, what is under way counts as lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// The rate is taken over so many equal parts of a measurement.
const PARTS: usize = 20;
/// One reply in so many is verified: enough to notice wrong ones, too few to slow the generator down.
const VERIFIED: u64 = 64;

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load<'a> {
    /// The clients, one after the other and then from the beginning.
    pub clients: &'a [u32],
    /// How many requests there are.
    pub requests: usize,
    /// How many are under way at a time; fewer than there are clients.
    pub window: usize,
    /// Clients are spread over these.
    pub care_of_addresses: &'a [Ipv4Addr],
    /// Whether a client has another care-of address in each round than in the one before; in the first round, than without
    /// this.
    pub moves: bool,
    /// Whether requests come back as they are.
    pub is_echo: bool,
}

impl Load<'_> {
    fn client(&self, number: usize) -> u32 {
        self.clients[number % self.clients.len()]
    }

    fn care_of_address(&self, number: usize) -> Ipv4Addr {
        let moved = if self.moves { 1 + number / self.clients.len() } else { 0 };
        self.care_of_addresses[(self.client(number) as usize + moved) % self.care_of_addresses.len()]
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Requests that were accepted.
    pub answered: u64,
    /// Requests that were not answered.
    pub lost: u64,
    /// Answers per second, in each part of the measurement.
    pub rates: Vec<f64>,
    /// From request to reply.
    pub latencies: Vec<Duration>,
}

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Request {
    /// The client.
    pub client: u32,
    /// Its care-of address.
    pub care_of_address: Ipv4Addr,
    /// The message.
    pub payload: Vec<u8>,
}

/// How messages reach the agents.
pub(super) trait Transport {
    /// Sends requests.
    fn send(&mut self, requests: &[Request]);

    /// Waits for replies and hands each message over.
    async fn receive(&mut self, each: impl FnMut(&[u8])) -> Result<()>;
}

/// Runs a load to its end.
pub(super) async fn run(transport: &mut impl Transport, clients: &Clients, load: &Load<'_>) -> Result<Outcome> {
    let mut outcome = Outcome { latencies: Vec::with_capacity(load.requests), ..Outcome::default() };
    let mut under_way: Vec<Option<(Instant, u32)>> = vec![None; clients.count() as usize];
    let (mut next, mut open) = (0, 0);
    let mut part_began = Instant::now();
    let part = load.requests.div_ceil(PARTS).max(1);
    let mut failure = None;
    let mut batch = Vec::new();
    while next < load.requests || open > 0 {
        batch.clear();
        while open + batch.len() < load.window && next < load.requests {
            let (client, care_of_address) = (load.client(next), load.care_of_address(next));
            next += 1;
            let (payload, identification) = clients.request(client, care_of_address);
            under_way[client as usize] = Some((Instant::now(), identification));
            batch.push(Request { client, care_of_address, payload });
        }
        open += batch.len();
        transport.send(&batch);
        let each = |message: &[u8]| {
            let answered = if load.is_echo {
                echoed(clients, message)
            } else {
                clients.accepted(message, outcome.answered.is_multiple_of(VERIFIED))
            };
            let (client, identification) = match answered {
                Ok(answered) => answered,
                Err(error) => {
                    failure = Some(error);
                    return;
                }
            };
            let place = &mut under_way[client as usize];
            if let Some((sent, _)) = place.take_if(|(_, expected)| *expected == identification) {
                outcome.latencies.push(sent.elapsed());
                outcome.answered += 1;
                open -= 1;
                if outcome.answered.is_multiple_of(part as u64) {
                    outcome.rates.push(part as f64 / part_began.elapsed().as_secs_f64());
                    part_began = Instant::now();
                }
            }
        };
        if let Ok(received) = tokio::time::timeout(PATIENCE, transport.receive(each)).await {
            received?;
        } else {
            outcome.lost += open as u64;
            open = 0;
            under_way.fill(None);
        }
        if let Some(error) = failure {
            return Err(error);
        }
    }
    if outcome.answered == 0 {
        bail!("no request was answered within {PATIENCE:?}");
    }
    Ok(outcome)
}

/// A request that came back.
fn echoed(clients: &Clients, message: &[u8]) -> Result<(u32, u32)> {
    let request = mipd_agent::wire::registration::RegistrationRequest::parse_fixed(message)?;
    match clients.with_address(request.home_address) {
        Some(client) => Ok((client, request.identification.low())),
        None => bail!("an echo for nobody"),
    }
}
