//! What a station does while it roams: a TCP connection both ways, and pings.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mipd_lab::topology::CORRESPONDENT;
use mipd_lab::traffic::ping::PingStream;
use mipd_lab::traffic::tcp::Connection;
use mipd_lab::wifi::campus::{Campus, PATIENCE, Roam};

/// How much has to arrive, each way, for a connection to count as alive.
const PROGRESS: u64 = 50_000;
const PING_INTERVAL: Duration = Duration::from_millis(20);

/// What the station does all the time.
pub struct Talk {
    connection: Connection,
    pings: PingStream,
}

impl Talk {
    /// Begins at home.
    pub fn begin(campus: &Campus) -> Result<Self> {
        let station = campus.station.host.namespace();
        let connection = Connection::open(station, campus.correspondent.namespace(), CORRESPONDENT)?;
        let talk = Self { connection, pings: PingStream::start(station, CORRESPONDENT, PING_INTERVAL)? };
        talk.goes_on().context("at home")?;
        Ok(talk)
    }

    /// Waits until fresh bytes and an answer to a fresh ping have arrived.
    pub fn goes_on(&self) -> Result<()> {
        let start = Instant::now();
        self.connection.progresses(PROGRESS, PATIENCE)?.context("TCP stands still")?;
        mipd_lab::wait::until(PATIENCE, || Ok(self.pings.answered_since(start)))?.context("no ping is answered")?;
        Ok(())
    }

    /// Prints how a step went.
    pub fn report(&self, step: &str, roam: Roam) {
        let outage = self.pings.during(roam.start, Instant::now()).outage;
        println!("{step}: associated after {} ms, outage {} ms", roam.unassociated.as_millis(), outage.as_millis());
    }

    /// Ends it, and compares what both ends have sent and received.
    pub fn end(self) -> Result<()> {
        let outcome = self.connection.finish(PATIENCE)?;
        ensure!(outcome.intact, "the two ends saw different bytes: {outcome:?}");
        Ok(())
    }
}
