//! What the roles count, as tables: one line per counter says its name, its RFC 2006 object and its meaning.

use std::borrow::Cow;

/// One counter with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// `snake_case` name, stable, unique within its role.
    pub name: Cow<'static, str>,
    /// The object of the Mobile IP MIB that it is, where there is one (RFC 2006 §4).
    pub rfc2006: Option<&'static str>,
    /// How often it happened since the agent was started.
    pub value: u64,
    /// What happened.
    pub help: &'static str,
}

/// Declares the counters of a role: a struct with a field for each, and `iter` over all of them.
///
/// ```text
/// counters! {
///     /// What is counted here.
///     pub struct Counters {
///         requests_sent "mnRegRequestsSent": "registration requests sent";
///         retransmissions: "requests sent again for want of an answer";
///     }
/// }
/// ```
///
/// Fields of another type follow in a block `and { … }`, under their own documentation.
macro_rules! counters {
    (
        $(#[$attribute:meta])*
        pub struct $type:ident {
            $($name:ident $($object:literal)?: $help:literal;)+
        }
        $(and { $($(#[$other_attribute:meta])* $other:ident: $other_type:ty,)+ })?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $type {
            $(#[doc = $help] pub $name: u64,)+
            $($($(#[$other_attribute])* pub $other: $other_type,)+)?
        }

        impl $type {
            /// Every counter of the table, those that are 0 included, in its order.
            pub fn iter(&self) -> impl Iterator<Item = $crate::mobility::counters::Count> {
                [$($crate::mobility::counters::Count {
                    name: std::borrow::Cow::Borrowed(stringify!($name)),
                    rfc2006: $crate::mobility::counters::object(&[$($object)?]),
                    value: self.$name,
                    help: $help,
                },)+].into_iter()
            }
        }
    };
}

pub(crate) use counters;

/// The one name in the list, if there is one.
pub(crate) fn object(names: &[&'static str]) -> Option<&'static str> {
    names.first().copied()
}
