//! Real Wi-Fi without radio: `mac80211_hwsim` radios in the boxes, hostapd on those of access points, `wpa_supplicant` on a
//! station's. What associates, authenticates and roams here is the kernel's and the field's own code; only the air is
//! simulated, without distance, noise or time.
//!
//! [`hwsim`] makes radios and gives them to boxes, [`hostapd`] and [`station`] run the two programs, [`control`] talks to them,
//! [`campus`] is the network with agents around them.

pub mod campus;
pub mod control;
pub mod hostapd;
pub mod hwsim;
pub mod station;

use std::path::Path;

/// How a network lets stations in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Security {
    /// It lets in everybody.
    Open,
    /// WPA2-PSK with this passphrase.
    Wpa2(String),
}

/// Whether there can be simulated radios here. If not, says why in the words by which `cargo xtask test` counts a test as
/// skipped.
pub fn available() -> bool {
    if !crate::available() {
        return false;
    }
    let present =
        |program: &str| ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|at| Path::new(at).join(program).exists());
    let missing = if !Path::new("/sys/module/mac80211_hwsim").exists() {
        Some("simulated radios (kernel module mac80211_hwsim)")
    } else if !present("hostapd") {
        Some("hostapd")
    } else if !present("wpa_supplicant") {
        Some("wpa_supplicant")
    } else {
        None
    };
    if let Some(missing) = missing {
        eprintln!(
            "SKIPPED: there is no {missing} here; `cargo xtask test --wifi` runs this in a guest that has all it needs"
        );
    }
    missing.is_none()
}
