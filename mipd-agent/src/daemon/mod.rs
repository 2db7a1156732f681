//! The daemon: the one place that wires sockets, roles, data plane and control socket together.
//!
//! * `plan`: what the configuration means on this machine, and the settings that it gives each part;
//! * `inputs`: sockets as one stream of messages;
//! * `router`: home agent and foreign agent; `broadcasts`: broadcasts of the home network, for clients that are away;
//! * `access_point`: the proxy; `ports`: its interfaces, which come and go; `dhcp`: what its clients say to DHCP servers;
//!   `subnet_map`: the exchange with other access points;
//! * `sources`: who tells of stations on the radios, besides the kernel programs; `isolation`: whether radios hide frames;
//! * `radius`: security associations from servers;
//! * [`report`], `trace`: the answers to `mipd show` and `mipd trace`;
//! * `clock`, `error`.
//!
//! One thread does everything but the writing of the state store. It is woken by a message, the kernel programs,
//! netlink, a command or a timer, and waits for nothing else.

mod access_point;
mod broadcasts;
mod clock;
mod dhcp;
mod error;
mod inputs;
mod isolation;
mod plan;
mod ports;
mod radius;
pub mod report;
mod router;
mod sources;
mod subnet_map;
mod trace;

use std::{net::Ipv4Addr, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    access_point::AccessPoint,
    clock::Clock,
    inputs::{Input, Inputs},
    isolation::IsolationWatch,
    radius::{News, Radius},
    router::Router,
    subnet_map::SubnetMapService,
};
pub use self::{error::DaemonError, plan::Plan};
use crate::{
    config::Config,
    control::{self, Request, Responder, Response, Server, report::Association},
    dataplane::{self, DataPlane, Event},
    mobility::{link::InterfaceIndex, time::Instant},
    state::{Remembered, State},
    wire::types::HomeAddress,
};

/// Longest sleep; bounds the damage of a timer that was computed wrongly.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// What the roles act upon.
pub struct Context<'a> {
    /// The data plane.
    pub dataplane: &'a mut DataPlane,
    /// The state store.
    pub state: &'a State,
}

/// Runs the agent until SIGTERM or SIGINT. The data path then stays as it is, so that a restart or an upgrade does not
/// interrupt traffic; `mipd unload` takes it down.
pub async fn run(config: &Config) -> Result<(), DaemonError> {
    let mut daemon = Daemon::start(config)?;
    daemon.serve().await
}

struct Daemon {
    clock: Clock,
    plan: Plan,
    associations: Vec<Association>,
    state: State,
    dataplane: DataPlane,
    inputs: Inputs,
    router: Option<Router>,
    access_point: Option<AccessPoint>,
    radius: Option<Radius>,
    subnet_map: Option<SubnetMapService>,
    isolation: IsolationWatch,
    control: Server,
    terminate: Signal,
    interrupt: Signal,
}

enum Wake {
    Input(Input),
    DataPlane(Event),
    Control(Request, Responder),
    Timer,
    Stop,
}

impl Daemon {
    fn start(config: &Config) -> Result<Self, DaemonError> {
        let clock = Clock::start();
        let plan = Plan::new(config)?;
        // Privileges, kernel, interfaces: what is wrong with these is said before a file or socket is tried.
        dataplane::check(&plan.data_plane(config))?;
        // Its lock keeps a second agent from touching anything.
        let (state, remembered) = State::open(&config.agent.state_dir, clock.now())?;
        let control = Server::bind(&config.agent.control_socket)?;
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let inputs = Inputs::new();
        let router = plan.router(config, &inputs)?;
        let access_point = plan.access_point(config, &inputs)?;
        let subnet_map = plan.subnet_map(config, clock.now(), &inputs)?;
        // Last, since it is what changes the box: whatever fails before leaves nothing behind.
        let dataplane = DataPlane::start(plan.data_plane(config))?;
        let mut daemon = Self {
            clock,
            plan,
            associations: control::report::associations(config),
            state,
            dataplane,
            inputs,
            router,
            access_point,
            radius: config.radius.as_ref().map(Radius::new),
            subnet_map,
            isolation: IsolationWatch::default(),
            control,
            terminate,
            interrupt,
        };
        if let Err(error) = daemon.meet_radios().and_then(|()| daemon.restore(&remembered)) {
            let fresh = !daemon.dataplane.adopted();
            drop(daemon);
            if fresh {
                dataplane::unload(&config.agent.bpffs_dir, &config.agent.state_dir)?;
            }
            return Err(error);
        }
        for interface in daemon.dataplane.interfaces() {
            let (wanted, attached) = (interface.wanted.name(), interface.attached.to_string());
            let reason = interface.reason.as_deref().unwrap_or("as wanted");
            tracing::info!(interface = interface.name, wanted, attached, reason, "attached");
        }
        daemon.isolation.look(daemon.dataplane.interfaces());
        Ok(daemon)
    }

    /// Serves the radios that are there already.
    fn meet_radios(&mut self) -> Result<(), DaemonError> {
        let Some(access_point) = &mut self.access_point else { return Ok(()) };
        access_point.meet_radios(&self.dataplane, &self.inputs)
    }

    /// An interface's name.
    fn name(&self, interface: InterfaceIndex) -> String {
        self.dataplane.interface_name(interface.0).map_or_else(|| self.plan.name(interface), str::to_owned)
    }

    /// Takes up the registrations of the agent that ran before, and lets go what the kernel still carries beyond them.
    fn restore(&mut self, remembered: &Remembered) -> Result<(), DaemonError> {
        let now = self.clock.now();
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        if let Some(router) = &mut self.router {
            router.restore(now, remembered, &mut context)?;
        }
        if let Some(access_point) = &mut self.access_point {
            access_point.restore(now, remembered, &mut context)?;
        }
        let forgotten = self.dataplane.remove_unclaimed()?;
        if forgotten > 0 {
            tracing::warn!(forgotten, "registrations in the kernel that the state store does not know were removed");
        }
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), DaemonError> {
        tracing::info!("ready");
        loop {
            match self.wait().await {
                Wake::Input(input) => self.handle_input(&input),
                Wake::DataPlane(event) => self.handle_event(event),
                Wake::Control(request, responder) => {
                    let response = self.answer(&request);
                    responder.send(response);
                }
                Wake::Timer => {}
                Wake::Stop => break,
            }
            self.handle_timeouts();
            self.look_up_associations();
            self.pass_on_subnet_map();
            let now = self.clock.now();
            let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
            if let Some(router) = &mut self.router {
                router.flush(now, &mut context);
            }
        }
        if let Some(router) = &mut self.router {
            router.shut_down();
        }
        tracing::info!("stopped; the data path stays until `mipd unload`");
        Ok(())
    }

    async fn wait(&mut self) -> Wake {
        let router = self.router.as_ref().and_then(Router::poll_timeout);
        let access_point = self.access_point.as_ref().and_then(AccessPoint::poll_timeout);
        let latest = self.clock.now().instant + LONGEST_SLEEP;
        let radius = self.radius.as_ref().and_then(|radius| radius.client.poll_timeout());
        let subnet_map = self.subnet_map.as_ref().and_then(SubnetMapService::poll_timeout);
        let deadline = router
            .into_iter()
            .chain(access_point)
            .chain(radius)
            .chain(subnet_map)
            .min()
            .map_or(latest, |at: Instant| at.min(latest));
        tokio::select! {
            input = self.inputs.next() => Wake::Input(input),
            event = self.dataplane.next_event() => Wake::DataPlane(event),
            (request, responder) = self.control.next_request() => Wake::Control(request, responder),
            () = tokio::time::sleep_until(self.clock.deadline(deadline)) => Wake::Timer,
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
        }
    }

    fn handle_input(&mut self, input: &Input) {
        let now = self.clock.now();
        if let (Input::Radius(server, datagram), Some(radius)) = (input, &mut self.radius) {
            let news = radius.handle_datagram(now, *server, datagram, &self.inputs);
            return self.tell_associations(news);
        }
        match (input, &mut self.subnet_map) {
            (Input::SubnetMap(datagrams), Some(subnet_map)) => return subnet_map.handle_datagrams(now, datagrams),
            (Input::Authoritative(addresses), Some(subnet_map)) => return subnet_map.resolved(now, addresses.clone()),
            _ => {}
        }
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        match (input, &mut self.router, &mut self.access_point) {
            (Input::Datagrams(datagrams), Some(router), _) => {
                for datagram in datagrams {
                    router.handle_datagram(now, datagram, &mut context);
                }
            }
            (Input::Undeliverable(returned), Some(router), _) => {
                router.handle_undeliverable(now, returned, &mut context);
            }
            (Input::Frames(frames), Some(router), _) => {
                for frame in frames {
                    router.handle_frame(now, frame, &mut context);
                }
            }
            (Input::Broadcasts(frames), Some(router), _) => {
                for frame in frames {
                    router.handle_broadcast(now, frame);
                }
            }
            (Input::Source(report), _, Some(access_point)) => access_point.hear_source(now, report, &mut context),
            (Input::Frames(frames), _, Some(access_point)) => {
                for frame in frames {
                    access_point.handle_frame(now, frame, &mut context);
                }
            }
            _ => {}
        }
    }

    /// Asks about the clients whose associations a role needs, and tells the roles what is known at once.
    fn look_up_associations(&mut self) {
        let now = self.clock.now();
        loop {
            let router = self.router.as_mut().and_then(|router| router.wanted_associations.pop());
            let wanted = router.or_else(|| self.access_point.as_mut()?.wanted_associations.pop());
            let (Some(home_address), Some(radius)) = (wanted, &mut self.radius) else { break };
            let news = radius.look_up(now, home_address, &self.inputs);
            self.tell_associations(news);
        }
    }

    /// Tells the other access points the home agent of this subnet, and the proxy what they tell.
    fn pass_on_subnet_map(&mut self) {
        let (Some(subnet_map), Some(access_point)) = (&mut self.subnet_map, &mut self.access_point) else { return };
        let now = self.clock.now();
        subnet_map.own_home_agent(now, access_point.own_home_agent);
        if let Some(map) = subnet_map.take_change() {
            tracing::info!(subnets = map.len(), "subnet map changed");
            let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
            access_point.set_subnet_map(now, map, &mut context);
        }
    }

    fn tell_associations(&mut self, news: Vec<News>) {
        let now = self.clock.now();
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        for News { home_address, outcome } in news {
            if let Some(router) = &mut self.router {
                router.take_associations(now, home_address, outcome.as_ref(), &mut context);
            }
            if let Some(access_point) = &mut self.access_point {
                access_point.take_associations(now, home_address, outcome.as_ref(), &mut context);
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let now = self.clock.now();
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        match (event, &mut self.access_point) {
            (Event::Station(sighting), Some(access_point)) => {
                access_point.handle_sighting(now, &sighting, &mut context);
            }
            (Event::PuntedFrame(bytes), Some(access_point)) => access_point.handle_punted(now, bytes, &mut context),
            (Event::InterfaceChanged { name }, access_point) => {
                tracing::info!(interface = name, "interface changed");
                self.isolation.look(context.dataplane.interfaces().into_iter().filter(|changed| changed.name == name));
                if let Some(access_point) = access_point {
                    access_point.follow_interface(now, &name, &self.inputs, &mut context);
                }
            }
            _ => {}
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.clock.now();
        if let Some(radius) = &mut self.radius
            && radius.client.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            let news = radius.handle_timeout(now, &self.inputs);
            self.tell_associations(news);
        }
        if let Some(subnet_map) = &mut self.subnet_map
            && subnet_map.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            subnet_map.handle_timeout(now);
        }
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        if let Some(router) = &mut self.router
            && router.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            router.handle_timeout(now, &mut context);
        }
        if let Some(access_point) = &mut self.access_point
            && access_point.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            access_point.handle_timeout(now, &mut context);
        }
    }

    fn answer(&mut self, request: &Request) -> Response {
        match request {
            Request::Show { what } => Response::Report(self.report(*what)),
            Request::Trace { client } => self.trace(*client),
            Request::Deregister { address } => self.deregister(*address),
            Request::Pause => self.pause(true),
            Request::Resume => self.pause(false),
            Request::ClearSubnetMap => self.clear_subnet_map(),
        }
    }

    fn deregister(&mut self, address: Ipv4Addr) -> Response {
        let now = self.clock.now();
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        let found =
            self.router.as_mut().is_some_and(|router| router.deregister(now, HomeAddress(address), &mut context));
        if found {
            Response::Done { message: format!("{address} is no longer registered here") }
        } else {
            Response::Refused { message: format!("{address} is registered neither as binding nor as visitor here") }
        }
    }

    fn clear_subnet_map(&mut self) -> Response {
        let now = self.clock.now();
        let Some(subnet_map) = &mut self.subnet_map else {
            let message =
                "this box learns no subnet map: it is no access point, or no authoritative ones are configured";
            return Response::Refused { message: message.into() };
        };
        subnet_map.clear(now);
        let message =
            "cleared; what other access points still have comes back: to build the map anew, clear it on each";
        Response::Done { message: message.into() }
    }

    fn pause(&mut self, pause: bool) -> Response {
        let now = self.clock.now();
        let Some(access_point) = &mut self.access_point else {
            return Response::Refused { message: "this box is no access point: there is nothing to pause".into() };
        };
        let mut context = Context { dataplane: &mut self.dataplane, state: &self.state };
        access_point.pause(now, pause, &mut context);
        let state = if pause { "paused: new visitors are not served" } else { "resumed" };
        Response::Done { message: state.into() }
    }
}
