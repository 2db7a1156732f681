//! How large a segment TCP connections through tunnels may announce, so that their packets fit ("MSS clamping").
//!
//! What goes into a tunnel, or comes out of it, is limited by its entry in the tunnel table. A visitor without a reverse
//! tunnel has none here: what it announces is limited by what the tunnel that leads here is likely to take.

use std::net::Ipv4Addr;

use super::{
    DataPlane,
    error::DataPlaneError,
    settings::Settings,
    tunnels::{TunnelId, TunnelKey},
    visitors::VisitorRoute,
};

/// From this MTU on nobody has to be told.
const ETHERNET_MTU: u16 = 1_500;
/// IPv4 and TCP header without options (RFC 9293 §3.7.1).
const HEADERS: u16 = 40;
/// Nobody can be told to use less: some hosts refuse that (Linux: `TCP_MIN_SND_MSS`).
const SMALLEST: u16 = 48;

/// Whose tunnels limit segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Clamping {
    /// Those of the home agent.
    home: bool,
    /// Those from the care-of address. One address may serve both agents; then it is both's.
    visit: Option<(Ipv4Addr, bool)>,
}

impl Clamping {
    /// As the settings say.
    pub fn new(settings: &Settings) -> Self {
        let home = settings.home.as_ref();
        Self {
            home: home.is_some_and(|home| home.mss_clamp),
            visit: settings.visit.as_ref().map(|visit| {
                let shared = home.is_some_and(|home| home.mss_clamp && home.address == visit.care_of_address);
                (visit.care_of_address, visit.mss_clamp || shared)
            }),
        }
    }

    /// The limit in a tunnel that takes packets of `inner_mtu` bytes; 0 = none.
    pub fn limit(self, key: &TunnelKey, inner_mtu: u16) -> u16 {
        let clamped = match (key, self.visit) {
            (TunnelKey::Between { local, .. }, Some((care_of_address, on))) if *local == care_of_address => on,
            (TunnelKey::Between { .. } | TunnelKey::Copies { .. }, _) => self.home,
            (TunnelKey::Direct { .. }, _) => false,
        };
        if clamped { limit(inner_mtu) } else { 0 }
    }
}

fn limit(inner_mtu: u16) -> u16 {
    if inner_mtu < ETHERNET_MTU { inner_mtu.saturating_sub(HEADERS).max(SMALLEST) } else { 0 }
}

/// The limits of a visitor's connections; 0 = none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct VisitorLimits {
    /// What it may be told, since it sends that into its reverse tunnel.
    pub told: u16,
    /// What it may announce.
    pub announced: u16,
}

impl DataPlane {
    /// The limits of a visitor with this reverse tunnel.
    pub(super) fn visitor_limits(
        &mut self,
        route: &VisitorRoute,
        tunnel: Option<TunnelId>,
    ) -> Result<VisitorLimits, DataPlaneError> {
        let Some(visit) = self.settings.visit.as_ref().filter(|visit| visit.mss_clamp) else {
            return Ok(VisitorLimits::default());
        };
        if let Some(state) = tunnel.and_then(|tunnel| self.tunnels.get(tunnel)) {
            let limit = state.entry.segment_limit;
            return Ok(VisitorLimits { told: limit, announced: limit });
        }
        let care_of_address = visit.care_of_address;
        let Some(hop) = self.netlink.next_hop(route.home_agent, care_of_address)? else {
            return Ok(VisitorLimits::default());
        };
        let device = self.interfaces.link(hop.device).map_or(u32::from(ETHERNET_MTU), |link| link.mtu);
        let mtu = device.min(hop.mtu.unwrap_or(u32::MAX)).min(u16::MAX.into()) as u16;
        let overhead = route.mode.overhead();
        Ok(VisitorLimits { told: 0, announced: limit(mtu.saturating_sub(overhead)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::mode::TunnelMode;

    #[test]
    fn segments_are_limited_to_what_fits_beside_the_headers_where_tunnels_are_narrower_than_ethernet() {
        for (mtu, expected) in
            [(68, 48), (87, 48), (89, 49), (1380, 1340), (1480, 1440), (1499, 1459), (1500, 0), (8980, 0)]
        {
            assert_eq!(limit(mtu), expected, "{mtu}");
        }
    }

    #[test]
    fn each_role_limits_its_own_tunnels() {
        let (home_agent, care_of_address) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1));
        let between =
            |local| TunnelKey::Between { local, remote: Ipv4Addr::new(10, 9, 0, 1), mode: TunnelMode::default() };
        let home = Clamping { home: true, visit: Some((care_of_address, false)) };
        assert_eq!((home.limit(&between(home_agent), 1480), home.limit(&between(care_of_address), 1480)), (1440, 0));
        let (copies, direct) = (
            TunnelKey::Copies { home_address: Ipv4Addr::LOCALHOST },
            TunnelKey::Direct { home_agent, home_address: Ipv4Addr::LOCALHOST },
        );
        assert_eq!((home.limit(&copies, 1480), home.limit(&direct, 1400)), (1440, 0), "the latter is no tunnel");
        let visit = Clamping { home: false, visit: Some((care_of_address, true)) };
        assert_eq!((visit.limit(&between(home_agent), 1480), visit.limit(&between(care_of_address), 1480)), (0, 1440));
        assert_eq!(Clamping::default().limit(&between(home_agent), 1480), 0);
    }
}
