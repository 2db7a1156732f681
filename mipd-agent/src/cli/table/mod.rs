//! Reports as text: aligned columns under a header in capitals, `-` where there is nothing to say.

#[cfg(test)]
mod tests;

use std::{fmt::Display, io::Write};

use comfy_table::{CellAlignment, Table, presets};

use super::Failure;
use crate::{
    control::report::{
        AccessPoint, Agent, Association, Binding, Client, Counter, Interface, Report, SubnetMapEntry, Tunnel,
        Violation, Visitor,
    },
    wire::types::{Lifetime, ReplyCode},
};

/// A row of a table. A column whose header begins with `#` holds numbers and is aligned to the right.
trait Row {
    const HEADER: &'static [&'static str];

    fn cells(&self) -> Vec<String>;
}

/// The text form of a report, without a line end at its end.
pub(super) fn render(report: &Report) -> String {
    match report {
        Report::Bindings(rows) => text(rows),
        Report::Visitors(rows) => text(rows),
        Report::Clients(rows) => text(rows),
        Report::Agents(rows) => text(rows),
        Report::SubnetMap(rows) => text(rows),
        Report::AccessPoints(rows) => text(rows),
        Report::Tunnels(rows) => text(rows),
        Report::Interfaces(rows) => text(rows),
        Report::Counters(rows) => text(rows),
        Report::Associations(rows) => text(rows),
        Report::Violations(rows) => text(rows),
    }
}

/// The JSON form: an array of objects, `[]` when there are none.
pub(super) fn write_json(report: &Report, output: &mut dyn Write) -> Result<(), Failure> {
    match report {
        Report::Bindings(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Visitors(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Clients(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Agents(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::SubnetMap(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::AccessPoints(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Tunnels(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Interfaces(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Counters(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Associations(rows) => serde_json::to_writer_pretty(&mut *output, rows),
        Report::Violations(rows) => serde_json::to_writer_pretty(&mut *output, rows),
    }
    .map_err(std::io::Error::from)?;
    Ok(writeln!(output)?)
}

fn text<R: Row>(rows: &[R]) -> String {
    columns(R::HEADER, rows.iter().map(Row::cells))
}

/// Aligned columns with two spaces between them.
pub(super) fn columns(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().map(|name| name.trim_start_matches('#')));
    table.add_rows(rows);
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if name.starts_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn granted(seconds: Option<u16>) -> String {
    seconds.map_or_else(|| "-".to_owned(), lifetime)
}

fn lifetime(seconds: u16) -> String {
    if seconds == Lifetime::INFINITE.0 { "infinite".to_owned() } else { format!("{seconds}s") }
}

fn remaining(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s"))
}

impl Row for Binding {
    const HEADER: &'static [&'static str] = &[
        "HOME ADDRESS",
        "CARE-OF ADDRESS",
        "HOME AGENT",
        "#GRANTED",
        "#REMAINING",
        "FLAGS",
        "ENCAPSULATION",
        "REVERSE TUNNEL",
        "DEVICE",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.home_address.to_string(),
            or_dash(self.care_of_address),
            or_dash(self.home_agent),
            granted(self.lifetime_granted_s),
            remaining(self.lifetime_remaining_s),
            or_none(self.flags.as_deref().unwrap_or_default()),
            self.encapsulation.clone(),
            or_dash(self.reverse_tunnel.map(yes_no)),
            or_dash(self.device.clone()),
        ]
    }
}

impl Row for Visitor {
    const HEADER: &'static [&'static str] = &[
        "HOME ADDRESS",
        "HOME AGENT",
        "CARE-OF ADDRESS",
        "MAC",
        "INTERFACE",
        "STATE",
        "#GRANTED",
        "#REMAINING",
        "FLAGS",
        "ENCAPSULATION",
        "REVERSE TUNNEL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.home_address.to_string(),
            self.home_agent.to_string(),
            or_dash(self.care_of_address),
            self.mac.clone(),
            self.interface.clone(),
            self.state.clone(),
            granted(self.lifetime_granted_s),
            remaining(self.lifetime_remaining_s),
            or_none(self.flags.as_deref().unwrap_or_default()),
            self.encapsulation.clone(),
            yes_no(self.reverse_tunnel),
        ]
    }
}

impl Row for Client {
    const HEADER: &'static [&'static str] = &[
        "MAC",
        "HOME ADDRESS",
        "INTERFACE",
        "STATE",
        "HOME AGENT",
        "FOREIGN AGENT",
        "CARE-OF ADDRESS",
        "#GRANTED",
        "#REMAINING",
        "ENCAPSULATION",
        "REVERSE TUNNEL",
        "#ATTEMPTS",
        "#REGISTERED IN",
        "#PRESENT",
        "NOTICED BY",
        "LAST REPLY",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.mac.clone(),
            or_dash(self.home_address),
            self.interface.clone(),
            self.state.clone(),
            or_dash(self.home_agent),
            or_dash(self.foreign_agent),
            or_dash(self.care_of_address),
            granted(self.lifetime_granted_s),
            remaining(self.lifetime_remaining_s),
            or_dash(self.encapsulation.as_deref()),
            or_dash(self.reverse_tunnel.map(yes_no)),
            or_dash(self.attempts),
            or_dash(self.registered_in_ms.map(|milliseconds| format!("{milliseconds}ms"))),
            remaining(self.present_s),
            or_dash(self.noticed_by.first()),
            or_dash(self.last_code.map(ReplyCode)),
        ]
    }
}

impl Row for Agent {
    const HEADER: &'static [&'static str] = &[
        "ADDRESS",
        "MAC",
        "INTERFACE",
        "ROLES",
        "CARE-OF ADDRESSES",
        "#LIFETIME",
        "FLAGS",
        "REVERSE TUNNEL",
        "BUSY",
        "#EXPIRES IN",
        "IN USE",
    ];

    fn cells(&self) -> Vec<String> {
        let roles = [(self.home_agent, "home"), (self.foreign_agent, "foreign")];
        let roles: Vec<&str> = roles.into_iter().filter(|(present, _)| *present).map(|(_, name)| name).collect();
        let addresses: Vec<String> = self.care_of_addresses.iter().map(ToString::to_string).collect();
        vec![
            self.address.to_string(),
            self.mac.clone(),
            self.interface.clone(),
            or_none(&roles.join(",")),
            or_none(&addresses.join(",")),
            lifetime(self.registration_lifetime_s),
            or_none(&self.flags),
            yes_no(self.reverse_tunnel),
            yes_no(self.busy),
            format!("{}s", self.lifetime_remaining_s),
            yes_no(self.selected),
        ]
    }
}

/// As packet analysers print it.
fn gre_key(key: u32) -> String {
    format!("{key:#010x}")
}

impl Row for Tunnel {
    const HEADER: &'static [&'static str] = &[
        "#ID",
        "LOCAL",
        "REMOTE",
        "ENCAPSULATION",
        "SEND KEY",
        "RECEIVE KEY",
        "UDP PEER",
        "STATE",
        "INTERFACE",
        "NEXT HOP",
        "#MTU",
        "#PATH MTU",
        "FROM",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.tunnel_id.to_string(),
            or_dash(self.local),
            or_dash(self.remote),
            self.encapsulation.clone(),
            or_dash(self.send_key.map(gre_key)),
            or_dash(self.receive_key.map(gre_key)),
            or_dash(self.udp_peer),
            self.state.clone(),
            or_dash(self.interface.as_ref()),
            or_dash(self.next_hop.as_ref()),
            self.mtu.to_string(),
            or_dash(self.path_mtu),
            match (self.path_mtu_router, self.path_mtu_remaining_s) {
                (Some(router), Some(seconds)) => format!("{router} ({seconds} s)"),
                _ => or_dash(self.path_mtu_source.as_ref()),
            },
        ]
    }
}

impl Row for Interface {
    const HEADER: &'static [&'static str] = &[
        "INTERFACE",
        "ROLES",
        "WANTED",
        "ATTACHED",
        "#FAST",
        "#SLOW",
        "#PASSED",
        "#DROPPED",
        "AP ISOLATE",
        "STATIONS BY",
        "REASON",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.interface.clone(),
            or_none(&self.roles.join(",")),
            self.wanted.clone(),
            self.attached.clone(),
            self.packets_fast.to_string(),
            self.packets_slow.to_string(),
            self.packets_passed.to_string(),
            self.packets_dropped.to_string(),
            or_dash(self.ap_isolate.as_ref()),
            or_dash(self.sources.iter().find(|source| source.state != "unavailable").map(|source| &source.source)),
            or_dash(self.reason.as_ref()),
        ]
    }
}

impl Row for Counter {
    const HEADER: &'static [&'static str] = &["ROLE", "INTERFACE", "HOOK", "NAME", "#VALUE", "MEANING"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.role.clone(),
            or_dash(self.interface.as_ref()),
            or_dash(self.hook.as_ref()),
            self.name.clone(),
            self.value.to_string(),
            self.help.clone(),
        ]
    }
}

impl Row for SubnetMapEntry {
    const HEADER: &'static [&'static str] = &["SUBNET", "HOME AGENT", "SOURCE", "REPORTED TO"];

    fn cells(&self) -> Vec<String> {
        vec![self.subnet.clone(), self.home_agent.to_string(), self.source.clone(), or_dash(self.reported_to)]
    }
}

impl Row for AccessPoint {
    const HEADER: &'static [&'static str] = &["ADDRESS", "AUTHORITATIVE", "IN CHARGE", "SUBNET"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.address.to_string(),
            yes_no(self.authoritative),
            yes_no(self.in_charge),
            or_dash(self.subnet.as_ref()),
        ]
    }
}

impl Row for Violation {
    const HEADER: &'static [&'static str] =
        &["TIME", "ROLE", "PEER", "HOME ADDRESS", "#SPI", "IDENTIFICATION", "REASON"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.time.clone(),
            self.role.replace('_', " "),
            self.peer.to_string(),
            self.home_address.to_string(),
            or_dash(self.spi),
            self.identification.clone(),
            self.reason.replace('_', " "),
        ]
    }
}

impl Row for Association {
    const HEADER: &'static [&'static str] = &["KIND", "PEER", "#SPI", "ALGORITHM", "SOURCE", "#REMAINING"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.peer.clone(),
            self.spi.to_string(),
            self.algorithm.clone(),
            self.source.clone(),
            or_dash(self.lifetime_remaining_s.map(|seconds| format!("{seconds}s"))),
        ]
    }
}
