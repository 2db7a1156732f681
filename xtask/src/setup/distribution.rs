//! Which distribution this is, from `/etc/os-release`.

use std::{fmt, fs};

/// The distribution, as os-release names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    id: String,
    version: Option<(u32, u32)>,
    codename: Option<String>,
    name: String,
}

impl Distribution {
    /// Parses os-release(5).
    pub fn parse(os_release: &str) -> Self {
        let field = |key: &str| {
            os_release.lines().find_map(|line| {
                let value = line.trim().strip_prefix(key)?.strip_prefix('=')?;
                Some(value.trim_matches(|c| c == '"' || c == '\'').to_owned())
            })
        };
        let id = field("ID").unwrap_or_else(|| "unknown".to_owned());
        let name = field("PRETTY_NAME").unwrap_or_else(|| id.clone());
        let codename = field("VERSION_CODENAME");
        Self { version: field("VERSION_ID").as_deref().and_then(version), codename, id, name }
    }

    /// The distribution of this machine.
    pub fn here() -> Self {
        let mut files = ["/etc/os-release", "/usr/lib/os-release"].into_iter();
        Self::parse(&files.find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default())
    }

    /// What Debian's archive calls this release, if this is Debian itself.
    pub fn debian_codename(&self) -> Option<&str> {
        if self.id == "debian" { self.codename.as_deref() } else { None }
    }

    /// Whether packages can be installed here: Debian 12 and Ubuntu 24.04, and newer. Debian's testing and unstable
    /// have no version and count as newer.
    pub fn is_known(&self) -> bool {
        match self.id.as_str() {
            "debian" => self.version.is_none_or(|version| version >= (12, 0)),
            "ubuntu" => self.version.is_some_and(|version| version >= (24, 4)),
            _ => false,
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// `12` or `24.04`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(os_release: &str) -> bool {
        Distribution::parse(os_release).is_known()
    }

    #[test]
    fn debian_12_ubuntu_24_04_and_newer_are_known() {
        assert!(known("ID=debian\nVERSION_ID=\"12\"\n"));
        assert!(known("ID=debian\nVERSION_ID=\"13\"\n"));
        assert!(known("PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n"));
        assert!(known("ID=ubuntu\nVERSION_ID=\"24.04\"\n"));
        assert!(known("VERSION_ID=\"25.10\"\nID=ubuntu\nID_LIKE=debian\n"));
    }

    #[test]
    fn older_and_other_ones_are_not() {
        assert!(!known("ID=debian\nVERSION_ID=\"11\"\n"));
        assert!(!known("ID=ubuntu\nVERSION_ID=\"22.04\"\n"));
        assert!(!known("ID=fedora\nVERSION_ID=44\n"));
        assert!(!known("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\n"));
        assert!(!known(""));
    }

    #[test]
    fn only_debian_has_a_codename_of_debians() {
        let codename = |os_release: &str| Distribution::parse(os_release).debian_codename().map(str::to_owned);
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(codename("ID=debian\n"), None);
    }

    #[test]
    fn the_pretty_name_is_what_people_read() {
        assert_eq!(
            Distribution::parse("PRETTY_NAME=\"Alpine Linux v3.23\"\nID=alpine\n").to_string(),
            "Alpine Linux v3.23"
        );
        assert_eq!(Distribution::parse("").to_string(), "unknown");
    }
}
