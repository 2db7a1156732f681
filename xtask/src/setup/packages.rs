//! Programs and libraries from the distribution, by apt.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::python;
use crate::command;

/// Installing takes minutes on a slow mirror, not hours.
const LIMIT: Duration = Duration::from_secs(1200);

/// Installs its arguments as root, starting no daemon that a package brings: `policy-rc.d` forbids it while the
/// script runs, and what is new does not start with the machine either. Package lists that are missing or stale are
/// fetched once. Questions that debconf would ask are answered for packages that are not there yet.
const INSTALL: &str = r#"set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
answer() {
    dpkg -s "$1" > /dev/null 2>&1 || echo "$1 $2 boolean false" | debconf-set-selections 2> /dev/null || true
}
answer wireshark-common wireshark-common/install-setuid
answer iperf3 iperf3/start_daemon
services=
for service in freeradius hostapd; do
    dpkg -s "$service" > /dev/null 2>&1 || services="$services $service"
done
units=
dpkg -s wpasupplicant > /dev/null 2>&1 || units=wpa_supplicant.service
install() { apt-get -q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; }
install "$@" || { apt-get -q update && install "$@"; }
for service in $services; do
    if dpkg -s "$service" > /dev/null 2>&1; then update-rc.d "$service" disable; fi
done
for unit in $units; do
    if [ -e "/lib/systemd/system/$unit" ] && command -v systemctl > /dev/null; then systemctl -q disable "$unit"; fi
done
"#;

/// A package, and why somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What apt calls it.
    pub name: String,
    /// What it is for, in a few words.
    pub purpose: &'static str,
}

impl Package {
    fn new(name: &str, purpose: &'static str) -> Self {
        Self { name: name.to_owned(), purpose }
    }

    /// A shared library that the unpacked compiler needs.
    pub fn library(name: &str) -> Self {
        Self::new(name, "the LLVM of the kernel programs' compiler")
    }
}

/// A program, the package that has it, and its purpose.
type Program = (&'static str, &'static str, &'static str);

const COMPILING: [Program; 1] = [("cc", "gcc libc6-dev", "links every Rust program")];
const DEMO: [Program; 2] = [
    ("ethtool", "ethtool", "switches offloads of the lab's links"),
    ("tcpdump", "tcpdump", "captures on the lab's links"),
];
const TESTING: [Program; 9] = [
    ("ip", "iproute2", "looks at what the agent left behind"),
    ("tshark", "tshark", "decodes the messages we send, as a second opinion"),
    ("iperf3", "iperf3", "sends TCP through the tunnels"),
    ("ping", "iputils-ping", "sends single echo requests"),
    ("python3", "python3", "runs the tests' second implementation of the messages"),
    ("freeradius", "freeradius", "has security associations downloaded from it"),
    ("dnsmasq", "dnsmasq-base", "is the DHCP server of the tests' networks"),
    ("dhclient", "isc-dhcp-client", "is a DHCP client that remembers its address"),
    ("busybox", "busybox-static", "has another DHCP client"),
];

/// Kernels are x86-64's.
const GUESTS: &[Program] = if cfg!(target_arch = "x86_64") {
    &[
        ("qemu-system-x86_64", "qemu-system-x86", "runs other kernels, emulated"),
        ("busybox", "busybox-static", "is what such a kernel starts with"),
        ("modprobe", "kmod", "finds and loads its modules"),
        ("xz", "xz-utils", "decompresses them"),
        ("zstd", "zstd", "decompresses them"),
    ]
} else {
    &[]
};

/// Both ends of a simulated radio link, in a guest.
const WIFI: &[Program] = if cfg!(target_arch = "x86_64") {
    &[
        ("hostapd", "hostapd", "is the access point on a simulated radio"),
        ("wpa_supplicant", "wpasupplicant", "is the station on a simulated radio"),
    ]
} else {
    &[]
};

const FUZZING: [Program; 1] = [("c++", "g++", "compiles libFuzzer")];

/// Packages whose programs are not on this machine.
pub fn missing(purpose: super::Purpose) -> Vec<Package> {
    let mut missing = missing_of(purpose, |program| command::find(program).is_some());
    if purpose.tests() && !python::is_here().unwrap_or(false) && !python::can_install() {
        missing.push(Package::new("python3-venv", "brings pip, which fetches Scapy"));
    }
    missing
}

/// Packages of guests, and of what runs in them for this purpose, whose programs are not on this machine. Everything else
/// works without them.
pub fn missing_of_guests(purpose: super::Purpose) -> Vec<Package> {
    let radios = if purpose.simulates_radios() { WIFI } else { &[] };
    let guests = if purpose.boots() { GUESTS } else { &[] };
    missing_programs(guests.iter().chain(radios), |program| command::find(program).is_some())
}

fn missing_of(purpose: super::Purpose, present: impl Fn(&str) -> bool) -> Vec<Package> {
    let mut programs = COMPILING.to_vec();
    if purpose.demonstrates() {
        programs.extend(DEMO);
    }
    if purpose.tests() {
        programs.extend(TESTING);
    }
    if purpose.fuzzes() {
        programs.extend(FUZZING);
    }
    missing_programs(programs.iter(), present)
}

fn missing_programs<'a>(programs: impl Iterator<Item = &'a Program>, present: impl Fn(&str) -> bool) -> Vec<Package> {
    programs
        .filter(|(program, ..)| !present(program))
        .flat_map(|(_, packages, why)| packages.split(' ').map(move |name| Package::new(name, why)))
        .collect()
}

/// Installs what is not installed yet.
pub fn install(packages: &[Package]) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).filter(|name| !installed(name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut script = command::limited(LIMIT, "sh");
    script.args(["-c", INSTALL, "install"]).args(&names);
    let mut script = command::elevated(&script).map_err(|_| by_hand(&names))?;
    command::run(&mut script).with_context(|| by_hand(&names))
}

/// Fetches the lists of what apt can install.
pub fn update_lists() -> Result<()> {
    let mut update = command::limited(LIMIT, "apt-get");
    update.args(["-q", "update"]);
    command::run(&mut command::elevated(&update)?)
}

/// The command that the plan shows, and that somebody without sudo gives to their administrator.
pub fn command_line(names: &[&str]) -> String {
    format!("apt-get install --no-install-recommends {}", names.join(" "))
}

fn by_hand(names: &[&str]) -> anyhow::Error {
    anyhow::anyhow!("packages are missing; as root, run: {}", command_line(names))
}

fn installed(package: &str) -> bool {
    command::capture(Command::new("dpkg-query").args(["-W", "-f=${Status}", package]))
        .is_ok_and(|status| status.ends_with(" installed"))
}

#[cfg(test)]
mod tests {
    use super::{super::Purpose, *};

    fn names(purpose: Purpose, present: &[&str]) -> Vec<String> {
        missing_of(purpose, |program| present.contains(&program)).into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn building_asks_for_nothing_but_a_linker() {
        assert_eq!(names(Purpose::Build, &[]), ["gcc", "libc6-dev"]);
        assert!(names(Purpose::Build, &["cc"]).is_empty());
    }

    #[test]
    fn only_programs_that_are_missing_are_asked_for() {
        assert_eq!(names(Purpose::Demo, &["cc", "tcpdump"]), ["ethtool"]);
        let present = all_but(&["tshark", "freeradius"]);
        assert_eq!(names(Purpose::Test, &present), ["tshark", "freeradius"]);
    }

    #[test]
    fn fuzzing_needs_a_cpp_compiler_and_tests_do_not() {
        assert_eq!(names(Purpose::Fuzz, &["cc"]), ["g++"]);
        let present = all_but(&[]);
        assert!(names(Purpose::Test, &present).is_empty());
        assert_eq!(names(Purpose::All, &present), ["g++"]);
    }

    /// What tests need, without these.
    fn all_but(absent: &[&str]) -> Vec<&'static str> {
        let programs = COMPILING.iter().chain(&DEMO).chain(&TESTING).map(|(program, ..)| *program);
        programs.filter(|program| !absent.contains(program)).collect()
    }

    #[test]
    fn the_install_script_is_valid_shell() {
        command::capture(Command::new("sh").args(["-n", "-c", INSTALL])).unwrap();
    }
}
