//! The access point's interfaces. Radios and bridge ports come and go: hostapd is restarted, a network name is added, a driver is
//! loaded anew. What is behind a radio that is gone has left without a word.

use std::{path::PathBuf, sync::Arc};

use mipd_common::mac::MacAddress;

use super::{Context, DaemonError, access_point::AccessPoint, inputs::Inputs, sources::Task};
use crate::{
    dataplane::DataPlane,
    io::frames::{FrameSocket, Want},
    mobility::{link::InterfaceIndex, subnet_map::SubnetMap, time::Now},
};

/// An interface on which frames are sent.
#[derive(Debug)]
pub struct Port {
    /// Its index.
    pub interface: InterfaceIndex,
    /// Its name.
    pub name: String,
    /// The packet socket.
    pub socket: Arc<FrameSocket>,
    /// The interface's own address on the link.
    pub mac: MacAddress,
    /// Who tells of stations on it, besides the kernel programs.
    pub sources: Vec<Task>,
}

/// What is configured of a radio, whether it is there or not.
#[derive(Clone, Debug)]
pub struct RadioSettings {
    /// Its name.
    pub name: String,
    /// The directory of hostapd's control sockets, and where hostapd answers to.
    pub hostapd: Option<(PathBuf, PathBuf)>,
    /// Whether the kernel's wireless subsystem is listened to.
    pub nl80211: bool,
    /// The home agents of its clients alone.
    pub subnet_map: Option<SubnetMap>,
}

impl Port {
    /// Opens the interface's socket.
    pub fn open(
        name: &str,
        (interface, mac): (InterfaceIndex, MacAddress),
        want: Want,
        inputs: &Inputs,
    ) -> Result<Self, DaemonError> {
        let socket = inputs
            .frame_socket(interface, want)
            .map_err(|source| DaemonError::PacketSocket { interface: name.to_owned(), source })?;
        Ok(Self { interface, name: name.to_owned(), socket, mac, sources: Vec::new() })
    }
}

impl AccessPoint {
    /// Serves the radios that are there, and says which are not.
    pub fn meet_radios(&mut self, dataplane: &DataPlane, inputs: &Inputs) -> Result<(), DaemonError> {
        for settings in self.radio_settings.clone() {
            if let Some((index, mac)) = dataplane.interface(&settings.name) {
                self.serve(&settings, (InterfaceIndex(index), mac), inputs)?;
            } else {
                tracing::warn!(radio = settings.name, "the radio is not there yet; it is served when it is");
            }
        }
        Ok(())
    }

    /// Something about one of our interfaces has changed: it may be gone, or be another one of that name.
    pub fn follow_interface(&mut self, now: Now, name: &str, inputs: &Inputs, context: &mut Context<'_>) {
        let found = context.dataplane.interface(name).map(|(index, mac)| (InterfaceIndex(index), mac));
        if self.uplink.name == name {
            self.follow_uplink(name, found, inputs);
            self.handle_uplink_change(now, context);
        }
        let Some(settings) = self.radio_settings.iter().find(|settings| settings.name == name).cloned() else { return };
        let known = self.radios.values().find(|radio| radio.name == name).map(|radio| radio.interface);
        if known == found.map(|(interface, _)| interface) {
            return;
        }
        if let Some(interface) = known {
            tracing::info!(radio = name, "the radio is gone");
            self.stop_serving(now, interface, context);
        }
        if let Some(found) = found {
            tracing::info!(radio = name, "the radio is there");
            if let Err(error) = self.serve(&settings, found, inputs) {
                tracing::error!(radio = name, %error, "the radio cannot be served");
            }
        }
    }

    fn follow_uplink(&mut self, name: &str, found: Option<(InterfaceIndex, MacAddress)>, inputs: &Inputs) {
        let Some(found) = found.filter(|(interface, _)| *interface != self.uplink.interface) else { return };
        match Port::open(name, found, Want::Advertisements, inputs) {
            Ok(port) => {
                self.proxy.uplink_replaced(port.interface);
                self.uplink = port;
            }
            Err(error) => tracing::error!(uplink = name, %error, "the uplink cannot be used"),
        }
    }

    fn serve(
        &mut self,
        settings: &RadioSettings,
        found: (InterfaceIndex, MacAddress),
        inputs: &Inputs,
    ) -> Result<(), DaemonError> {
        let mut radio = Port::open(&settings.name, found, Want::Nothing, inputs)?;
        if let Some((directory, own)) = &settings.hostapd {
            radio.sources.push(inputs.hostapd(radio.interface, &radio.name, directory, own.clone()));
        }
        if settings.nl80211 {
            radio.sources.push(inputs.nl80211(radio.interface));
        }
        self.proxy.radio_appeared(radio.interface, settings.subnet_map.clone());
        self.radios.insert(radio.interface, radio);
        Ok(())
    }

    fn stop_serving(&mut self, now: Now, interface: InterfaceIndex, context: &mut Context<'_>) {
        self.sources.retain(|(radio, _), _| *radio != interface);
        self.stations.forget_radio(interface);
        let mut actions = Vec::new();
        self.proxy.radio_gone(now, interface, &mut actions);
        self.apply(now, actions, context);
        self.radios.remove(&interface);
    }
}
