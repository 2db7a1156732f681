//! `mipd run`

use std::{io, path::PathBuf};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{Backend, Failure};
use crate::config::{Config, DEFAULT_PATH};

#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

pub(super) fn execute(arguments: &Arguments, backend: &dyn Backend) -> Result<(), Failure> {
    let config = Config::load(&arguments.config)?;
    let filter = EnvFilter::try_new(&config.agent.log)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init()?;
    backend.run(config)
}
