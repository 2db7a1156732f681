//! What a running hostapd's configuration files say of an interface.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Options of hostapd's that are followed by something else than a configuration file.
const WITH_VALUE: [&[u8]; 9] = [b"-b", b"-e", b"-f", b"-g", b"-G", b"-i", b"-P", b"-T", b"-u"];
/// Longer ones are not read: they have a few hundred lines.
const LONGEST_FILE: u64 = 1 << 20;

/// Whether `ap_isolate` is on for an interface, by the file of the hostapd that runs in this network namespace. `None` if
/// there is no such hostapd, or no such file that can be read.
pub fn isolation(interface: &str) -> Option<bool> {
    let here = fs::read_link("/proc/thread-self/ns/net").ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let running = processes.filter(|process| {
        fs::read(process.join("comm")).is_ok_and(|name| name == b"hostapd\n")
            && fs::read_link(process.join("ns/net")).is_ok_and(|namespace| namespace == here)
    });
    running.flat_map(|process| files(&process)).find_map(|path| {
        let mut text = String::new();
        File::open(path).ok()?.take(LONGEST_FILE).read_to_string(&mut text).ok()?;
        isolation_in(&text, interface)
    })
}

/// Where the configuration files of a process are, seen from here.
fn files(process: &Path) -> Vec<PathBuf> {
    let command_line = fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = command_line.split(|&byte| byte == 0).skip(1).filter(|word| !word.is_empty());
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with(b"-") {
            let name = Path::new(OsStr::from_bytes(word));
            files.push(match name.strip_prefix("/") {
                Ok(below) => process.join("root").join(below),
                Err(_) => process.join("cwd").join(name),
            });
        }
    }
    files
}

/// Reads hostapd.conf(5): lines `name=value`; `interface` begins the first BSS of a file, `bss` each further one, and what is
/// not said of a BSS is off.
fn isolation_in(text: &str, interface: &str) -> Option<bool> {
    let mut here = false;
    let mut isolated = None;
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name {
            "interface" | "bss" => {
                here = value.trim_end() == interface;
                if here {
                    isolated.get_or_insert(false);
                }
            }
            "ap_isolate" if here => isolated = Some(value.trim_end() != "0"),
            _ => {}
        }
    }
    isolated
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# interface=wlan9\ninterface=wlan0\nssid=one\nap_isolate=1\nbss=wlan0-1\nssid=two\n\
                       #ap_isolate=1\nbss=wlan0-2\nap_isolate=0\nap_isolate=1\n";

    #[test]
    fn each_bss_is_isolated_or_not_by_itself() {
        assert_eq!(isolation_in(TWO, "wlan0"), Some(true));
        assert_eq!(isolation_in(TWO, "wlan0-1"), Some(false));
        assert_eq!(isolation_in(TWO, "wlan0-2"), Some(true));
        assert_eq!(isolation_in(TWO, "wlan9"), None);
    }

    #[test]
    fn files_are_told_from_the_values_of_options() {
        let process = tempfile::tempdir().unwrap();
        fs::write(process.path().join("cmdline"), b"hostapd\0-B\0-P\0/run/pid\0/etc/hostapd.conf\0two.conf\0").unwrap();
        let root = process.path().join("root/etc/hostapd.conf");
        assert_eq!(files(process.path()), [root, process.path().join("cwd/two.conf")]);
    }
}
