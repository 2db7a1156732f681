//! What the client is told by the operator.

use std::time::Duration;

use crate::wire::{
    authentication::{Algorithm, Key},
    radius::{NasIdentifier, UserPassword},
};

/// Settings of the client.
#[derive(Clone, Debug)]
pub struct Config {
    /// In the order of preference: 1 to [`MAXIMUM_SERVERS`](Self::MAXIMUM_SERVERS).
    pub servers: Vec<Server>,
    /// Goes with each home address.
    pub user_password: UserPassword,
    /// Who asks.
    pub nas_identifier: NasIdentifier,
    /// Refuse an Accept without Message-Authenticator.
    pub require_message_authenticator: bool,
    /// The algorithm of associations that name none.
    pub default_algorithm: Algorithm,
    /// First wait for an answer; each further one is twice as long.
    pub timeout: Duration,
    /// How often a server is asked again before the next one is.
    pub retries: u32,
    /// How long a server that did not answer is passed over.
    pub dead_time: Duration,
    /// How long associations are kept, unless the server says so (Session-Timeout).
    pub cache_lifetime: Duration,
    /// How long it is remembered that a client has none.
    pub negative_cache_lifetime: Duration,
    /// How many clients' associations are kept, and of how many clients it is remembered that they have none.
    pub maximum_cached: usize,
    /// Requests without an answer at the same time; at most 256, the number of identifiers.
    pub maximum_outstanding: usize,
    /// Clients that wait for their turn to be asked about.
    pub maximum_waiting: usize,
    /// New requests per second.
    pub requests_per_second: u32,
}

/// A server. Where it is, is the daemon's business.
#[derive(Clone, Debug)]
pub struct Server {
    /// What it shares with us.
    pub secret: Key,
}

impl Config {
    /// How many servers there may be.
    pub const MAXIMUM_SERVERS: usize = 4;
    /// What the devices mean whose associations are written this way.
    pub const DEFAULT_ALGORITHM: Algorithm = Algorithm::Md5PrefixSuffix;
    /// RFC 2865 demands none; a client's proxy asks again after a second, too.
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    /// With [`TIMEOUT`](Self::TIMEOUT), a server is given up after three seconds.
    pub const RETRIES: u32 = 1;
    /// Then it is left alone for so long.
    pub const DEAD_TIME: Duration = Duration::from_mins(1);
    /// How long associations are kept unless configured.
    pub const CACHE_LIFETIME: Duration = Duration::from_hours(1);
    /// How long refusals are kept unless configured.
    pub const NEGATIVE_CACHE_LIFETIME: Duration = Duration::from_mins(1);
    /// How many clients are remembered unless configured.
    pub const MAXIMUM_CACHED: usize = 65_536;
    /// Half the identifiers of one server.
    pub const MAXIMUM_OUTSTANDING: usize = 128;
    /// Further clients wait.
    pub const MAXIMUM_WAITING: usize = 1024;
    /// How fast servers are asked unless configured.
    pub const REQUESTS_PER_SECOND: u32 = 100;

    /// The usual settings for these servers.
    pub fn new(servers: Vec<Server>, user_password: UserPassword, nas_identifier: NasIdentifier) -> Self {
        Self {
            servers,
            user_password,
            nas_identifier,
            require_message_authenticator: true,
            default_algorithm: Self::DEFAULT_ALGORITHM,
            timeout: Self::TIMEOUT,
            retries: Self::RETRIES,
            dead_time: Self::DEAD_TIME,
            cache_lifetime: Self::CACHE_LIFETIME,
            negative_cache_lifetime: Self::NEGATIVE_CACHE_LIFETIME,
            maximum_cached: Self::MAXIMUM_CACHED,
            maximum_outstanding: Self::MAXIMUM_OUTSTANDING,
            maximum_waiting: Self::MAXIMUM_WAITING,
            requests_per_second: Self::REQUESTS_PER_SECOND,
        }
    }
}
