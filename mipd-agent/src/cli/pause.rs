//! `mipd pause` and `mipd resume`

use std::io::Write;

use clap::Args;

use super::{Failure, location};
use crate::control::Request;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: location::Agent,
}

#[derive(Clone, Copy)]
pub(super) enum Switch {
    Pause,
    Resume,
}

pub(super) fn execute(arguments: &Arguments, switch: Switch, output: &mut dyn Write) -> Result<(), Failure> {
    let request = match switch {
        Switch::Pause => Request::Pause,
        Switch::Resume => Request::Resume,
    };
    let message = arguments.agent.order(&request)?;
    Ok(writeln!(output, "{message}")?)
}
