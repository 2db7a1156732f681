//! Which agent a command is about.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::Failure;
use crate::{
    config::{ConfigError, DEFAULT_PATH, Locations},
    control::{Client, Request, Response},
};

/// The running agent a command talks to.
#[derive(Args)]
pub(super) struct Agent {
    /// Configuration of the agent
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket of the agent
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

impl Agent {
    /// The agent's control socket.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(locations(self.config.as_deref())?.control_socket),
        }
    }

    /// Asks the agent to do something and gives its word for it.
    pub fn order(&self, request: &Request) -> Result<String, Failure> {
        match Client::connect(&self.socket()?)?.request(request)? {
            Response::Done { message } => Ok(message),
            Response::Refused { message } => Err(message.into()),
            Response::Report(_) | Response::Trace { .. } => {
                Err("the agent answered with a table: is it of another version?".into())
            }
        }
    }
}

/// The paths in `config`. Without the option, a default file that is absent, or not for this user, means the defaults.
pub(super) fn locations(config: Option<&Path>) -> Result<Locations, ConfigError> {
    match config {
        Some(file) => Locations::read(file),
        None => match Locations::read(Path::new(DEFAULT_PATH)) {
            Err(ConfigError::Unreadable { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                Ok(Locations::default())
            }
            other => other,
        },
    }
}
