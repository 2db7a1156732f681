//! The walk: home → visited 1, AP 1 → visited 1, AP 2 → visited 2 → home, once with the link bouncing, once without.

use std::time::Duration;

use anyhow::{Context, Result};

use super::arguments::Arguments;
use super::data_path::{self, Shares};
use super::print::Narrator;
use super::report::{BoxTables, DataPath, InterfaceUse, Machine, Report, Roam, Tcp};
use super::roam::Step;
use super::verdict;
use crate::agent::config::Settings;
use crate::deployment::{Deployment, Place, WIRES};
use crate::radio::Carrier;

const TRAFFIC_PATIENCE: Duration = Duration::from_secs(10);
const WALK: [Place; 5] = [Place::Home, Place::Visited1Ap1, Place::Visited1Ap2, Place::Visited2, Place::Home];

/// Plays the whole demo and judges it.
pub(super) fn perform(arguments: &Arguments, narrator: &Narrator) -> Result<Report> {
    narrator.say("building 15 boxes and 11 wires in network namespaces");
    let settings = Settings { reverse_tunnel: arguments.reverse_tunnel, ..Settings::new(arguments.fast_path) };
    let mut stage = Deployment::build("demo", &settings)?;
    if let Some(directory) = &arguments.pcap {
        stage.capture(&WIRES, directory)?;
    }
    narrator.say("starting mipd on 3 routers and 4 access points");
    let played = play(&mut stage, arguments, narrator);
    if let Some(directory) = &arguments.logs {
        stage.keep_logs(directory)?;
    }
    stage.stop_captures()?;
    played
}

fn play(stage: &mut Deployment, arguments: &Arguments, narrator: &Narrator) -> Result<Report> {
    stage.agents.start()?;
    narrator.say("every access point has heard the agent on its LAN");
    let traffic = stage.start_traffic()?;
    traffic
        .connection
        .progresses(100_000, TRAFFIC_PATIENCE)?
        .context("the client's TCP connection does not run at home, before any roaming")?;
    narrator.say("the client is at home, its TCP connection runs, and it pings the correspondent every 10 ms");

    let mut shares = Shares::new();
    let mut roams: Vec<Roam> = Vec::new();
    let mut tables = Vec::new();
    for carrier in [Carrier::Lost, Carrier::Kept] {
        narrator.say(match carrier {
            Carrier::Lost => "first walk: the client's link goes down and up at each roam",
            Carrier::Kept => "second walk: the client's link stays up, its ARP cache stays stale",
        });
        for step in WALK.windows(2).map(|pair| Step { from: pair[0], to: pair[1], carrier }) {
            let roam = step.take(stage, &traffic, arguments.reverse_tunnel, &mut shares)?;
            narrator.roam(&roam);
            roams.push(roam);
            if step.to == Place::Visited2 {
                tables = show_all(stage)?;
            }
        }
    }

    let outcome = traffic.connection.finish(TRAFFIC_PATIENCE);
    let tcp = match outcome {
        Ok(outcome) => {
            Tcp { bytes: outcome.bytes_up + outcome.bytes_down, survived: true, intact: outcome.intact, error: None }
        }
        Err(error) => Tcp { bytes: 0, survived: false, intact: false, error: Some(format!("{error:#}")) },
    };
    let data_path = DataPath { interfaces: interfaces(stage)?, shares };
    let verdict = verdict::judge(arguments.fast_path, &roams, &tcp, &data_path.shares);
    Ok(Report {
        machine: Machine::this(),
        fast_path: arguments.fast_path,
        reverse_tunnel: arguments.reverse_tunnel,
        roams,
        tcp,
        data_path,
        tables,
        verdict,
    })
}

fn interfaces(stage: &Deployment) -> Result<Vec<InterfaceUse>> {
    let mut uses = Vec::new();
    for agent in stage.agents.all() {
        for row in data_path::interfaces(agent)? {
            uses.push(InterfaceUse { box_name: agent.host().name().to_owned(), interface: row });
        }
    }
    Ok(uses)
}

/// `mipd show` of each box, as the tables that its roles fill.
fn show_all(stage: &Deployment) -> Result<Vec<BoxTables>> {
    let tables_of = |agent: &crate::agent::Agent| -> Result<BoxTables> {
        let name = agent.host().name();
        let tables: &[&str] = match name {
            "ha" => &["bindings", "tunnels"],
            "fa1" | "fa2" => &["visitors", "tunnels"],
            _ => &["clients", "agents"],
        };
        let show = |table: &&str| Ok(((*table).to_owned(), agent.show_text(table)?));
        Ok(BoxTables { box_name: name.to_owned(), tables: tables.iter().map(show).collect::<Result<_>>()? })
    };
    stage.agents.all().into_iter().map(tables_of).collect()
}
