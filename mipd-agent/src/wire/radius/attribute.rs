//! The attribute list (RFC 2865 §5): type, length including these two bytes, value.

/// Attribute types.
pub mod kind {
    /// User-Name (§5.1).
    pub const USER_NAME: u8 = 1;
    /// User-Password, hidden (§5.2).
    pub const USER_PASSWORD: u8 = 2;
    /// Vendor-Specific (§5.26).
    pub const VENDOR_SPECIFIC: u8 = 26;
    /// Session-Timeout, seconds (§5.27).
    pub const SESSION_TIMEOUT: u8 = 27;
    /// NAS-Identifier (§5.32).
    pub const NAS_IDENTIFIER: u8 = 32;
    /// Message-Authenticator (RFC 2869 §5.14).
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
}

/// The longest value.
pub const LONGEST_VALUE: usize = 253;

/// Cisco's number as a vendor.
const CISCO: [u8; 4] = 9u32.to_be_bytes();
/// Cisco's sub-type for texts `protocol:attribute=value`.
const CISCO_AV_PAIR: u8 = 1;

/// An attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type.
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
    /// Where the value starts in the list.
    pub offset: usize,
}

/// A list whose lengths do not add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an attribute is shorter than its header or runs over the end")]
pub struct MalformedAttribute;

/// The attributes of `list`, in order. Ends with the first error.
pub fn attributes(list: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, MalformedAttribute>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = list.get(offset..).filter(|rest| !rest.is_empty())?;
        let split = |rest: &'_ [u8]| Some((*rest.first()?, usize::from(*rest.get(1)?)));
        let attribute = split(rest).and_then(|(kind, length)| {
            let value = rest.get(2..length)?;
            Some(Attribute { kind, value, offset: offset + 2 })
        });
        offset = attribute.map_or(list.len(), |attribute| attribute.offset + attribute.value.len());
        Some(attribute.ok_or(MalformedAttribute))
    })
}

/// The AV pairs in a Vendor-Specific value: none if it is another vendor's (RFC 2865 §5.26 allows several in one).
pub fn cisco_av_pairs(value: &[u8]) -> impl Iterator<Item = Result<&[u8], MalformedAttribute>> {
    attributes(value.strip_prefix(&CISCO).unwrap_or_default()).filter_map(|sub| match sub {
        Ok(sub) => (sub.kind == CISCO_AV_PAIR).then_some(Ok(sub.value)),
        Err(malformed) => Some(Err(malformed)),
    })
}

/// Appends an attribute. `value` must not be longer than [`LONGEST_VALUE`].
pub(super) fn append(packet: &mut Vec<u8>, kind: u8, value: &[u8]) {
    debug_assert!(value.len() <= LONGEST_VALUE);
    packet.extend([kind, 2 + value.len() as u8]);
    packet.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(list: &[u8]) -> Result<Vec<(u8, &[u8])>, MalformedAttribute> {
        attributes(list).map(|attribute| attribute.map(|Attribute { kind, value, .. }| (kind, value))).collect()
    }

    #[test]
    fn lengths_that_do_not_add_up_are_noticed() {
        assert_eq!(parse(&[]).unwrap(), []);
        assert_eq!(parse(&[1, 2, 2, 3, 9]).unwrap(), [(1, [].as_slice()), (2, [9].as_slice())]);
        for list in [[1].as_slice(), &[1, 0], &[1, 1], &[1, 3], &[1, 2, 7], &[1, 4, 0]] {
            assert!(parse(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn an_error_ends_the_list() {
        assert_eq!(attributes(&[1, 0, 1, 2, 1, 2]).count(), 1);
    }

    #[test]
    fn several_av_pairs_of_one_attribute_are_found_and_other_vendors_are_not() {
        let value = [[0, 0, 0, 9].as_slice(), &[1, 3, b'a'], &[2, 3, b'b'], &[1, 4, b'c', b'd']].concat();
        let pairs: Vec<_> = cisco_av_pairs(&value).map(Result::unwrap).collect();
        assert_eq!(pairs, [b"a".as_slice(), b"cd"]);
        assert_eq!(cisco_av_pairs(&[0, 0, 0, 10, 1, 3, b'a']).count(), 0);
        assert_eq!(cisco_av_pairs(&[0, 0]).count(), 0);
        assert_eq!(cisco_av_pairs(&[0, 0, 0, 9, 1, 9, b'a']).collect::<Vec<_>>(), [Err(MalformedAttribute)]);
    }

    proptest! {
        #[test]
        fn what_is_appended_is_found_again(list in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..=LONGEST_VALUE)), 0..6)) {
            let mut bytes = Vec::new();
            for (kind, value) in &list {
                append(&mut bytes, *kind, value);
            }
            let found = parse(&bytes).unwrap();
            prop_assert_eq!(found, list.iter().map(|(kind, value)| (*kind, value.as_slice())).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for attribute in attributes(&bytes).flatten() {
                prop_assert_eq!(&bytes[attribute.offset..][..attribute.value.len()], attribute.value);
            }
            prop_assert!(cisco_av_pairs(&bytes).count() <= bytes.len());
        }
    }
}
