//! Making a machine able to build, demonstrate and test mipd: plan, ask, install what is missing.

mod bpf_linker;
mod distribution;
mod packages;
mod plan;
mod python;
mod toolchain;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

pub use python::packages as python_packages;
pub use toolchain::{Compiler, Route};

use crate::{command, workspace::Workspace};
use distribution::Distribution;
use plan::{Facts, Step};

/// The oldest rustc, major and minor, that compiles the agent; also `rust-version` in `Cargo.toml`.
pub const MINIMUM_RUSTC: (u32, u32) = (1, 95);

/// What a machine is to be made fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// Building mipd and its kernel programs.
    Build,
    /// Building, and running the demo.
    Demo,
    /// Building, and running all tests.
    Test,
    /// Building, and checking format and lints.
    Lint,
    /// Fuzzing.
    Fuzz,
    /// Running tests under other kernels, in QEMU.
    Kernels,
    /// Running Wi-Fi tests under other kernels, in QEMU.
    Wifi,
    /// All of these.
    All,
}

impl Purpose {
    fn demonstrates(self) -> bool {
        matches!(self, Self::Demo | Self::Test | Self::All)
    }

    fn tests(self) -> bool {
        matches!(self, Self::Test | Self::All)
    }

    fn boots(self) -> bool {
        matches!(self, Self::Kernels | Self::Wifi | Self::All)
    }

    fn simulates_radios(self) -> bool {
        matches!(self, Self::Wifi | Self::All)
    }

    fn lints(self) -> bool {
        matches!(self, Self::Lint | Self::All)
    }

    fn fuzzes(self) -> bool {
        matches!(self, Self::Fuzz | Self::All)
    }
}

/// Arguments of `cargo xtask setup`.
#[derive(Args)]
pub struct Arguments {
    /// Go ahead without asking
    #[arg(long, short)]
    yes: bool,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What the machine is wanted for
    #[arg(long = "for", value_enum, default_value_t = Purpose::All)]
    purpose: Purpose,
}

/// `cargo xtask setup`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    let steps = decide(arguments.purpose, route)?;
    if steps.is_empty() {
        println!("nothing to do: everything is here");
        return Ok(());
    }
    announce(&steps);
    if arguments.dry_run {
        return Ok(());
    }
    agree(arguments.yes)?;
    install(workspace, steps, route)?;
    println!("set-up is complete");
    Ok(())
}

/// Installs what another verb needs and lacks; says and asks nothing when all is there.
pub fn ensure(workspace: &Workspace, purpose: Purpose, route: Option<Route>) -> Result<()> {
    let steps = decide(purpose, route)?;
    if steps.is_empty() {
        return Ok(());
    }
    announce(&steps);
    agree(false)?;
    install(workspace, steps, route)
}

/// What Debian's archive calls the release on this machine, if that is Debian.
pub fn debian_codename() -> Option<String> {
    Distribution::here().debian_codename().map(str::to_owned)
}

/// The compiler and the linker of the kernel programs, both there after [`ensure`].
pub fn tools(route: Option<Route>) -> Result<(Compiler, PathBuf)> {
    match (Compiler::find(route)?, bpf_linker::find()?) {
        (Some(compiler), Ok(linker)) => Ok((compiler, linker)),
        (None, _) => bail!("no compiler for the kernel programs: run `cargo xtask setup`"),
        (_, Err(why)) => bail!("no bpf-linker: {why}; run `cargo xtask setup`"),
    }
}

fn decide(purpose: Purpose, route: Option<Route>) -> Result<Vec<Step>> {
    let facts = Facts::gather(purpose, route)?;
    plan::decide(&facts, route).map_err(anyhow::Error::msg)
}

fn announce(steps: &[Step]) {
    println!("This machine lacks:");
    for step in steps {
        println!("{step}");
    }
}

/// Asks once if a person is there to answer.
fn agree(yes: bool) -> Result<()> {
    if yes || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(());
    }
    print!("Install that now? [Y/n] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "" | "y" | "yes" if answer.ends_with('\n') => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

fn install(workspace: &Workspace, steps: Vec<Step>, route: Option<Route>) -> Result<()> {
    for step in steps {
        match step {
            Step::Packages(packages) => packages::install(&packages)?,
            Step::Components(components) => {
                command::run(
                    Command::new("rustup").args(["component", "add"]).args(components).current_dir(&workspace.root),
                )?;
            }
            Step::Nightly { fallback } => match toolchain::install_nightly() {
                Err(error) if fallback => {
                    eprintln!("{error:#}; taking Debian's compiler instead");
                    toolchain::unpack_debian()?;
                }
                result => result?,
            },
            Step::Unpacked => toolchain::unpack_debian()?,
            // Everything else works without them, and the tests that need them say so.
            Step::Guests(packages) => {
                if let Err(error) = packages::install(&packages) {
                    eprintln!("{error:#}; going on without: there can be no tests under other kernels");
                }
            }
            // Everything else works without it, and its tests say that they were skipped.
            Step::Scapy => match python::install() {
                Ok(()) => println!("Scapy is in {}", python::packages()?.display()),
                Err(error) => eprintln!("{error:#}; going on without Scapy: tests that need it skip themselves"),
            },
            Step::Linker(_) => {
                let Some(compiler) = Compiler::find(route)? else {
                    bail!("the compiler of the kernel programs is gone")
                };
                let linker = bpf_linker::install(workspace, &compiler)?;
                println!("bpf-linker is {}", linker.display());
            }
        }
    }
    Ok(())
}
