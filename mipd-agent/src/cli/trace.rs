//! `mipd trace`

use std::io::Write;

use clap::Args;

use super::{Failure, location, table};
use crate::control::{
    Client, Request, Response,
    trace::{Subject, TraceStep},
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Ethernet address of a station, or home address of a client
    #[arg(value_name = "MAC|ADDRESS")]
    client: Subject,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: location::Agent,
}

pub(super) fn execute(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Failure> {
    let request = Request::Trace { client: arguments.client };
    let steps = match Client::connect(&arguments.agent.socket()?)?.request(&request)? {
        Response::Trace { steps } => steps,
        Response::Refused { message } => return Err(message.into()),
        _ => return Err("the agent answered with something else: is it of another version?".into()),
    };
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &steps).map_err(std::io::Error::from)?;
        Ok(writeln!(output)?)
    } else {
        Ok(writeln!(
            output,
            "{}",
            table::columns(&["TIME", "CLIENT", "ROLE", "WHAT HAPPENED"], steps.iter().map(cells))
        )?)
    }
}

fn cells(step: &TraceStep) -> Vec<String> {
    let address = step.home_address.map(|address| address.to_string());
    let client = step.mac.clone().or(address).unwrap_or_else(|| "-".into());
    vec![step.time.clone(), client, step.role.replace('_', " "), step.text.clone()]
}
