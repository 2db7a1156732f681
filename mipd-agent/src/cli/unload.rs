//! `mipd unload`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::{Backend, Failure, location};
use crate::{
    control::{Client, ClientError},
    state,
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration of the agent that was stopped
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Forget all registrations, clients and learned home agents, too; key files stay
    #[arg(long)]
    forget: bool,
}

pub(super) fn execute(arguments: &Arguments, backend: &dyn Backend, output: &mut dyn Write) -> Result<(), Failure> {
    let locations = location::locations(arguments.config.as_deref())?;
    let socket = &locations.control_socket;
    match Client::connect(socket) {
        Ok(_) => {
            let message = format!("the agent on {} is still running: stop it first", socket.display());
            return Err(message.into());
        }
        Err(ClientError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    backend.unload(&locations)?;
    let bpffs_dir = locations.bpffs_dir.display();
    writeln!(output, "nothing of the instance pinned below {bpffs_dir} is left on this box")?;
    if arguments.forget {
        state::forget(&locations.state_dir)?;
        writeln!(output, "what was remembered in {} is forgotten", locations.state_dir.display())?;
    }
    Ok(())
}
