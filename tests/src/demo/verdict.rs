//! The judgement: what was promised, and whether it was kept.

use serde::Serialize;

use super::data_path::Shares;
use super::report::{Roam, Tcp};
use crate::agent::config::FastPath;

/// What the median outage should stay below.
pub(super) const OUTAGE_GOAL_MS: f64 = 50.0;
/// What no outage may exceed.
pub(super) const OUTAGE_LIMIT_MS: f64 = 250.0;
/// Part of a client's packets that the programs must forward when nothing holds them back.
const FAST_SHARE: f64 = 0.99;

/// The judgement.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub passed: bool,
    pub median_outage_ms: f64,
    pub findings: Vec<Finding>,
}

/// One promise.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub kept: bool,
    pub promise: String,
    /// What was seen instead, where it was not kept; else the figure.
    pub seen: String,
}

pub(super) fn judge(fast_path: FastPath, roams: &[Roam], tcp: &Tcp, shares: &Shares) -> Verdict {
    let median_outage_ms = median(roams.iter().map(|roam| roam.outage_ms).collect());
    let mut findings = vec![
        connection(tcp),
        per_roam("each roam is registered", roams, |roam| (!roam.registered).then(|| "not registered".to_owned())),
        per_roam(&format!("no outage beyond {OUTAGE_LIMIT_MS} ms"), roams, |roam| {
            (roam.outage_ms > OUTAGE_LIMIT_MS).then(|| format!("{} ms", roam.outage_ms))
        }),
        per_roam("nothing is lost after registration", roams, |roam| {
            let lost = roam.packets_lost_after_registration;
            (lost > 0).then(|| format!("{lost} lost"))
        }),
        per_roam("data flows both ways after each roam", roams, |roam| {
            (!roam.tcp_progressed).then(|| "TCP stands still".to_owned())
        }),
        per_roam("a host behind the router just left, and one at home, reach the client", roams, |roam| {
            let unreached = roam.reached_from.iter().find(|host| host.after_ms.is_none())?;
            Some(format!("{} does not", unreached.host))
        }),
    ];
    if fast_path != FastPath::Off {
        findings.push(forwarding(shares));
    }
    Verdict { passed: findings.iter().all(|finding| finding.kept), median_outage_ms, findings }
}

fn connection(tcp: &Tcp) -> Finding {
    let seen = match (&tcp.error, tcp.intact) {
        (Some(error), _) => error.clone(),
        (None, false) => "the two ends saw different bytes".to_owned(),
        (None, true) => format!("{:.1} MB, both ends agree", tcp.bytes as f64 / 1e6),
    };
    Finding {
        kept: tcp.survived && tcp.intact,
        promise: "the TCP connection survives all roams, data intact".to_owned(),
        seen,
    }
}

fn per_roam(promise: &str, roams: &[Roam], complaint: impl Fn(&Roam) -> Option<String>) -> Finding {
    let complaints: Vec<String> = roams
        .iter()
        .filter_map(|roam| complaint(roam).map(|text| format!("{} → {} ({}): {text}", roam.from, roam.to, roam.link)))
        .collect();
    Finding {
        kept: complaints.is_empty() && !roams.is_empty(),
        promise: promise.to_owned(),
        seen: if complaints.is_empty() { format!("{} roams", roams.len()) } else { complaints.join("; ") },
    }
}

fn forwarding(shares: &Shares) -> Finding {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let complaints: Vec<String> = shares
        .iter()
        .filter(|(_, share)| share.fast() < FAST_SHARE || share.fast_by_kernel() < FAST_SHARE)
        .map(|(name, share)| {
            format!("{name} {} ({} by the kernel's count)", percent(share.fast()), percent(share.fast_by_kernel()))
        })
        .collect();
    let least = shares.values().map(|share| share.fast().min(share.fast_by_kernel())).fold(1.0, f64::min);
    Finding {
        kept: complaints.is_empty() && !shares.is_empty(),
        promise: format!("at least {} of the client's packets take the fast path on every box", percent(FAST_SHARE)),
        seen: if complaints.is_empty() { format!("{} or more", percent(least)) } else { complaints.join("; ") },
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_path::Share;
    use super::super::report::Reachability;
    use super::*;

    fn roam() -> Roam {
        Roam {
            from: "home",
            to: "visited 2",
            link: "kept",
            link_down_ms: 0.0,
            registered: true,
            registration_ms: Some(4.0),
            registered_after_ms: Some(6.0),
            outage_ms: 12.0,
            packets_sent: 100,
            packets_lost: 1,
            packets_lost_after_registration: 0,
            path_up: String::new(),
            path_down: String::new(),
            tcp_progressed: true,
            reached_from: vec![Reachability { host: "home-host".to_owned(), after_ms: Some(1.0) }],
        }
    }

    fn tcp() -> Tcp {
        Tcp { bytes: 1, survived: true, intact: true, error: None }
    }

    fn shares(kernel_forwarded: u64) -> Shares {
        let share = Share { packets_fast: 1000, packets_slow: 1, kernel_forwarded, client_packets: 1000 };
        [("ha".to_owned(), share)].into()
    }

    #[test]
    fn a_roam_as_promised_passes() {
        assert!(judge(FastPath::Auto, &[roam()], &tcp(), &shares(3)).passed);
    }

    #[test]
    fn each_broken_promise_fails_alone() {
        let broken: [fn(&mut Roam); 5] = [
            |roam| roam.registered = false,
            |roam| roam.outage_ms = 251.0,
            |roam| roam.packets_lost_after_registration = 1,
            |roam| roam.tcp_progressed = false,
            |roam| roam.reached_from[0].after_ms = None,
        ];
        for (position, spoil) in broken.iter().enumerate() {
            let mut spoilt = roam();
            spoil(&mut spoilt);
            let verdict = judge(FastPath::Auto, &[roam(), spoilt], &tcp(), &shares(3));
            assert_eq!(verdict.findings.iter().filter(|finding| !finding.kept).count(), 1, "spoilt {position}");
        }
        assert!(!judge(FastPath::Auto, &[roam()], &Tcp { intact: false, ..tcp() }, &shares(3)).passed);
        assert!(!judge(FastPath::Auto, &[roam()], &tcp(), &shares(500)).passed);
        assert!(!judge(FastPath::Auto, &[], &tcp(), &shares(3)).passed);
    }

    #[test]
    fn without_fast_path_the_kernel_may_forward_everything() {
        assert!(judge(FastPath::Off, &[roam()], &tcp(), &shares(1000)).passed);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert!((median(vec![40.0, 10.0, 20.0, 30.0]) - 25.0).abs() < 1e-9);
    }
}
