//! `[radius]`: where the security associations of clients come from that have none in the file.

use std::{net::SocketAddrV4, ops::Range, time::Duration};

use toml::Spanned;

use super::{
    document::{RadiusSection, RadiusServerEntry},
    error::{ConfigError, Source},
    roles::{count, duration},
    secret,
    values::ServerAddressText,
};
use crate::{
    mobility::security::radius::{Config, Server},
    wire::{
        authentication::Key,
        radius::{NasIdentifier, UserPassword},
    },
};

/// What other equipment sends unless told otherwise.
const USER_PASSWORD: &str = "cisco";
/// Stands in for a host name that is not there.
const NAS_IDENTIFIER: &str = "mipd";

/// RADIUS servers, and how to deal with them.
#[derive(Clone, Debug)]
pub struct Radius {
    /// Where they are, in the order of [`Config::servers`].
    pub servers: Vec<SocketAddrV4>,
    /// Everything else.
    pub client: Config,
}

pub(super) fn validate(source: &Source<'_>, section: Spanned<RadiusSection>) -> Result<Radius, ConfigError> {
    let section = section.into_inner();
    let servers_at = section.servers.span();
    let mut addresses: Vec<SocketAddrV4> = Vec::new();
    let mut servers = Vec::new();
    for entry in section.servers.into_inner() {
        let (at, entry) = (entry.span(), entry.into_inner());
        let ServerAddressText(address) = *entry.address.get_ref();
        if addresses.contains(&address) {
            let message = format!("RADIUS server {address} is named twice: remove one");
            return Err(source.error(&entry.address.span(), message));
        }
        addresses.push(address);
        servers.push(server(source, &at, entry)?);
    }
    if !(1..=Config::MAXIMUM_SERVERS).contains(&servers.len()) {
        let message =
            format!("{} servers: name 1 to {}, the preferred one first", servers.len(), Config::MAXIMUM_SERVERS);
        return Err(source.error(&servers_at, message));
    }
    let password = secret::text(source, "password", section.password, section.password_file)?;
    let (password, password_at) = password.unwrap_or_else(|| (USER_PASSWORD.into(), servers_at.clone()));
    let password =
        UserPassword::new(password).map_err(|error| source.error(&password_at, format!("password {error}")))?;
    let seconds =
        |range: std::ops::RangeInclusive<u64>| Duration::from_secs(*range.start())..=Duration::from_secs(*range.end());
    let keyed = |key: &str, given, bounds, default| duration(source, key, given, seconds(bounds), default);
    Ok(Radius {
        servers: addresses,
        client: Config {
            require_message_authenticator: section.require_message_authenticator,
            default_algorithm: section.default_algorithm.map_or(Config::DEFAULT_ALGORITHM, Into::into),
            timeout: keyed("timeout", section.timeout.as_ref(), 1..=30, Config::TIMEOUT)?,
            retries: match &section.retries {
                Some(retries) if *retries.get_ref() > MOST_RETRIES => {
                    let message = format!("retries {} is out of bounds: write 0 to {MOST_RETRIES}", retries.get_ref());
                    return Err(source.error(&retries.span(), message));
                }
                given => given.as_ref().map_or(Config::RETRIES, |retries| *retries.get_ref()),
            },
            dead_time: keyed("dead-time", section.dead_time.as_ref(), 1..=3600, Config::DEAD_TIME)?,
            cache_lifetime: keyed(
                "cache-lifetime",
                section.cache_lifetime.as_ref(),
                10..=86_400,
                Config::CACHE_LIFETIME,
            )?,
            negative_cache_lifetime: keyed(
                "negative-cache-lifetime",
                section.negative_cache_lifetime.as_ref(),
                1..=86_400,
                Config::NEGATIVE_CACHE_LIFETIME,
            )?,
            maximum_cached: count(
                source,
                "maximum-cached",
                section.maximum_cached.as_ref(),
                1 << 24,
                Config::MAXIMUM_CACHED as u32,
            )? as usize,
            requests_per_second: count(
                source,
                "requests-per-second",
                section.requests_per_second.as_ref(),
                10_000,
                Config::REQUESTS_PER_SECOND,
            )?,
            ..Config::new(servers, password, nas_identifier(source, section.nas_identifier)?)
        },
    })
}

/// More would only be asked in vain: the client has long given up.
const MOST_RETRIES: u32 = 10;

fn server(source: &Source<'_>, at: &Range<usize>, entry: RadiusServerEntry) -> Result<Server, ConfigError> {
    let Some((secret, at)) = secret::text(source, "secret", entry.secret, entry.secret_file)? else {
        return Err(source.error(at, "no secret: add secret-file = \"PATH\" or secret = \"…\""));
    };
    let secret = Key::from_bytes(secret).map_err(|error| source.error(&at, error.to_string()))?;
    Ok(Server { secret })
}

/// As given, or the host's name.
fn nas_identifier(source: &Source<'_>, given: Option<Spanned<String>>) -> Result<NasIdentifier, ConfigError> {
    let (name, at) = if let Some(given) = given {
        let at = given.span();
        (given.into_inner(), at)
    } else {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        (host.filter(|name| !name.is_empty()).unwrap_or_else(|| NAS_IDENTIFIER.to_owned()), 0..0)
    };
    NasIdentifier::new(name).map_err(|error| source.error(&at, format!("nas-identifier {error}")))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::{
        config,
        wire::{authentication::Algorithm, radius::AccessRequest, radius::RequestAuthenticator},
    };

    const HOME_AGENT: &str =
        "[home-agent]\naddress = \"10.1.0.1\"\nsubnets = [{ prefix = \"10.1.0.0/24\", interface = \"lan0\" }]\n";
    const SERVER: &str = "servers = [{ address = \"10.0.0.5\", secret = \"testing123\" }]\n";

    fn parse(section: &str, mode: u32) -> Result<config::Config, ConfigError> {
        config::Config::parse(&format!("{HOME_AGENT}[radius]\n{section}"), Path::new("mipd.toml"), mode)
    }

    fn radius(section: &str) -> Radius {
        parse(section, 0o600).unwrap().radius.unwrap()
    }

    #[test]
    fn every_mistake_has_its_one_line() {
        for (section, message) in [
            (String::new(), "mipd.toml:4: key `servers` is missing in this section: add it"),
            ("servers = []".into(), "mipd.toml:5: 0 servers: name 1 to 4, the preferred one first"),
            (
                "servers = [{ address = \"10.0.0.5\" }]".into(),
                "mipd.toml:5: no secret: add secret-file = \"PATH\" or secret = \"…\"",
            ),
            (
                SERVER.replace("testing123", ""),
                "mipd.toml:5: secret is empty: write at least one character",
            ),
            (
                SERVER.replace("10.0.0.5", "radius.example"),
                "mipd.toml:5: `radius.example` is not the address of a server: write it like 10.0.0.5 or 10.0.0.5:1812",
            ),
            (
                SERVER.replace("10.0.0.5", "224.0.0.1:1812"),
                "mipd.toml:5: `224.0.0.1:1812` cannot be the address of a server: write a unicast address and its UDP port",
            ),
            (
                SERVER.replace("10.0.0.5", "10.0.0.5:0"),
                "mipd.toml:5: `10.0.0.5:0` cannot be the address of a server: write a unicast address and its UDP port",
            ),
            (
                "servers = [\n{ address = \"10.0.0.5\", secret = \"a\" },\n{ address = \"10.0.0.5:1812\", secret = \"b\" }]"
                    .into(),
                "mipd.toml:7: RADIUS server 10.0.0.5:1812 is named twice: remove one",
            ),
            (
                "servers = [{ address = \"10.0.0.5\", secret = \"a\", secret-file = \"b\" }]".into(),
                "mipd.toml:5: both secret and secret-file are given: keep one of them",
            ),
            (format!("{SERVER}password = \"\""), "mipd.toml:6: password is empty: write at least one character"),
            (
                format!("{SERVER}password = \"{}\"", "p".repeat(129)),
                "mipd.toml:6: password has 129 bytes: RADIUS takes 1 to 128",
            ),
            (format!("{SERVER}nas-identifier = \"\""), "mipd.toml:6: nas-identifier has 0 bytes: RADIUS takes 1 to 253"),
            (format!("{SERVER}timeout = \"31s\""), "mipd.toml:6: timeout 31s is out of bounds: write 1s to 30s"),
            (format!("{SERVER}retries = 11"), "mipd.toml:6: retries 11 is out of bounds: write 0 to 10"),
            (format!("{SERVER}dead-time = \"2h\""), "mipd.toml:6: dead-time 2h is out of bounds: write 1s to 1h"),
            (
                format!("{SERVER}cache-lifetime = \"1s\""),
                "mipd.toml:6: cache-lifetime 1s is out of bounds: write 10s to 1day",
            ),
            (
                format!("{SERVER}requests-per-second = 0"),
                "mipd.toml:6: requests-per-second 0 is out of bounds: write 1 to 10000",
            ),
            (
                format!("{SERVER}default-algorithm = \"md4\""),
                "mipd.toml:6: unknown value `md4`: expected hmac-md5, md5-prefix-suffix, md5-prefix-suffix-without-spi, \
                 hmac-sha1, hmac-sha256",
            ),
        ] {
            assert_eq!(parse(&section, 0o600).expect_err(&section).to_string(), message);
        }
    }

    #[test]
    fn a_foreign_agent_alone_has_no_use_for_it() {
        let text =
            format!("[foreign-agent]\ninterfaces = [\"lan0\"]\ncare-of-address = \"10.2.0.1\"\n[radius]\n{SERVER}");
        let refused = config::Config::parse(&text, Path::new("mipd.toml"), 0o600).unwrap_err().to_string();
        assert_eq!(
            refused,
            "mipd.toml:4: [radius] is of no use to a foreign agent: remove it here (home agents and access points use it)"
        );
    }

    #[test]
    fn what_is_left_out_is_what_other_equipment_does() {
        let Radius { servers, client } = radius(SERVER);
        assert_eq!(servers, ["10.0.0.5:1812".parse().unwrap()]);
        assert!(client.require_message_authenticator);
        assert_eq!(client.default_algorithm, Algorithm::Md5PrefixSuffix);
        assert_eq!((client.timeout, client.retries), (Duration::from_secs(1), 1));
        assert_eq!(client.cache_lifetime, Duration::from_hours(1));
        assert_eq!(client.maximum_cached, 65_536);
        let request = |user_password: &UserPassword| {
            AccessRequest {
                identifier: 0,
                authenticator: RequestAuthenticator([0; 16]),
                home_address: "10.1.0.5".parse().unwrap(),
                user_password,
                nas_identifier: &client.nas_identifier,
            }
            .emit(&client.servers[0].secret)
        };
        assert_eq!(request(&client.user_password), request(&UserPassword::new("cisco".into()).unwrap()));
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let Radius { servers, client } = radius(
            "servers = [\n{ address = \"10.0.0.5:1645\", secret = \"a\" },\n{ address = \"127.0.0.1\", secret = \"b\" }]\n\
             password = \"other\"\nnas-identifier = \"ap-7\"\nrequire-message-authenticator = false\n\
             default-algorithm = \"hmac-md5\"\ntimeout = \"3s\"\nretries = 0\ndead-time = \"5min\"\n\
             cache-lifetime = \"2h\"\nnegative-cache-lifetime = \"10s\"\nmaximum-cached = 7\nrequests-per-second = 8\n",
        );
        assert_eq!(servers, ["10.0.0.5:1645".parse().unwrap(), "127.0.0.1:1812".parse().unwrap()]);
        assert_eq!(client.servers.len(), 2);
        assert!(!client.require_message_authenticator);
        assert_eq!(client.default_algorithm, Algorithm::HmacMd5);
        assert_eq!(client.nas_identifier, NasIdentifier::new("ap-7".into()).unwrap());
        assert_eq!((client.timeout, client.retries), (Duration::from_secs(3), 0));
        assert_eq!(client.dead_time, Duration::from_mins(5));
        assert_eq!(client.cache_lifetime, Duration::from_hours(2));
        assert_eq!(client.negative_cache_lifetime, Duration::from_secs(10));
        assert_eq!((client.maximum_cached, client.requests_per_second), (7, 8));
    }

    #[test]
    fn secrets_in_files_that_others_may_read_are_refused_and_none_is_ever_printed() {
        let refused = parse(SERVER, 0o100_644).unwrap_err().to_string();
        assert_eq!(
            refused,
            "mipd.toml:5: this file holds a secret and others may read it (mode 0644): chmod o= mipd.toml, or move the \
             secret to a secret-file"
        );

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("radius");
        fs::write(&file, "testing123\n").unwrap();
        let section = format!("servers = [{{ address = \"10.0.0.5\", secret-file = \"{}\" }}]", file.display());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        let refused = parse(&section, 0o644).unwrap_err().to_string();
        assert!(refused.contains("others may read it (mode 0604)"), "{refused}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let found = parse(&section, 0o644).unwrap().radius.unwrap();
        assert_eq!(found.client.servers[0].secret, Key::from_bytes(b"testing123".to_vec()).unwrap());
        let shown = format!("{found:?}");
        assert!(!shown.contains("testing") && !shown.contains("cisco") && !shown.contains("116, 101"), "{shown}");
    }
}
