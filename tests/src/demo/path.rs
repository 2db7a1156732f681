//! Which way the client's packets took, as counted on the wires and not as the agents say.
//!
//! Between two looks, the correspondent has sent and received so many frames, and every router's core interface as well.
//! Whatever the correspondent sent must have gone into the home agent; if the client was away, into the foreign agent
//! too. Whatever it received has gone through the home agent only if there was a reverse tunnel.

use anyhow::Result;

use crate::agent::Agent;
use crate::deployment::{Deployment, Place};
use crate::topology::CORE_INTERFACE;

/// Frames counted so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossings {
    /// Sent by the correspondent.
    down: u64,
    /// Received by the correspondent.
    up: u64,
    /// Into the home agent from the core.
    into_home_agent: u64,
    /// Into the router at the client's place from the core.
    into_router: u64,
}

impl Crossings {
    pub fn count(stage: &Deployment, place: Place) -> Result<Self> {
        let (up, down) = stage.campus.correspondent.namespace().interface_packets("eth0")?;
        let into = |router: &Agent| -> Result<u64> {
            let port = format!("{}.{CORE_INTERFACE}", router.host().name());
            Ok(stage.campus.lab.wires().interface_packets(&port)?.1)
        };
        Ok(Self { down, up, into_home_agent: into(&stage.agents.ha)?, into_router: into(stage.router(place))? })
    }

    /// The two ways, up and down, in words; `?` where the counts fit none. `⇒` is a tunnel.
    pub fn ways(&self, later: &Self, stage: &Deployment, place: Place) -> (String, String) {
        let (down, up) = (later.down - self.down, later.up - self.up);
        let into_home_agent = later.into_home_agent - self.into_home_agent;
        let into_router = later.into_router - self.into_router;
        let access_point = stage.access_point(place).host().name();
        let router = stage.router(place).host().name();
        if place == Place::Home {
            let seen = about(into_home_agent, down);
            return if seen {
                (format!("{access_point} → ha → core"), format!("core → ha → {access_point}"))
            } else {
                ("?".to_owned(), "?".to_owned())
            };
        }
        let way_up = if about(into_home_agent, down) {
            format!("{access_point} → {router} → core")
        } else if about(into_home_agent, down + up) {
            format!("{access_point} → {router} ⇒ ha → core")
        } else {
            "?".to_owned()
        };
        let way_down = if about(into_router, down) && into_home_agent * 10 > down * 8 {
            format!("core → ha ⇒ {router} → {access_point}")
        } else {
            "?".to_owned()
        };
        (way_up, way_down)
    }

    /// Packets of the client that went either way between two looks: up, down.
    pub fn client_packets(&self, later: &Self) -> (u64, u64) {
        (later.up - self.up, later.down - self.down)
    }
}

/// Within a fifth: the looks are not simultaneous, and a few other packets are about.
fn about(counted: u64, expected: u64) -> bool {
    expected > 0 && counted * 10 >= expected * 8 && counted * 10 <= expected * 12
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn nothing_expected_fits_nothing_and_a_double_count_does_not_fit_a_single_one() {
        assert!(!about(0, 0));
        assert!(about(95, 100) && about(105, 100));
        assert!(!about(200, 100) && !about(50, 100));
    }
}
