//! `mipd load`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::{Backend, Failure, table};
use crate::{
    config::{Config, DEFAULT_PATH},
    control::Report,
};

#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Only this interface of the configuration; may be repeated
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
}

pub(super) fn execute(arguments: &Arguments, backend: &dyn Backend, output: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let report = Report::Interfaces(backend.load(&config, &arguments.interface)?);
    writeln!(output, "{}", table::render(&report))?;
    Ok(())
}
