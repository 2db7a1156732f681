//! Debian's kernel packages, downloaded by apt and unpacked, never installed.
//!
//! apt has its lists, its idea of what is installed and its downloads in a directory of ours, so the machine's own stay as
//! they are; where packages come from is read from the machine's own sources. apt checks the signatures.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::kernels::{FLAVOUR, Line};
use crate::{command, setup};

/// The suites of Debian that have the kernels that are tested, and whether they are security updates.
const SUITES: [(&str, bool); 4] =
    [("bullseye-security", true), ("bookworm-security", true), ("trixie-security", true), ("trixie-backports", false)];
/// The keys of all of Debian's releases, as Debian installs them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// A download that takes longer has stalled: a kernel is some 100 MB.
const LIMIT: Duration = Duration::from_secs(300);
const PREFIX: &str = "linux-image-";

/// Downloads the newest kernel of a line and unpacks it; returns its release.
pub fn unpack(line: &Line, staging: &Path, into: &Path) -> Result<String> {
    let apt = Apt::new(staging.join("apt"))?;
    let release = apt.newest(line)?;
    let image = apt.download(&format!("{PREFIX}{release}"))?;
    let mut packages = vec![image.clone()];
    // From 7.x on, that package is only a name for several.
    for dependency in dependencies(&image)? {
        if dependency.ends_with(&format!("-{release}")) {
            packages.push(apt.download(&dependency)?);
        }
    }
    for package in packages {
        command::run(Command::new("dpkg").arg("-x").arg(&package).arg(into))?;
    }
    Ok(release)
}

/// apt with a state of its own.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: PathBuf) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let apt = Self { directory };
        fs::write(apt.directory.join("status"), "")?;
        fs::write(apt.directory.join("sources.list"), sources(&archives()?))?;
        // Where one suite does not answer, the others may do; what is missing in the end is said then.
        if let Err(error) = command::capture(&mut apt.command("apt-get", &["-qq", "update"])) {
            eprintln!("{error:#}");
        }
        Ok(apt)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = command::limited(LIMIT, program);
        let directory = |key: &str, part: &str| {
            let mut option = OsString::from(format!("{key}="));
            option.push(self.directory.join(part));
            option
        };
        for option in [
            directory("Dir::Etc::sourcelist", "sources.list"),
            directory("Dir::State::lists", "lists"),
            directory("Dir::State::status", "status"),
            directory("Dir::Cache", "cache"),
            "Dir::Etc::sourceparts=-".into(),
            format!("APT::Architecture={FLAVOUR}").into(),
            format!("APT::Architectures={FLAVOUR}").into(),
            "Acquire::Languages=none".into(),
            // Downloading as root would otherwise try to drop privileges in a directory that only root can enter.
            "APT::Sandbox::User=".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command.args(arguments).current_dir(&self.directory).env("LC_ALL", "C");
        command
    }

    fn newest(&self, line: &Line) -> Result<String> {
        let names = command::capture(&mut self.command("apt-cache", &["pkgnames", PREFIX]))?;
        let releases = names.lines().filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
        line.newest(releases).context("apt knows of none")
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        command::capture(&mut self.command("apt-get", &["-qq", "download", package]))?;
        let mut entries = fs::read_dir(&self.directory)?.flatten().map(|entry| entry.path());
        let file = entries.find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(package).is_some_and(|rest| rest.starts_with('_'))
        });
        file.with_context(|| format!("apt-get succeeded, yet there is no {package}"))
    }
}

/// Where this machine has Debian from.
#[derive(Debug, Default, PartialEq, Eq)]
struct Archives {
    main: Option<String>,
    security: Option<String>,
}

fn archives() -> Result<Archives> {
    let codename = setup::debian_codename().context("kernel packages are Debian's, and this is not Debian")?;
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]);
    let found = find_archives(&command::capture(&mut targets)?, &codename);
    if found.security.is_none() {
        bail!("apt's sources name no {codename}-security, where kernels come from");
    }
    Ok(found)
}

fn find_archives(targets: &str, codename: &str) -> Archives {
    let find = |suites: [String; 2]| {
        let mut targets = targets.lines().filter_map(|line| line.split_once(' '));
        targets.find(|(release, _)| suites.iter().any(|suite| suite == release)).map(|(_, uri)| uri.trim().to_owned())
    };
    Archives {
        main: find([codename.to_owned(), "stable".to_owned()]),
        security: find([format!("{codename}-security"), "stable-security".to_owned()]),
    }
}

fn sources(archives: &Archives) -> String {
    let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let lines = SUITES.into_iter().filter_map(|(suite, is_security)| {
        let uri = if is_security { &archives.security } else { &archives.main };
        uri.as_ref().map(|uri| format!("deb {signed}{uri} {suite} main\n"))
    });
    lines.collect()
}

fn dependencies(package: &Path) -> Result<Vec<String>> {
    Ok(names(&command::capture(Command::new("dpkg-deb").arg("-f").arg(package).arg("Depends"))?))
}

/// The names in `linux-base-7.3 (= 7.3-1), kmod | module-init-tools`, first choices only.
fn names(depends: &str) -> Vec<String> {
    depends.split(',').filter_map(|one| one.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_those_of_the_machines_own_release() {
        let targets = "cloud-sdk-bookworm https://packages.example/apt/\nbookworm http://mirror.example/debian/\n\
            bookworm-updates http://mirror.example/debian/\nbookworm-security http://mirror.example/security/\n";
        let found = find_archives(targets, "bookworm");
        assert_eq!(found.main.as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(found.security.as_deref(), Some("http://mirror.example/security/"));
        assert_eq!(find_archives(targets, "trixie"), Archives::default());
        let sources = sources(&found);
        assert!(sources.contains("http://mirror.example/security/ bullseye-security main\n"), "{sources}");
        assert!(sources.contains("http://mirror.example/debian/ trixie-backports main\n"), "{sources}");
    }

    #[test]
    fn dependencies_are_read_by_name() {
        let depends = "linux-base-7.3 (= 7.3-1), kmod, linux-initramfs-tool | x";
        assert_eq!(names(depends), ["linux-base-7.3", "kmod", "linux-initramfs-tool"]);
    }
}
