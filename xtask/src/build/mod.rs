//! `cargo xtask build`: the kernel programs, then everything that carries or loads them.

mod budgets;
mod report;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use clap::Args;

use budgets::Budgets;

use crate::{
    cargo_messages::{self, Executable},
    setup::{self, Purpose, Route},
    workspace::Workspace,
};

const LITTLE_ENDIAN: &str = "bpfel-unknown-none";

/// Arguments of `cargo xtask build`.
#[derive(Args)]
pub struct Arguments {
    /// Build the agent with optimisation (the kernel programs always are)
    #[arg(long)]
    release: bool,
    /// Build only the kernel programs, for a big-endian board
    #[arg(long)]
    big_endian: bool,
    /// The board's processor, as Rust names it, if it is not this machine's; builds only the kernel programs
    #[arg(long)]
    arch: Option<String>,
}

/// The objects that are loaded into the kernel.
pub struct Kernel {
    programs: PathBuf,
    bench: Option<PathBuf>,
}

/// How the agent and everything around it are compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Fast to compile.
    Debug,
    /// Fast to run.
    Release,
}

impl Profile {
    /// Cargo's option for it.
    pub fn apply(self, cargo: &mut Command) {
        if self == Self::Release {
            cargo.arg("--release");
        }
    }
}

/// Which kernel the programs are for.
struct Board<'a> {
    target: &'static str,
    arch: &'a str,
}

/// `cargo xtask build`.
pub fn main(workspace: &Workspace, arguments: &Arguments, route: Option<Route>) -> Result<()> {
    setup::ensure(workspace, Purpose::Build, route)?;
    if arguments.big_endian || arguments.arch.is_some() {
        let target = if arguments.big_endian { "bpfeb-unknown-none" } else { LITTLE_ENDIAN };
        let board = Board { target, arch: arguments.arch.as_deref().unwrap_or(env::consts::ARCH) };
        let kernel = compile(workspace, &board, route)?;
        kernel.report(workspace)
    } else {
        let kernel = kernel(workspace, route)?;
        kernel.report(workspace)?;
        let profile = if arguments.release { Profile::Release } else { Profile::Debug };
        let mipd = agent(workspace, &kernel, profile)?;
        println!("{}", mipd.display());
        Ok(())
    }
}

/// The kernel programs for this machine. The tools have to be here: [`setup::ensure`].
pub fn kernel(workspace: &Workspace, route: Option<Route>) -> Result<Kernel> {
    compile(workspace, &Board { target: LITTLE_ENDIAN, arch: env::consts::ARCH }, route)
}

/// The binary `mipd`.
pub fn agent(workspace: &Workspace, kernel: &Kernel, profile: Profile) -> Result<PathBuf> {
    find(&binaries(workspace, kernel, profile, &["mipd-agent"], &["mipd"])?, "mipd")
}

/// The binary `mipd`, and one that runs it on the lab's networks. Together, so that what both need is compiled once.
pub fn agent_and_lab(
    workspace: &Workspace,
    kernel: &Kernel,
    profile: Profile,
    name: &str,
) -> Result<(PathBuf, PathBuf)> {
    let built = binaries(workspace, kernel, profile, &["mipd-agent", "mipd-tests"], &["mipd", name])?;
    Ok((find(&built, "mipd")?, find(&built, name)?))
}

fn binaries(
    workspace: &Workspace,
    kernel: &Kernel,
    profile: Profile,
    packages: &[&str],
    names: &[&str],
) -> Result<Vec<Executable>> {
    let mut cargo = workspace.cargo();
    cargo.arg("build");
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    cargo.args(names.iter().flat_map(|name| ["--bin", name]));
    profile.apply(&mut cargo);
    kernel.export(&mut cargo);
    cargo_messages::executables(&mut cargo)
}

fn find(built: &[Executable], name: &str) -> Result<PathBuf> {
    let binary = built.iter().find(|executable| executable.name == name && executable.kind == "bin");
    binary.map(|binary| binary.path.clone()).with_context(|| format!("there is no binary {name}"))
}

impl Kernel {
    /// Compiles the programs for measurements as well.
    pub fn with_bench(self, workspace: &Workspace, route: Option<Route>) -> Result<Self> {
        let board = Board { target: LITTLE_ENDIAN, arch: env::consts::ARCH };
        let bench = object(workspace, &board, route, "ebpf-bench", &["--features", "bench"])?;
        Ok(Self { bench: Some(bench), ..self })
    }

    /// Tells a command where the objects are.
    pub fn export(&self, command: &mut Command) {
        command.env("MIPD_EBPF_OBJECT", &self.programs);
        if let Some(bench) = &self.bench {
            command.env("MIPD_BENCH_OBJECT", bench);
        }
    }

    /// Prints each program's size, and refuses what exceeds its budget.
    pub fn report(&self, workspace: &Workspace) -> Result<()> {
        let object = &self.programs;
        let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
        println!("{}", object.display());
        let programs = report::programs(&bytes).with_context(|| format!("cannot parse {}", object.display()))?;
        for program in &programs {
            println!("{program}");
        }
        Budgets::read(&workspace.root)?.check(&programs)
    }
}

fn compile(workspace: &Workspace, board: &Board<'_>, route: Option<Route>) -> Result<Kernel> {
    Ok(Kernel { programs: object(workspace, board, route, "ebpf", &[])?, bench: None })
}

fn object(
    workspace: &Workspace,
    board: &Board<'_>,
    route: Option<Route>,
    directory: &str,
    features: &[&str],
) -> Result<PathBuf> {
    let (compiler, linker) = setup::tools(route)?;
    let mut cargo = compiler.cargo(workspace.cargo());
    cargo.args(["--release", "--package", "mipd-ebpf", "--target", board.target]).args(features);
    cargo.arg("--target-dir").arg(workspace.target.join(directory));
    let mut flags = flags(board.arch, &linker);
    flags.extend(compiler.flags());
    // The encoded form allows spaces in paths, and hides RUSTFLAGS that are meant for this machine's programs.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    let built = cargo_messages::executables(&mut cargo).context("the kernel programs were not built")?;
    let found = built.into_iter().find(|executable| executable.name == "mipd-ebpf");
    Ok(found.context("package mipd-ebpf has no binary mipd-ebpf")?.path)
}

fn flags(arch: &str, linker: &Path) -> Vec<String> {
    // aya's bindings know one 64-bit RISC-V, Rust several.
    let arch = if arch.starts_with("riscv64") { "riscv64" } else { arch };
    vec![
        "--cfg".to_owned(),
        format!("bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
    ]
}

/// Prints a heading before work that takes long, so that nobody wonders.
pub fn announce(what: &str) {
    println!("== {what}");
}

/// Programs built here, for a command that runs them: the objects and `mipd` itself.
pub fn export(command: &mut Command, kernel: &Kernel, mipd: &Path) {
    kernel.export(command);
    command.env("MIPD_BINARY", mipd);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_riscv64_is_one_for_the_kernel_programs() {
        let linker = Path::new("/x y/bpf-linker");
        let flags = flags("riscv64gc", linker);
        assert_eq!(flags[1], "bpf_target_arch=\"riscv64\"");
        assert!(flags.contains(&"-Clinker=/x y/bpf-linker".to_owned()));
    }
}
