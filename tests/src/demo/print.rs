//! What a person reads.

use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};

use super::arguments::Arguments;
use super::report::{Report, Roam};
use super::verdict::OUTAGE_GOAL_MS;
use crate::agent::config::FastPath;

/// Says what happens when it happens, with the time since the start.
pub(super) struct Narrator {
    start: Instant,
}

impl Narrator {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub fn say(&self, what: &str) {
        println!("{:6.1} s  {what}", self.start.elapsed().as_secs_f64());
    }

    pub fn roam(&self, roam: &Roam) {
        let registration = match roam.registration_ms {
            Some(time) => format!("registered in {time:.0} ms"),
            None => "NOT registered".to_owned(),
        };
        let unreached = roam.reached_from.iter().filter(|host| host.after_ms.is_none()).map(|host| host.host.as_str());
        let unreached: Vec<&str> = unreached.collect();
        let neighbours = if unreached.is_empty() {
            "neighbours reach it".to_owned()
        } else {
            format!("NOT reached from {}", unreached.join(", "))
        };
        let tcp = if roam.tcp_progressed { "TCP goes on" } else { "TCP STANDS STILL" };
        self.say(&format!(
            "{} → {}: {registration}, out for {:.0} ms, lost {} of its pings; {tcp}, {neighbours}",
            roam.from, roam.to, roam.outage_ms, roam.packets_lost,
        ));
    }
}

pub(super) fn introduction(arguments: &Arguments) {
    println!(
        "
    home 10.1.0.0/24              core               visited 1 10.2.0.0/24
 client ))) home-ap ══ ha ───────── core ─┬────────── fa1 ══ ap1 )))  ap2 )))
                                    │     │          visited 2 10.3.0.0/24
                              correspondent └──────── fa2 ══ ap3 )))

 The client has 10.1.0.100 everywhere, and knows nothing of Mobile IP.
 Fast path: {}. Reverse tunnel: {}.
",
        match arguments.fast_path {
            FastPath::Off => "off, the kernel forwards at home agent and foreign agents",
            FastPath::Tc => "TC programs",
            FastPath::Auto => "XDP where native, TC elsewhere",
        },
        if arguments.reverse_tunnel { "yes" } else { "no" }
    );
}

pub(super) fn roams(report: &Report) {
    let mut table = table(&["FROM", "TO", "LINK", "DOWN", "REGISTRATION", "OUTAGE", "LOST", "AFTER", "UP", "DOWN"]);
    for roam in &report.roams {
        table.add_row([
            roam.from.to_owned(),
            roam.to.to_owned(),
            roam.link.to_owned(),
            format!("{:.0} ms", roam.link_down_ms),
            roam.registration_ms.map_or("never".to_owned(), |time| format!("{time:.0} ms")),
            format!("{:.0} ms", roam.outage_ms),
            format!("{}/{}", roam.packets_lost, roam.packets_sent),
            roam.packets_lost_after_registration.to_string(),
            roam.path_up.clone(),
            roam.path_down.clone(),
        ]);
    }
    for column in 3..=7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{table}\n");
    println!(
        "OUTAGE: longest wait from a ping to the next reply, beyond the time the link was down. AFTER: lost after registration."
    );
    println!("UP, DOWN: ways as counted on the wires; ⇒ is a tunnel.");
}

pub(super) fn boxes(report: &Report) {
    println!("\nmipd show, while the client was in visited 2");
    for one in &report.tables {
        for (table, text) in &one.tables {
            println!("\n[{}] mipd show {table}", one.box_name);
            println!("{}", text.trim_end());
        }
    }
}

pub(super) fn data_path(report: &Report) {
    let mut interfaces = table(&["BOX", "INTERFACE", "WANTED", "ATTACHED", "FAST", "SLOW", "REASON"]);
    for one in &report.data_path.interfaces {
        let text = |field: &str| one.interface[field].as_str().unwrap_or("").to_owned();
        let number = |field: &str| one.interface[field].as_u64().unwrap_or(0).to_string();
        interfaces.add_row([
            one.box_name.clone(),
            text("interface"),
            text("wanted"),
            text("attached"),
            number("packets_fast"),
            number("packets_slow"),
            text("reason"),
        ]);
    }
    println!("\ndata path, whole run\n\n{interfaces}");
    let mut shares = table(&["BOX", "CLIENT PACKETS", "FAST", "SLOW", "KERNEL FORWARDED", "FAST SHARE"]);
    for (name, share) in &report.data_path.shares {
        shares.add_row([
            name.clone(),
            share.client_packets.to_string(),
            share.packets_fast.to_string(),
            share.packets_slow.to_string(),
            share.kernel_forwarded.to_string(),
            format!("{:.2} %", share.fast() * 100.0),
        ]);
    }
    println!("\nwhile the client was away and registered\n\n{shares}");
}

pub(super) fn verdict(report: &Report) {
    println!();
    for finding in &report.verdict.findings {
        println!("{}  {}: {}", if finding.kept { "kept  " } else { "BROKEN" }, finding.promise, finding.seen);
    }
    let median = report.verdict.median_outage_ms;
    let goal = if median <= OUTAGE_GOAL_MS { "met" } else { "missed" };
    println!("goal    median outage {median:.1} ms; the goal of {OUTAGE_GOAL_MS} ms is {goal}");
    println!(
        "\n{}",
        if report.verdict.passed {
            "PASSED: the client roamed and noticed nothing."
        } else {
            "FAILED: see the broken promises above; --logs DIR and --pcap DIR keep the evidence."
        }
    );
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}
