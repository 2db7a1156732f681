//! `mipd clear`

use std::io::Write;

use clap::{Args, ValueEnum};

use super::{Failure, location};
use crate::control::Request;

#[derive(Args)]
pub(super) struct Arguments {
    /// What to forget
    #[arg(value_enum, value_name = "TABLE")]
    what: Clearable,
    #[command(flatten)]
    agent: location::Agent,
}

#[derive(Clone, Copy, ValueEnum)]
enum Clearable {
    /// Home agents by subnet, the configured ones excepted (access point). To build the map anew, clear it on every access
    /// point: each one gets back what another one still has
    SubnetMap,
}

pub(super) fn execute(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Failure> {
    let request = match arguments.what {
        Clearable::SubnetMap => Request::ClearSubnetMap,
    };
    let message = arguments.agent.order(&request)?;
    Ok(writeln!(output, "{message}")?)
}
