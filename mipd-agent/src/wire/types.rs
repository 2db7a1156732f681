//! The values Mobile IPv4 messages are made of.
//!
//! Each is a type of its own, so that a home address is never taken for a care-of address, nor a lifetime for a port.

use std::{fmt, net::Ipv4Addr};

macro_rules! address {
    ($(#[$doc:meta])+ $name:ident) => {
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Ipv4Addr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

address! {
    /// The client's permanent address (RFC 5944 §1.6, "home address").
    HomeAddress
}
address! {
    /// The address of the home agent, as in the Home Agent field.
    HomeAgentAddress
}
address! {
    /// The tunnel's exit: the foreign agent's address that the binding points to. In a deregistration of everything it
    /// equals the home address.
    CareOfAddress
}

/// A registration lifetime in seconds. 0 deregisters, 0xffff is infinity (RFC 5944 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lifetime(pub u16);

impl Lifetime {
    /// Ends a registration.
    pub const DEREGISTER: Self = Self(0);
    /// Never expires.
    pub const INFINITE: Self = Self(u16::MAX);

    /// How long it lasts; `None` for infinity.
    pub fn duration(self) -> Option<std::time::Duration> {
        (self != Self::INFINITE).then(|| std::time::Duration::from_secs(self.0.into()))
    }
}

/// A security parameter index. Values up to 255 are reserved (RFC 5944 §5.1) and cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spi(u32);

impl Spi {
    /// `None` for the reserved values 0..=255.
    pub fn new(value: u32) -> Option<Self> {
        (value > 255).then_some(Self(value))
    }

    /// The number on the wire.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The 64-bit Identification: with timestamps, NTP seconds ‖ fraction (RFC 5944 §5.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identification(pub u64);

impl Identification {
    /// The half that a reply copies from its request.
    pub fn low(self) -> u32 {
        self.0 as u32
    }

    /// With timestamps: seconds since 1900, modulo 2^32.
    pub fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Signed distance `self - earlier` in units of 2^-32 s, modulo 2^64, so that it survives the wrap of 2036.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// The code of a Registration Reply (RFC 5944 §3.4, RFC 3024, RFC 4433 and others).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(pub u8);

macro_rules! reply_codes {
    ($($name:ident = $value:literal, $text:literal;)+) => {
        impl ReplyCode {
            $(#[doc = $text] pub const $name: Self = Self($value);)+

            /// What the code says, in the RFCs' words.
            pub fn meaning(self) -> &'static str {
                match self.0 { $($value => $text,)+ _ => "unknown code" }
            }
        }
    };
}

reply_codes! {
    ACCEPTED = 0, "registration accepted";
    ACCEPTED_NO_SIMULTANEOUS = 1, "registration accepted, but simultaneous mobility bindings unsupported";
    FA_UNSPECIFIED = 64, "foreign agent: reason unspecified";
    FA_PROHIBITED = 65, "foreign agent: administratively prohibited";
    FA_RESOURCES = 66, "foreign agent: insufficient resources";
    FA_MOBILE_AUTHENTICATION = 67, "foreign agent: mobile node failed authentication";
    FA_HOME_AUTHENTICATION = 68, "foreign agent: home agent failed authentication";
    FA_LIFETIME = 69, "foreign agent: requested lifetime too long";
    FA_MALFORMED_REQUEST = 70, "foreign agent: poorly formed request";
    FA_MALFORMED_REPLY = 71, "foreign agent: poorly formed reply";
    FA_ENCAPSULATION = 72, "foreign agent: requested encapsulation unavailable";
    FA_REVERSE_TUNNEL_UNAVAILABLE = 74, "foreign agent: requested reverse tunnel unavailable";
    FA_REVERSE_TUNNEL_MANDATORY = 75, "foreign agent: reverse tunnel is mandatory and T bit not set";
    FA_TOO_DISTANT = 76, "foreign agent: mobile node too distant";
    FA_CARE_OF_ADDRESS = 77, "foreign agent: invalid care-of address";
    FA_TIMEOUT = 78, "foreign agent: registration timeout";
    FA_DELIVERY_STYLE = 79, "foreign agent: delivery style not supported";
    FA_HOME_NETWORK_UNREACHABLE = 80, "foreign agent: home network unreachable";
    FA_HOME_AGENT_HOST_UNREACHABLE = 81, "foreign agent: home agent host unreachable";
    FA_HOME_AGENT_PORT_UNREACHABLE = 82, "foreign agent: home agent port unreachable";
    FA_HOME_AGENT_UNREACHABLE = 88, "foreign agent: home agent unreachable";
    FA_HOME_AGENT_REQUIRED = 90, "foreign agent: non-zero home agent address required";
    FA_HOME_ADDRESS_REQUIRED = 96, "foreign agent: non-zero home address required";
    FA_MISSING_NAI = 97, "foreign agent: missing NAI";
    FA_MISSING_HOME_AGENT = 98, "foreign agent: missing home agent";
    FA_MISSING_HOME_ADDRESS = 99, "foreign agent: missing home address";
    FA_VENDOR_FROM_MOBILE = 100, "foreign agent: critical vendor extension of the mobile node not understood";
    FA_VENDOR_FROM_HOME = 101, "foreign agent: critical vendor extension of the home agent not understood";
    FA_UNKNOWN_CHALLENGE = 104, "foreign agent: unknown challenge";
    FA_MISSING_CHALLENGE = 105, "foreign agent: missing challenge";
    FA_STALE_CHALLENGE = 106, "foreign agent: stale challenge";
    FA_MISSING_MOBILE_KEY = 107, "foreign agent: missing mobile-foreign key";
    FA_AAA_AUTHENTICATION = 108, "foreign agent: mobile node failed AAA authentication";
    FA_CHALLENGE_FROM_HOME = 109, "foreign agent: home agent sent a wrong challenge";
    HA_UNSPECIFIED = 128, "home agent: reason unspecified";
    HA_PROHIBITED = 129, "home agent: administratively prohibited";
    HA_RESOURCES = 130, "home agent: insufficient resources";
    HA_MOBILE_AUTHENTICATION = 131, "home agent: mobile node failed authentication";
    HA_FOREIGN_AUTHENTICATION = 132, "home agent: foreign agent failed authentication";
    HA_IDENTIFICATION = 133, "home agent: registration Identification mismatch";
    HA_MALFORMED = 134, "home agent: poorly formed request";
    HA_TOO_MANY_BINDINGS = 135, "home agent: too many simultaneous mobility bindings";
    HA_UNKNOWN_AGENT = 136, "home agent: unknown home agent address";
    HA_REVERSE_TUNNEL_UNAVAILABLE = 137, "home agent: requested reverse tunnel unavailable";
    HA_REVERSE_TUNNEL_MANDATORY = 138, "home agent: reverse tunnel is mandatory and T bit not set";
    HA_ENCAPSULATION = 139, "home agent: requested encapsulation unavailable";
    HA_VENDOR_FROM_MOBILE = 140, "home agent: critical vendor extension of the mobile node not understood";
    HA_VENDOR_FROM_FOREIGN = 141, "home agent: critical vendor extension of the foreign agent not understood";
    HA_UDP_ENCAPSULATION = 142, "home agent: requested UDP tunnel encapsulation unavailable";
    HA_REDIRECT = 143, "home agent: register with the redirected home agent";
    HA_AAA_AUTHENTICATION = 144, "home agent: mobile node failed AAA authentication";
    HA_PROXY_UNSUPPORTED = 149, "home agent: proxy registration unsupported";
    HA_PROXY_PROHIBITED = 150, "home agent: registration from this proxy disallowed";
    FA_INVALID_HOME_AGENT = 194, "foreign agent: invalid home agent address";
}

impl ReplyCode {
    /// Codes 0 and 1: the registration is in force (or ended, with lifetime 0).
    pub fn is_accepted(self) -> bool {
        self.0 <= 1
    }

    /// Codes that only a home agent gives; a reply with one must carry a Mobile-Home authentication extension.
    pub fn is_from_home_agent(self) -> bool {
        self.is_accepted() || (128..=192).contains(&self.0)
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.meaning())
    }
}

impl fmt::Debug for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
