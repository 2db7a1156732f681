//! What is simulated: how large, how long, and, drawn from the seed, under which conditions.

use std::{fmt, time::Duration};

use mipd_agent::{
    mobility::{
        foreign_agent::GreKeyPolicy, proxy::ReverseTunnelPolicy, security::ReplayProtection, tunnel::Encapsulation,
    },
    wire::types::Lifetime,
};

use crate::random::{Purpose, Stream};

/// The size of a campus, and what may happen to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// All that happens follows from it.
    pub seed: u64,
    /// How many access points.
    pub access_points: usize,
    /// How many routers that are foreign agents.
    pub foreign_agents: usize,
    /// How many routers that are home agents; most of them are foreign agents, too.
    pub home_agents: usize,
    /// How many clients roam.
    pub clients: usize,
    /// How long, simulated.
    pub minutes: u64,
    /// Nothing is lost, nothing fails, nobody is hostile: what is promised then is promised sooner.
    pub calm: bool,
    /// Only this client does anything: the others' messages are left out when a failure is looked for.
    pub only_client: Option<usize>,
}

impl Scenario {
    /// The campus of every run of CI.
    pub fn campus(seed: u64) -> Self {
        Self {
            seed,
            access_points: 1000,
            foreign_agents: 100,
            home_agents: 50,
            clients: 20_000,
            minutes: 20,
            calm: false,
            only_client: None,
        }
    }

    /// A small one, for many seeds.
    pub fn small(seed: u64) -> Self {
        Self {
            access_points: 10,
            foreign_agents: 4,
            home_agents: 3,
            clients: 30,
            minutes: 30,
            calm: seed.is_multiple_of(4),
            ..Self::campus(seed)
        }
    }

    /// How many subnets, each with one router: home agents that are foreign agents, too, then other foreign agents, then
    /// other home agents.
    pub fn subnets(&self) -> usize {
        self.foreign_agents + self.home_agents - self.routers_with_both()
    }

    /// Four of five home agents are foreign agents of their subnet, too.
    pub fn routers_with_both(&self) -> usize {
        (self.home_agents * 4).div_ceil(5).min(self.foreign_agents)
    }

    /// Whether the router of a subnet is a foreign agent.
    pub fn is_foreign_agent(&self, subnet: usize) -> bool {
        subnet < self.foreign_agents
    }

    /// Whether the router of a subnet is a home agent.
    pub fn is_home_agent(&self, subnet: usize) -> bool {
        subnet < self.routers_with_both() || subnet >= self.foreign_agents
    }
}

impl fmt::Display for Scenario {
    /// The command that runs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, access_points, foreign_agents, home_agents, clients, minutes, .. } = self;
        write!(
            f,
            "cargo xtask simulate --seed {seed} --aps {access_points} --fas {foreign_agents} --has {home_agents}"
        )?;
        write!(f, " --clients {clients} --minutes {minutes}")?;
        if self.calm {
            f.write_str(" --calm")?;
        }
        self.only_client.map_or(Ok(()), |client| write!(f, " --only-client {client}"))
    }
}

/// More than a client visits within a lifetime.
const SIMULTANEOUS_BINDINGS: usize = 64;

/// What the network and its operators are like, drawn from the seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// Messages per million that the core loses; links lose a tenth of it.
    pub core_loss: u32,
    /// Messages per million that arrive twice.
    pub duplication: u32,
    /// Messages per million that are overtaken by others.
    pub reordering: u32,
    /// Largest error of a wall clock, seconds.
    pub skew: u32,
    /// What access points ask for.
    pub lifetime: Lifetime,
    /// Whether the agents share keys.
    pub agents_share_keys: bool,
    /// What access points think of reverse tunnels.
    pub reverse_tunnel: ReverseTunnelPolicy,
    /// What access points ask for beside IP in IP.
    pub encapsulation: Encapsulation,
    /// Mean time that a client stays at an access point.
    pub stay: Duration,
    /// Whether the wall clocks wrap in the midst of the run (2036-02-07).
    pub wraps: bool,
    /// Mean time between two faults.
    pub faults: Option<Duration>,
    /// Mean time between two hostile messages.
    pub attacks: Option<Duration>,
    /// Whether foreign agents and clients share keys.
    pub mobile_foreign: bool,
    /// Whether foreign agents challenge; a client without a key for them answers with its AAA server's.
    pub challenges: bool,
    /// Whether agents that share keys revoke registrations.
    pub revocation: bool,
    /// When foreign agents ask for GRE keys.
    pub gre_key: GreKeyPolicy,
    /// Whether there is a NAT before each foreign agent that is no home agent.
    pub translated: bool,
    /// How replays are told from new requests.
    pub replay: ReplayProtection,
    /// Whether clients ask to keep their former bindings (S), and how many a home agent grants each; 1 = they do not.
    pub simultaneous_bindings: usize,
    /// Mean time between two orders of an operator, to end the registration of some client.
    pub orders: Duration,
    /// Whether access points are told of associations, as by hostapd.
    pub associations: bool,
}

impl Conditions {
    /// Those of a scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let mut stream = Stream::new(scenario.seed, Purpose::Campus, 0);
        let loss = stream.one_of(&[1000, 5000, 10_000]);
        let skew = stream.one_of(&[0, 1, 5, 5, 60]);
        let lifetime = Lifetime(stream.one_of(&[120, 300, 600]));
        let agents_share_keys = stream.chance(600_000);
        let reverse_tunnel = stream.one_of(&[ReverseTunnelPolicy::Never, ReverseTunnelPolicy::WhenOffered]);
        let stay = Duration::from_secs(stream.one_of(&[60, 180, 400]));
        let wraps = stream.chance(200_000);
        let encapsulation = stream.one_of(&Encapsulation::ALL);
        // A campus ten times as large has ten times as many boxes that fail.
        let boxes = (scenario.access_points + scenario.subnets()) as u32;
        let faults = Duration::from_mins(50) / boxes.clamp(1, 600);
        let attacks = Duration::from_secs(500) / boxes.clamp(1, 600);
        let (mobile_foreign, challenges) = (stream.chance(400_000), stream.chance(400_000));
        let revocation = stream.chance(700_000);
        let gre_key = stream.one_of(&[GreKeyPolicy::Never, GreKeyPolicy::WithGre, GreKeyPolicy::Always]);
        let translated = stream.chance(250_000) && gre_key == GreKeyPolicy::Never;
        let replay = if stream.chance(250_000) { ReplayProtection::Nonces } else { ReplayProtection::Timestamps };
        let lifetime = if stream.chance(80_000) { Lifetime::INFINITE } else { lifetime };
        // Access points ask for one binding; the simulation signs other requests in their stead if that is all there is to sign.
        let may_keep = stream.chance(300_000) && !mobile_foreign && !challenges && lifetime != Lifetime::INFINITE;
        let orders = Duration::from_mins(40) / boxes.clamp(1, 600);
        let associations = stream.chance(500_000);
        Self {
            core_loss: if scenario.calm { 0 } else { loss },
            duplication: if scenario.calm { 0 } else { 5000 },
            reordering: if scenario.calm { 0 } else { 5000 },
            skew,
            lifetime,
            agents_share_keys,
            reverse_tunnel,
            encapsulation,
            stay,
            wraps,
            faults: (!scenario.calm).then_some(faults),
            attacks: (!scenario.calm).then_some(attacks),
            mobile_foreign,
            challenges,
            revocation,
            gre_key,
            translated,
            replay,
            simultaneous_bindings: if may_keep { SIMULTANEOUS_BINDINGS } else { 1 },
            orders,
            associations,
        }
    }

    /// Messages per million that a link loses.
    pub fn link_loss(&self) -> u32 {
        self.core_loss / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_router_has_a_role_and_the_numbers_are_as_asked_for() {
        for scenario in [Scenario::campus(1), Scenario::small(1)] {
            let routers = 0..scenario.subnets();
            assert_eq!(
                routers.clone().filter(|router| scenario.is_foreign_agent(*router)).count(),
                scenario.foreign_agents
            );
            assert_eq!(routers.clone().filter(|router| scenario.is_home_agent(*router)).count(), scenario.home_agents);
        }
    }
}
