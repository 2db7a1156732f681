//! The daemon: the one place that wires sockets, roles, data plane and control socket together.
//!
//! * `plan`: what the configuration means on this machine, and the settings it gives each part;
//! * `inputs`: sockets as one stream of messages;
//! * `router`: home agent and foreign agent; `access_point`: the proxy;
//! * `report`: the answers to `mipd show`;
//! * `clock`.
//!
//! One thread does everything but the writing of the state store. It is woken by a message, the kernel programs,
//! netlink, a command or a timer, and never waits for anything else.

mod access_point;
mod clock;
mod error;
mod inputs;
mod plan;
mod report;
mod router;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

pub use self::error::DaemonError;
use self::{
    access_point::AccessPoint,
    clock::Clock,
    inputs::{Input, Inputs},
    plan::Plan,
    router::Router,
};
use crate::{
    config::Config,
    control::{Command, Request, Responder, Server},
    dataplane::{DataPlane, Event},
    mobility::time::Instant,
    state::State,
};

/// Longest sleep; bounds the damage of a timer that was computed wrongly.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs the agent until SIGTERM or SIGINT. The data path stays as it is then, so that a restart or an upgrade does not
/// interrupt traffic; `mipd unload` takes it down.
pub async fn run(config: &Config) -> Result<(), DaemonError> {
    Daemon::start(config).await?.serve().await
}

struct Daemon {
    clock: Clock,
    plan: Plan,
    state: State,
    dataplane: DataPlane,
    inputs: Inputs,
    router: Option<Router>,
    access_point: Option<AccessPoint>,
    control: Server,
}

impl Daemon {
    async fn start(config: &Config) -> Result<Self, DaemonError> {
        let clock = Clock::start();
        let plan = Plan::new(config)?;
        // First of all: its lock keeps a second agent from touching anything.
        let (state, remembered) = State::open(&config.agent.state_dir)?;
        let control = Server::bind(&config.agent.control_socket)?;
        let mut dataplane = DataPlane::start(plan.data_plane(config)).await?;
        let mut inputs = Inputs::new();
        let router = plan.router(config, &mut inputs)?;
        let access_point = plan.access_point(config, &mut inputs)?;
        let mut daemon = Self { clock, plan, state, dataplane: { dataplane.begin(); dataplane }, inputs, router, access_point, control };
        daemon.restore(&remembered)?;
        Ok(daemon)
    }
}
