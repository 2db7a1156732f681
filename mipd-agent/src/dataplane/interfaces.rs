//! The interfaces: which programs each carries, and what the programs are told of it.

use std::{collections::HashMap, fmt};

use aya::{
    maps::{Array, MapData},
    programs::TcAttachType,
};
use mipd_common::{
    mac::MacAddress,
    maps::{Interface, interface_flags},
};
use serde::{Serialize, Serializer};

use super::{
    attach::{Attacher, Programs, XdpOutcome},
    devices::{HOME_TUN, PUNT_TAP, VISIT_TUN},
    error::DataPlaneError,
    journal::{Change, Journal},
    maps::name,
    netlink::{Link, Netlink},
    settings::{FastPath, InterfaceSettings, Roles, Settings},
};

/// What is attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attached {
    /// An XDP program in the driver.
    pub xdp: bool,
    /// TC programs.
    pub tc: bool,
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.xdp, self.tc) {
            (true, true) => "xdp+tc",
            (true, false) => "xdp",
            (false, true) => "tc",
            (false, false) => "none",
        })
    }
}

impl Serialize for Attached {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An interface as `mipd show interfaces` lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Kernel index; 0 while it is absent.
    pub ifindex: u32,
    /// Its Ethernet address.
    #[serde(serialize_with = "super::serialize_display")]
    pub mac: MacAddress,
    /// What it leads to.
    pub roles: Roles,
    /// The mode configured.
    pub wanted: FastPath,
    /// The programs attached.
    pub attached: Attached,
    /// Why wanted and attached differ.
    pub reason: Option<String>,
}

struct Configured {
    settings: InterfaceSettings,
    row: u32,
    index: u32,
    attached: Attached,
    reason: Option<String>,
}

/// All interfaces of the namespace, and ours among them.
pub(super) struct Interfaces {
    map: Array<MapData, Interface>,
    links: HashMap<u32, Link>,
    configured: Vec<Configured>,
    /// Our own devices: name, counter row, index.
    devices: Vec<(&'static str, u32, u32)>,
}

/// How many rows of counters there are: one for unregistered interfaces, one for each configured one and our devices.
pub(super) fn counter_rows(settings: &Settings) -> u32 {
    1 + settings.interfaces.len() as u32 + 3
}

impl Interfaces {
    /// Registers the configured interfaces, all of which but radios must exist, and our devices. An interface that an earlier agent
    /// registered keeps its row of counters.
    pub fn new(settings: &Settings, map: Array<MapData, Interface>, links: Vec<Link>) -> Result<Self, DataPlaneError> {
        let mut this = Self {
            map,
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            configured: Vec::new(),
            devices: Vec::new(),
        };
        let names = settings.interfaces.iter().map(|interface| interface.name.as_str());
        let mut rows = HashMap::new();
        for name in names.clone().chain([HOME_TUN, VISIT_TUN, PUNT_TAP]) {
            let Some(index) = this.index(name) else { continue };
            let entry = this.map.get(&index, 0).unwrap_or_default();
            if (1..counter_rows(settings)).contains(&entry.row) && !rows.values().any(|row| *row == entry.row) {
                rows.insert(name.to_owned(), entry.row);
            }
        }
        let mut free =
            (1..counter_rows(settings)).filter(|row| !rows.values().any(|taken| taken == row)).collect::<Vec<_>>();
        let mut row = |name: &str| rows.get(name).copied().or_else(|| free.pop()).unwrap_or(0);
        for interface in &settings.interfaces {
            let index = this.index(&interface.name);
            if index.is_none() && !interface.roles.radio {
                return Err(DataPlaneError::NoSuchInterface { name: interface.name.clone() });
            }
            this.configured.push(Configured {
                row: row(&interface.name),
                settings: interface.clone(),
                index: index.unwrap_or(0),
                attached: Attached::default(),
                reason: index.is_none().then(|| "the interface is not there yet".to_owned()),
            });
        }
        for name in [HOME_TUN, VISIT_TUN, PUNT_TAP] {
            if let Some(index) = this.index(name) {
                this.devices.push((name, row(name), index));
            }
        }
        Ok(this)
    }

    /// Attaches the programs of every configured interface and of our devices.
    pub fn attach(
        &mut self,
        attacher: &mut Attacher,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<(), DataPlaneError> {
        attacher.detach_unwanted(&self.wanted_programs())?;
        // Radios first: whether the uplink needs XDP depends on them.
        let (radios, others): (Vec<_>, Vec<_>) =
            (0..self.configured.len()).partition(|position| self.configured[*position].settings.roles.radio);
        for position in radios.into_iter().chain(others) {
            self.attach_one(position, attacher, netlink, journal)?;
        }
        for (name, _, index) in &self.devices {
            let Some(link) = self.links.get(index) else { continue };
            let (program, direction) = match *name {
                HOME_TUN => ("home_tun_egress", TcAttachType::Egress),
                VISIT_TUN => ("visit_tun_egress", TcAttachType::Egress),
                _ => ("punt_ingress", TcAttachType::Ingress),
            };
            attacher.tc(program, link, direction, netlink, journal)?;
        }
        self.publish()
    }

    fn attach_one(
        &mut self,
        position: usize,
        attacher: &mut Attacher,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<(), DataPlaneError> {
        let radio_xdp = self.configured.iter().any(|other| other.settings.roles.radio && other.attached.xdp);
        let configured = &mut self.configured[position];
        let Some(link) = self.links.get(&configured.index) else { return Ok(()) };
        let programs = Programs::of(configured.settings.roles);
        let useful = configured.settings.roles != Roles { uplink: true, ..Roles::default() } || radio_xdp;
        if configured.settings.roles.radio {
            journal.record(Change::Radio { radio: link.name.clone() })?;
        }
        for program in programs.ingress {
            attacher.tc(program, link, TcAttachType::Ingress, netlink, journal)?;
            configured.attached.tc = true;
        }
        for program in programs.egress {
            attacher.tc(program, link, TcAttachType::Egress, netlink, journal)?;
            configured.attached.tc = true;
        }
        configured.attached.xdp = false;
        configured.reason = None;
        match programs.xdp.filter(|_| useful && configured.settings.fast_path.wants_xdp()) {
            Some(program) => match attacher.xdp(program, link)? {
                XdpOutcome::Attached => configured.attached.xdp = true,
                XdpOutcome::Refused(reason) => configured.reason = Some(reason),
            },
            None if configured.settings.fast_path.wants_xdp() => {
                configured.reason = Some("no radio here has native XDP, so the uplink needs none".to_owned());
            }
            None => {}
        }
        Ok(())
    }

    /// Attaches the programs of an interface that has appeared. A radio with XDP makes it useful on the uplink.
    fn attach_anew(
        &mut self,
        position: usize,
        attacher: &mut Attacher,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<(), DataPlaneError> {
        self.attach_one(position, attacher, netlink, journal)?;
        if self.configured[position].settings.roles.radio && self.configured[position].attached.xdp {
            let lacks = |other: &Configured| other.settings.roles.uplink && other.index != 0 && !other.attached.xdp;
            for uplink in (0..self.configured.len()).filter(|other| lacks(&self.configured[*other])).collect::<Vec<_>>()
            {
                self.attach_one(uplink, attacher, netlink, journal)?;
            }
        }
        Ok(())
    }

    /// Which pinned links have to exist: program and interface.
    fn wanted_programs(&self) -> Vec<(&'static str, String)> {
        let configured = self.configured.iter().flat_map(|configured| {
            let programs = Programs::of(configured.settings.roles);
            let xdp = programs.xdp.filter(|_| configured.settings.fast_path.wants_xdp());
            xdp.into_iter()
                .chain(programs.ingress)
                .chain(programs.egress)
                .map(|program| (program, configured.settings.name.clone()))
                .collect::<Vec<_>>()
        });
        let devices = self.devices.iter().map(|(name, ..)| {
            let program = match *name {
                HOME_TUN => "home_tun_egress",
                VISIT_TUN => "visit_tun_egress",
                _ => "punt_ingress",
            };
            (program, (*name).to_owned())
        });
        configured.chain(devices).collect()
    }

    /// Tells the programs of all our interfaces.
    pub fn publish(&mut self) -> Result<(), DataPlaneError> {
        let mut entries = Vec::new();
        for configured in &self.configured {
            if let Some(link) = self.links.get(&configured.index) {
                entries.push((link, configured.row, flags(configured)));
            }
        }
        for (_, row, index) in &self.devices {
            if let Some(link) = self.links.get(index) {
                entries.push((link, *row, 0));
            }
        }
        for (link, row, flags) in entries {
            if link.index >= self.map.len() {
                return Err(DataPlaneError::InterfaceIndex {
                    name: link.name.clone(),
                    index: link.index,
                    maximum: self.map.len() - 1,
                });
            }
            let entry = Interface { mac: link.mac.0, flags, row, mtu: link.mtu };
            self.map.set(link.index, entry, 0).map_err(DataPlaneError::map("write", name::INTERFACES))?;
        }
        Ok(())
    }

    /// Takes note of a change of an interface. A configured one that is new (again) gets its programs. Returns its name
    /// if it is a configured one and something about it has changed.
    pub fn update(
        &mut self,
        link: Link,
        attacher: &mut Attacher,
        netlink: &mut Netlink,
        journal: &mut Journal,
    ) -> Result<Option<String>, DataPlaneError> {
        let settings = |link: &Link| (link.mac, link.mtu, link.up, link.carrier, link.bridge, link.name.clone());
        let unchanged = self.links.get(&link.index).is_some_and(|old| settings(old) == settings(&link));
        let index = link.index;
        let name = link.name.clone();
        self.links.insert(index, link);
        let position = self.configured.iter().position(|configured| configured.settings.name == name);
        if let Some(position) = position.filter(|position| self.configured[*position].index != index) {
            self.configured[position].index = index;
            if let Err(error) = self.attach_anew(position, attacher, netlink, journal) {
                // Its next change is another chance.
                self.configured[position].index = 0;
                self.configured[position].reason = Some(error.to_string());
                return Err(error);
            }
        }
        if unchanged {
            return Ok(None);
        }
        self.publish()?;
        Ok(position.map(|_| name))
    }

    /// Takes note that an interface is gone. Returns its name if it was a configured one.
    pub fn remove(&mut self, index: u32) -> Result<Option<String>, DataPlaneError> {
        self.links.remove(&index);
        let Some(configured) = self.configured.iter_mut().find(|configured| configured.index == index) else {
            return Ok(None);
        };
        configured.index = 0;
        configured.attached = Attached::default();
        configured.reason = Some("the interface is gone".to_owned());
        let name = configured.settings.name.clone();
        if index < self.map.len() {
            self.map.set(index, Interface::default(), 0).map_err(DataPlaneError::map("write", name::INTERFACES))?;
        }
        Ok(Some(name))
    }

    /// Indexes of interfaces that are not among these any more.
    pub fn gone(&self, links: &[Link]) -> Vec<u32> {
        self.links.keys().copied().filter(|index| !links.iter().any(|link| link.index == *index)).collect()
    }

    /// An interface by name.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.links.values().find(|link| link.name == name).map(|link| link.index)
    }

    /// An interface by index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// Whether XDP may redirect to an interface: native XDP is attached there by us.
    pub fn is_xdp_target(&self, index: u32) -> bool {
        self.configured.iter().any(|configured| configured.index == index && index != 0 && configured.attached.xdp)
    }

    /// Indexes of the configured interfaces with these roles.
    pub fn with_role(&self, role: impl Fn(Roles) -> bool) -> impl Iterator<Item = u32> {
        self.configured
            .iter()
            .filter(move |configured| configured.index != 0 && role(configured.settings.roles))
            .map(|configured| configured.index)
    }

    /// Counter rows in use: row and name.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &str)> {
        let configured = self.configured.iter().map(|configured| (configured.row, configured.settings.name.as_str()));
        configured.chain(self.devices.iter().map(|(name, row, _)| (*row, *name)))
    }

    /// What is attached where.
    pub fn reports(&self) -> Vec<InterfaceReport> {
        self.configured
            .iter()
            .map(|configured| InterfaceReport {
                name: configured.settings.name.clone(),
                ifindex: configured.index,
                mac: self.links.get(&configured.index).map_or_else(MacAddress::default, |link| link.mac),
                roles: configured.settings.roles,
                wanted: configured.settings.fast_path,
                attached: configured.attached,
                reason: configured.reason.clone(),
            })
            .collect()
    }
}

fn flags(configured: &Configured) -> u16 {
    let mut flags = 0;
    let mut set = |wanted: bool, flag| flags |= if wanted { flag } else { 0 };
    set(configured.settings.fast_path != FastPath::Off, interface_flags::FAST);
    set(configured.attached.xdp, interface_flags::XDP_TARGET);
    set(configured.settings.roles.home, interface_flags::HOME);
    set(configured.settings.roles.access, interface_flags::ACCESS);
    flags
}
