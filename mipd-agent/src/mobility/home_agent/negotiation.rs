//! What the two agents agree on about the tunnel: encapsulation, GRE keys, the way back (RFC 5944 §3.8.2.2, RFC 6245,
//! RFC 3024 §3.4).

use super::{
    config::Config,
    petition::Petition,
    revocation,
    signers::Layout,
    udp_tunnel::{self, UdpTerms},
};
use crate::{
    mobility::{
        reverse_tunnel,
        tunnel::{Delivery, Encapsulation},
    },
    wire::{
        extension::kind, gre_key::GreKey, registration::RequestFlags, revocation::RevocationSupport, types::ReplyCode,
    },
};

/// What was agreed on, so far as it follows from the request alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Terms {
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// The key that the foreign agent asks for; 0 = ours holds in both directions.
    pub gre_key: Option<GreKey>,
    /// The tunnel over UDP.
    pub udp: UdpTerms,
    /// The way back.
    pub reverse: Option<Delivery>,
    /// The foreign agent's offer of revocation, if we take it.
    pub revocation: Option<RevocationSupport>,
}

/// The terms, or the code of the first demand that cannot be met. Reverse tunnelling comes last (RFC 3024 §3.4).
pub(super) fn negotiate(config: &Config, petition: &Petition<'_>, layout: Layout) -> Result<Terms, ReplyCode> {
    let flags = petition.request.flags;
    let gre_key = gre_key(petition, layout)?;
    let udp = udp_tunnel::negotiate(config, petition, layout)?;
    let encapsulation = match udp.encapsulation {
        Some(encapsulation) => encapsulation,
        None => encapsulation(config, flags, gre_key).ok_or(ReplyCode::HA_ENCAPSULATION)?,
    };
    if let Some(refusal) = config.reverse_tunnel.refuses(flags.reverse_tunnel) {
        return Err(match refusal {
            reverse_tunnel::Refusal::Mandatory => ReplyCode::HA_REVERSE_TUNNEL_MANDATORY,
            reverse_tunnel::Refusal::Unavailable => ReplyCode::HA_REVERSE_TUNNEL_UNAVAILABLE,
        });
    }
    let reverse = flags.reverse_tunnel.then_some(Delivery::Direct);
    let revocation = revocation::offer(petition, layout).filter(|_| config.revocation);
    Ok(Terms { encapsulation, gre_key, udp, reverse, revocation })
}

/// The key of a GRE session, which a foreign agent puts after the mobile node's authentication and before its own
/// (RFC 6245 §4).
fn gre_key(petition: &Petition<'_>, layout: Layout) -> Result<Option<GreKey>, ReplyCode> {
    let misplaced = |offset| !petition.request.flags.co_located && !layout.is_from_foreign_agent(offset);
    match petition.extensions.of_kind(kind::GRE_KEY).next() {
        Some(extension) if misplaced(extension.offset) => Err(ReplyCode::HA_MALFORMED),
        _ => Ok(GreKey::find(&petition.extensions)),
    }
}

/// The encapsulation that the flags ask for. A GRE key asks for GRE even without G (RFC 6245 §4). No RFC says what M and G
/// together mean: we take them as "either", and prefer GRE.
fn encapsulation(config: &Config, flags: RequestFlags, gre_key: Option<GreKey>) -> Option<Encapsulation> {
    let gre = flags.gre || gre_key.is_some();
    let minimal = flags.minimal_encapsulation && gre_key.is_none();
    let wanted =
        [(gre, Encapsulation::Gre), (minimal, Encapsulation::Minimal), (!gre && !minimal, Encapsulation::IpInIp)];
    wanted
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, encapsulation)| encapsulation)
        .find(|encapsulation| config.encapsulations.contains(*encapsulation))
}

/// Where the GRE keys that we want to be sent come from: one after the other, so that no two sessions share one. 0 is left
/// out, since in a request it means something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct GreKeySequence(u32);

impl GreKeySequence {
    /// Starts anywhere; so does the next process, and a key of this one is hardly ever given away again there.
    pub fn new(seed: u64) -> Self {
        Self((seed ^ seed >> 32) as u32)
    }

    /// A key.
    pub fn take(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::GreKeySequence;

    #[test]
    fn no_key_is_zero_and_none_comes_twice_in_a_row() {
        let mut sequence = GreKeySequence::new(u64::from(u32::MAX - 1));
        assert_eq!([sequence.take(), sequence.take(), sequence.take()], [u32::MAX, 1, 2]);
    }
}
