//! A home network and a visited one, each with a router and an access point whose radio hostapd runs, and a station.
//!
//! ```text
//!  station ))) home-ap ══ lan1 ══ ha ───── core ───── fa ══ lan2 ══ visited-ap )))
//!                                           │
//!                                     correspondent
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ipnet::Ipv4Net;
use mipd_common::mac::MacAddress;
use serde_json::Value;

use super::Security;
use super::hostapd::{Hostapd, Network};
use super::hwsim::Radios;
use super::station::Station;
use crate::agent::Agent;
use crate::agent::config::{FastPath, Role, Settings, Stations};
use crate::host::Host;
use crate::lab::Lab;
use crate::radio::CLIENT_INTERFACE;
use crate::topology::{self, CLIENT, CLIENT_MAC, RADIO, ReversePathFilter, Router};
use crate::wait;

/// The network's name.
pub const SSID: &str = "campus";
/// What lets stations into it, if anything has to.
pub const PASSPHRASE: &str = "correct horse battery";
/// Emulated machines are slow, and busy when others are.
pub const PATIENCE: Duration = Duration::from_mins(1);
const ROAM_ATTEMPTS: usize = 3;
const CARE_OF_ADDRESS: &str = "10.2.0.1";

/// The one source from which access points know their stations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// What stations send.
    FirstPacket,
    /// hostapd's control socket.
    Hostapd,
    /// The kernel's wireless subsystem.
    Nl80211,
}

impl Source {
    /// As `mipd show clients` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstPacket => "first-packet",
            Self::Hostapd => "hostapd",
            Self::Nl80211 => "nl80211",
        }
    }
}

/// The networks, their agents, and a station that has its home address and is not associated yet. What ends first comes first.
pub struct Campus {
    /// The station.
    pub station: Station,
    /// The home agent.
    pub ha: Agent,
    /// The foreign agent.
    pub fa: Agent,
    /// At home.
    pub home: AccessPoint,
    /// In the visited network.
    pub visited: AccessPoint,
    /// Whom the station talks to.
    pub correspondent: Host,
    /// The home router and its LAN.
    pub home_router: Router,
    /// The network that both access points announce.
    pub network: Network,
    radios: Radios,
    /// The lab; removed with it.
    pub lab: Lab,
}

/// A roam that has happened.
#[derive(Clone, Copy, Debug)]
pub struct Roam {
    /// When it began.
    pub start: Instant,
    /// How long the station was not associated, as it sees that itself.
    pub unassociated: Duration,
}

/// An access point.
pub struct AccessPoint {
    /// Its agent.
    pub agent: Agent,
    /// Its hostapd.
    pub hostapd: Hostapd,
    /// Its radio's address.
    pub bssid: MacAddress,
}

impl Campus {
    /// Builds everything and starts all agents.
    pub fn build(label: &str, security: Security, source: Source) -> Result<Self> {
        let lab = Lab::new(label)?;
        let filter = ReversePathFilter::default();
        let core = topology::router(&lab, "core", filter)?;
        let correspondent = topology::correspondent_behind(&lab, &core, "cn0")?;
        let home_router = topology::subnet_router(&lab, "ha", &core, 1, filter)?;
        let visited_router = topology::subnet_router(&lab, "fa", &core, 2, filter)?;
        let network = Network { ssid: SSID.to_owned(), security, isolated: true };

        let radios = Radios::new(&lab)?;
        let settings = Settings::new(FastPath::Auto);
        let subnet_map = [home_router.lans[0].gateway];
        let access_point = |name: &str, router: &Router| -> Result<AccessPoint> {
            let (host, address) = topology::radioless_access_point(&lab, name, &router.lans[0], 11, filter)?;
            let bssid = topology::radio_mac(address);
            radios.give(&host, RADIO, bssid)?;
            let hostapd = Hostapd::start(&lab, &host, &network)?;
            let stations = Stations {
                hostapd: (source == Source::Hostapd).then(|| hostapd.sockets()),
                nl80211: source == Source::Nl80211,
            };
            let settings = Settings { stations, ..settings.clone() };
            let agent = Agent::configure(&lab, &host, &Role::access_point(&subnet_map), &settings)?;
            Ok(AccessPoint { agent, hostapd, bssid: MacAddress(bssid) })
        };
        let home = access_point("home-ap", &home_router)?;
        let visited = access_point("visited-ap", &visited_router)?;
        let router = |router: &Router| Agent::configure(&lab, &router.host, &Role::router(router), &settings);
        let (ha, fa) = (router(&home_router)?, router(&visited_router)?);
        let host = lab.host("station")?;
        let station = station(&lab, &radios, host, CLIENT_MAC, &network, &network.security)?;
        topology::settle_at_home(&station.host, CLIENT, &home_router.lans[0])?;
        let mut campus = Self { station, ha, fa, home, visited, correspondent, home_router, network, radios, lab };
        campus.start_agents()?;
        Ok(campus)
    }

    fn start_agents(&mut self) -> Result<()> {
        let mut agents = [&mut self.ha, &mut self.fa, &mut self.home.agent, &mut self.visited.agent];
        agents.iter_mut().try_for_each(|agent| agent.launch())?;
        agents.iter().try_for_each(|agent| agent.await_ready())?;
        for access_point in [&self.home, &self.visited] {
            access_point.agent.await_rows("agents", PATIENCE).context("no agent advertises itself")?;
        }
        Ok(())
    }

    /// Another station, associated at an access point, with an address of the LAN there.
    pub fn add_neighbour(&self, name: &str, address: Ipv4Net, at: &AccessPoint) -> Result<Station> {
        let [_, b, c, d] = address.addr().octets();
        let (host, mac) = (self.lab.host(name)?, [0x02, 0xc1, 0x1e, b, c, d]);
        let station = station(&self.lab, &self.radios, host, mac, &self.network, &self.network.security)?;
        station.associate(at.bssid)?;
        station.stay_with(at.bssid)?;
        station.host.add_address(CLIENT_INTERFACE, address)?;
        Ok(station)
    }

    /// Associates the station at home.
    pub fn associate(&self) -> Result<()> {
        self.station.associate(self.home.bssid)
    }

    /// Has the station roam to the visited access point, and waits until home agent and access point call it registered there.
    /// Gives its row of `mipd show clients`.
    pub fn roam_away(&self) -> Result<(Roam, Value)> {
        let start = Instant::now();
        self.roam(&self.visited, || {
            let bindings = self.ha.rows_of("bindings", CLIENT)?;
            if !bindings.iter().any(|binding| binding["care_of_address"] == CARE_OF_ADDRESS) {
                return Ok(None);
            }
            let clients = self.visited.agent.rows_of("clients", CLIENT)?;
            Ok(clients.into_iter().find(|client| crate::deployment::is_registered(client, start)))
        })
    }

    /// Has the station roam home, and waits until the home agent has no binding for it.
    pub fn roam_home(&self) -> Result<Roam> {
        let (roam, ()) = self.roam(&self.home, || Ok(self.ha.rows_of("bindings", CLIENT)?.is_empty().then_some(())))?;
        Ok(roam)
    }

    /// Has the station roam to an access point, and waits for what is to come of it.
    pub fn roam<T>(&self, to: &AccessPoint, mut outcome: impl FnMut() -> Result<Option<T>>) -> Result<(Roam, T)> {
        let start = Instant::now();
        for _ in 0..ROAM_ATTEMPTS {
            let unassociated = self.station.roam(to.bssid)?;
            let ended = wait::until(PATIENCE, || {
                if let Some(outcome) = outcome()? {
                    return Ok(Some(Some(outcome)));
                }
                Ok((!self.station.is_associated(to.bssid)?).then_some(None))
            })?;
            match ended {
                Some(Some(outcome)) => return Ok((Roam { start, unassociated }, outcome)),
                // hostapd repeats the messages of the key handshake after 100 ms, for which an emulated machine on a busy one
                // is not made: the two can end up with different keys. They then begin anew, anywhere, and so do we.
                Some(None) => println!("thrown out again after {:?}: roaming once more", start.elapsed()),
                None => break,
            }
        }
        let (log, station, hostapd) = (to.agent.log_tail(), self.station.log_text(), to.hostapd.log_text());
        anyhow::bail!("nothing comes of the roam to {}:\n{log}\n\n{station}\n\n{hostapd}", to.bssid)
    }

    /// Takes the station's address away: it cannot say anything, and stays associated.
    pub fn silence(&self) -> Result<()> {
        let address = Ipv4Net::new_assert(CLIENT, self.home_router.lans[0].gateway.prefix_len());
        self.station.host.remove_address(CLIENT_INTERFACE, address)
    }

    /// Gives the station its address back, and its gateway.
    pub fn let_speak(&self) -> Result<()> {
        topology::settle_at_home(&self.station.host, CLIENT, &self.home_router.lans[0])
    }
}

impl AccessPoint {
    /// The row of its radio in `mipd show interfaces`.
    pub fn radio(&self) -> Result<Value> {
        let interfaces = self.agent.show("interfaces")?;
        let rows = interfaces.as_array().context("`mipd show interfaces` is no array")?;
        rows.iter().find(|row| row["interface"] == RADIO).cloned().context("the radio is not among the interfaces")
    }

    /// Packets that the program on its radio has counted under a name.
    pub fn counted(&self, name: &str) -> Result<u64> {
        Ok(self.counters()?.get(name).copied().unwrap_or_default())
    }

    /// Packets from stations that the program on its radio has seen, by counter. Those of key handshakes are not among them,
    /// nor is the XID frame by which the kernel tells the bridge of a new station, in that station's name.
    pub fn seen(&self) -> Result<BTreeMap<String, u64>> {
        let mut seen = self.counters()?;
        seen.retain(|name, _| !["passed_link_layer", "passed_other"].contains(&name.as_str()));
        Ok(seen)
    }

    fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let counters = self.agent.show("counters")?;
        let rows = counters.as_array().context("`mipd show counters` is no array")?;
        let from_radio = rows.iter().filter(|row| row["interface"] == RADIO && row["hook"] == "ingress");
        Ok(from_radio.filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["value"].as_u64()?))).collect())
    }
}

fn station(
    lab: &Lab,
    radios: &Radios,
    host: Host,
    mac: [u8; 6],
    network: &Network,
    security: &Security,
) -> Result<Station> {
    radios.give(&host, CLIENT_INTERFACE, mac)?;
    Station::start(lab, host, &network.ssid, security)
}
