//! What a request says, in the order that RFC 5944 §3.6.1.3 prescribes: fixed part; extensions for the home agent;
//! mobile-home authentication; challenge and its authentication (RFC 4721 §10); extensions for the foreign agent;
//! mobile-foreign authentication.

use super::{
    client::{Client, Plan},
    registration::Registrar,
};
use crate::{
    mobility::{
        security::SecurityAssociation,
        tunnel::{Delivery, Encapsulation},
    },
    wire::{
        authentication,
        challenge::append_challenge,
        extension::{append, kind},
        proxy_mode,
        registration::{RegistrationRequest, RequestFlags},
        types::{Identification, Lifetime},
    },
};

/// A foreign agent wants a challenge echoed, and none is known that was not used before.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoChallenge;

impl Registrar {
    /// The challenge to echo: `None` if the agent does not ask for it, or if we have nothing to authenticate it with.
    pub fn challenge(&self, client: &mut Client, plan: &Plan, repeats: bool) -> Result<Option<Box<[u8]>>, NoChallenge> {
        let agent = plan.agent.address;
        let is_asked_for = client.challenge.is_demanded_by(agent)
            || self.agents.foreign(plan.agent).is_some_and(|agent| agent.challenge.is_some());
        if !is_asked_for || !client.is_visitor() || !self.can_answer(client, plan) {
            return Ok(None);
        }
        client.challenge.take(agent, repeats, &self.challenges).map(Some).ok_or(NoChallenge)
    }

    /// RFC 4721 §3.1: without mobile-foreign or mobile-AAA authentication after it, the agent drops a challenge silently.
    pub fn can_answer(&self, client: &Client, plan: &Plan) -> bool {
        self.config.mobile_foreign.covers(plan.agent.address) || self.config.mobile_aaa.covers(client.home_address)
    }

    /// The whole registration message.
    pub fn message(
        &self,
        client: &Client,
        plan: &Plan,
        identification: Identification,
        association: &SecurityAssociation,
        challenge: Option<&[u8]>,
    ) -> Vec<u8> {
        let config = &self.config;
        let registers = plan.lifetime != Lifetime::DEREGISTER;
        let request = RegistrationRequest {
            flags: RequestFlags {
                broadcast: config.broadcasts && registers,
                minimal_encapsulation: plan.mode.encapsulation == Encapsulation::Minimal,
                gre: plan.mode.encapsulation == Encapsulation::Gre,
                reverse_tunnel: plan.mode.is_reverse(),
                // Simultaneous bindings would send every packet to where the client has been, too, and D is for nodes that
                // end tunnels themselves (RFC 5563 §4).
                ..RequestFlags::default()
            },
            lifetime: plan.lifetime,
            home_address: client.home_address,
            home_agent: plan.home_agent,
            care_of_address: plan.care_of_address,
            identification,
        };
        let mut message = Vec::with_capacity(128);
        request.emit(&mut message);
        if let Some(nai) = &client.nai {
            nai.append(&mut message);
        }
        if let Some(technology) = config.proxy_extensions {
            proxy_mode::append_device(&mut message, client.mac);
            technology.append(&mut message);
        }
        association.sign(&mut message, kind::MOBILE_HOME_AUTHENTICATION);

        if !client.is_visitor() {
            return message;
        }
        let mobile_foreign = config.mobile_foreign.primary(plan.agent.address);
        if let Some(challenge) = challenge {
            append_challenge(&mut message, challenge);
            let mobile_aaa = config.mobile_aaa.primary(client.home_address).filter(|_| mobile_foreign.is_none());
            if let Some(SecurityAssociation { spi, algorithm, key, .. }) = mobile_aaa {
                authentication::append_generalized(&mut message, authentication::MOBILE_AAA, *spi, *algorithm, key);
            }
        }
        // After everything that the foreign agent must leave untouched, since it takes this one out (RFC 3024 §3.3).
        if registers && plan.mode.reverse == Some(Delivery::Encapsulating) {
            append(&mut message, kind::ENCAPSULATING_DELIVERY, &[]);
        }
        if let Some(association) = mobile_foreign {
            association.sign(&mut message, kind::MOBILE_FOREIGN_AUTHENTICATION);
        }
        message
    }
}
