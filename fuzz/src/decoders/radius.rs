//! What a RADIUS server, or somebody in its stead, sends.

use mipd_agent::wire::{
    authentication::Key,
    radius::{
        AssociationText, RequestAuthenticator, Response,
        attribute::{attributes, cisco_av_pairs},
    },
};

/// A datagram, the attributes in it, and the text in those; the latter two also alone, since hardly any datagram is
/// signed well by chance.
pub fn check(data: &[u8]) {
    if let Ok(response) = Response::parse(data) {
        let secret = Key::from_bytes(vec![7; 16]).expect("a key");
        for demanded in [false, true] {
            if let Ok(verified) = response.verify(&secret, RequestAuthenticator([9; 16]), demanded) {
                let _ = verified.session_timeout();
                verified.cisco_av_pairs().flatten().for_each(|pair| drop(AssociationText::parse(pair)));
            }
        }
    }
    for attribute in attributes(data).flatten() {
        assert!(attribute.offset + attribute.value.len() <= data.len());
        cisco_av_pairs(attribute.value).flatten().for_each(|pair| drop(AssociationText::parse(pair)));
    }
    if let Some(Ok(text)) = AssociationText::parse(data) {
        assert!(text.key.len() == 16 && text.spi.get() > 255);
    }
}

/// An Accept, its attributes and its text.
pub fn seeds() -> Vec<Vec<u8>> {
    let text =
        b"mobileip:spi#0=spi 100 key hex 000102030405060708090a0b0c0d0e0f replay timestamp within 7 algorithm hmac-md5";
    let mut pair = vec![26, 8 + text.len() as u8, 0, 0, 0, 9, 1, 2 + text.len() as u8];
    pair.extend(text);
    let mut list = vec![80, 18];
    list.extend([0; 16]);
    list.extend(&pair);
    list.extend([27, 6, 0, 0, 14, 16]);
    let mut accept = vec![2, 1, 0, 20 + list.len() as u8];
    accept.extend([0; 16]);
    accept.extend(&list);
    vec![accept, list, text.to_vec()]
}
