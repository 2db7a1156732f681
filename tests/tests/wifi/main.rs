//! Mobile IP on access points whose radios are simulated by `mac80211_hwsim` and run by hostapd, with stations run by
//! `wpa_supplicant`. In a guest: `cargo xtask test --wifi`.

mod isolation;
mod roaming;
mod sources;
mod talk;
