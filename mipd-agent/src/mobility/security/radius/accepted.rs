//! What an Access-Accept grants.

use super::{Config, Counters};
use crate::{
    mobility::security::SecurityAssociation,
    wire::radius::{AssociationText, VerifiedResponse},
};

/// More associations of one client than this are ignored.
const MAXIMUM_ASSOCIATIONS: usize = 8;

/// The associations in a response, in the order of their numbers: the first one is the one to send with. What cannot be
/// used is counted.
pub(super) fn associations(
    config: &Config,
    response: &VerifiedResponse<'_>,
    counters: &mut Counters,
) -> Vec<SecurityAssociation> {
    let mut texts: Vec<AssociationText> = Vec::new();
    for pair in response.cisco_av_pairs() {
        match pair.map(AssociationText::parse) {
            Ok(None) => {}
            Ok(Some(Ok(text)))
                if texts.len() < MAXIMUM_ASSOCIATIONS && texts.iter().all(|known| known.spi != text.spi) =>
            {
                texts.push(text);
            }
            Ok(Some(_)) | Err(_) => counters.pairs_ignored += 1,
        }
    }
    texts.sort_by_key(|text| text.index);
    counters.associations_downloaded += texts.len() as u64;
    texts
        .into_iter()
        .map(|text| SecurityAssociation {
            replay_window: text.replay_window,
            ..SecurityAssociation::new(text.spi, text.algorithm.unwrap_or(config.default_algorithm), text.key)
        })
        .collect()
}
