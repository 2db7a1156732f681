//! The command line: one file per command, `check` in a directory of its own.
//!
//! * `backend`: what the commands need of the rest of the agent; `location`: where the running agent is reached;
//! * `table`: reports as text.
//!
//! Commands that reach into the kernel do so through [`Backend`], so that everything here works, and is tested, without
//! one. Exit codes: 0 done, 1 refused or failed, 2 usage.

mod backend;
mod check;
mod clear;
mod deregister;
mod load;
mod location;
mod pause;
mod run;
mod show;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod unload;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};

pub use self::{
    backend::Backend,
    check::finding::{Finding, Severity},
};

/// Why a command failed: one line, what and what to do.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Proxy Mobile IP: clients keep their address and connections in every subnet.
#[derive(Parser)]
#[command(name = "mipd", version, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "\
The configuration is /etc/mipd/mipd.toml unless --config names another; docs/configuration.md describes it.
Exit codes: 0 done, 1 refused or failed, 2 usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent, in the foreground
    Run(run::Arguments),
    /// Load and attach the kernel programs without running the agent
    Load(load::Arguments),
    /// Validate the configuration, and explain what the agent will do on this box
    Check(check::Arguments),
    /// Show a table of the running agent, or of the pinned maps
    Show(show::Arguments),
    /// Tell what happened to one client, step by step
    Trace(trace::Arguments),
    /// End the registration of a home address
    Deregister(deregister::Arguments),
    /// Take no further clients; those served stay so (access point)
    Pause(pause::Arguments),
    /// Take clients again after `pause`
    Resume(pause::Arguments),
    /// Forget what was learned, to learn it anew
    Clear(clear::Arguments),
    /// Remove everything a stopped agent left: programs, maps, routes, devices, settings
    Unload(unload::Arguments),
}

/// Runs the command line of this process.
pub fn main(backend: &dyn Backend) -> ExitCode {
    let mut output = io::BufWriter::new(UntilClosed(io::stdout().lock()));
    execute(std::env::args_os(), backend, &mut output, &mut io::stderr())
}

/// Swallows what a reader that has seen enough (`mipd show … | head`) does not read: that is no error.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Runs one command line, program name first.
fn execute(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    backend: &dyn Backend,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return misused(&error, output, errors),
    };
    let result = match cli.command {
        Command::Run(arguments) => run::execute(&arguments, backend),
        Command::Load(arguments) => load::execute(&arguments, backend, output),
        Command::Check(arguments) => check::execute(&arguments, backend, output),
        Command::Show(arguments) => show::execute(&arguments, backend, output),
        Command::Trace(arguments) => trace::execute(&arguments, output),
        Command::Deregister(arguments) => deregister::execute(&arguments, output),
        Command::Pause(arguments) => pause::execute(&arguments, pause::Switch::Pause, output),
        Command::Resume(arguments) => pause::execute(&arguments, pause::Switch::Resume, output),
        Command::Clear(arguments) => clear::execute(&arguments, output),
        Command::Unload(arguments) => unload::execute(&arguments, backend, output),
    };
    // The complaint may refer to what was printed.
    let flushed = output.flush().map_err(|error| format!("cannot write: {error}").into());
    match result.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(&failure.to_string(), 1, errors),
    }
}

/// Help and version go out as they are, everything else becomes one line.
fn misused(error: &clap::Error, output: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&format!("cannot write: {error}"), 1, errors),
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // There is nowhere left to say that standard error is closed.
            let _ = errors.write_all(text.as_bytes());
            ExitCode::from(2)
        }
        _ => {
            let message: Vec<&str> = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
                .filter(|line| !line.is_empty())
                .map(|line| line.trim_start_matches("error: "))
                .collect();
            complain(&format!("{}; see `mipd --help`", message.join("; ").replace(":; ", ": ")), 2, errors)
        }
    }
}

fn complain(message: &str, code: u8, errors: &mut dyn Write) -> ExitCode {
    let line = message.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(errors, "mipd: {line}");
    ExitCode::from(code)
}
