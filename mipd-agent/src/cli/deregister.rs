//! `mipd deregister`

use std::{io::Write, net::Ipv4Addr};

use clap::Args;

use super::{Failure, location};
use crate::control::Request;

#[derive(Args)]
pub(super) struct Arguments {
    /// Home address whose binding, visitor entry or client entry is to end
    address: Ipv4Addr,
    #[command(flatten)]
    agent: location::Agent,
}

pub(super) fn execute(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Failure> {
    let message = arguments.agent.order(&Request::Deregister { address: arguments.address })?;
    Ok(writeln!(output, "{message}")?)
}
