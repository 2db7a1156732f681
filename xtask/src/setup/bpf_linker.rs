//! `bpf-linker`, which turns LLVM bitcode into a BPF object. Its LLVM must not be older than the compiler's.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use object::{
    elf,
    read::{ReadCache, ReadRef},
};

use super::toolchain::Compiler;
use crate::{
    command,
    workspace::{self, Workspace},
};

/// The version that fits the compilers and aya.
pub const VERSION: &str = "0.13.0";
const MINIMUM: (u32, u32) = (0, 13);
/// LLVM of the compilers of both routes.
pub const MINIMUM_LLVM: u32 = 22;
/// The newest LLVM that bpf-linker 0.13 has bindings for.
const NEWEST_LLVM: u32 = 23;
/// The prebuilt linker is one download of some 40 MB.
const BINSTALL_LIMIT: Duration = Duration::from_secs(120);
/// Compiling takes a minute on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);

/// A linker that is good enough, or why there is none.
pub fn find() -> Result<Result<PathBuf, String>> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let candidates = command::find("bpf-linker")
        .into_iter()
        .chain(cargo_home.map(|home| home.join("bin/bpf-linker")))
        .chain([tools()?.join("bin/bpf-linker")]);
    let mut reason = "there is none yet".to_owned();
    for candidate in candidates.filter(|path| command::is_executable(path)) {
        match unfit(&candidate) {
            None => return Ok(Ok(candidate)),
            Some(why) => reason = format!("{} {why}", candidate.display()),
        }
    }
    Ok(Err(reason))
}

/// Where a linker goes that we install: not into cargo's own directory, where another version may serve somebody else.
fn tools() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("tools"))
}

fn unfit(linker: &Path) -> Option<String> {
    let Ok(output) = command::capture(Command::new(linker).arg("--version")) else {
        return Some("does not start".to_owned());
    };
    match version(&output) {
        Some(found) if found >= MINIMUM => {}
        Some(found) => return Some(format!("is version {}.{}, older than {VERSION}", found.0, found.1)),
        None => return Some("does not tell its version".to_owned()),
    }
    match linked_llvm(linker) {
        Some(llvm) if llvm < MINIMUM_LLVM => {
            Some(format!("uses LLVM {llvm}, older than the compiler's {MINIMUM_LLVM}"))
        }
        // A static one has the LLVM that its release was made for, which is 22 or 23 for 0.13.
        _ => None,
    }
}

/// Major and minor version from `bpf-linker 0.13.0`.
fn version(output: &str) -> Option<(u32, u32)> {
    let mut numbers = output.trim().strip_prefix("bpf-linker ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The LLVM shared library that a program is linked with.
fn linked_llvm(program: &Path) -> Option<u32> {
    let cache = ReadCache::new(File::open(program).ok()?);
    needed(&cache)?.iter().find_map(|library| llvm_major(library))
}

/// The shared libraries that a 64-bit ELF program names.
fn needed<'data, R: ReadRef<'data>>(data: R) -> Option<Vec<String>> {
    use object::read::elf::{Dyn as _, FileHeader as _};
    let header = elf::FileHeader64::<object::Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (entries, strings) = sections.dynamic(endian, data).ok()??;
    let strings = sections.strings(endian, data, strings).ok()?;
    let names = entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED);
    Some(
        names
            .filter_map(|entry| Some(String::from_utf8_lossy(entry.string(endian, strings).ok()?).into_owned()))
            .collect(),
    )
}

/// `22` of `libLLVM.so.22.1`, `libLLVM.so.22.1-rust-1.97.0-nightly` or `libLLVM-22.so`.
fn llvm_major(library: &str) -> Option<u32> {
    let rest = library.strip_prefix("libLLVM.so.").or_else(|| library.strip_prefix("libLLVM-"))?;
    rest.split(['.', '-', '_']).next()?.parse().ok()
}

/// An LLVM shared library to link with.
#[derive(Debug, PartialEq, Eq)]
pub struct Llvm {
    library: PathBuf,
    major: u32,
}

impl Llvm {
    /// The compiler's own LLVM if it is a shared library, else a system library that is new enough.
    pub fn find(compiler: Option<&Compiler>) -> Option<Self> {
        let mut directories = compiler.map(Compiler::library_directories).unwrap_or_default();
        directories
            .extend((MINIMUM_LLVM..=NEWEST_LLVM).map(|major| PathBuf::from(format!("/usr/lib/llvm-{major}/lib"))));
        directories.push(PathBuf::from(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH)));
        directories.extend(["/usr/lib64", "/usr/lib"].map(PathBuf::from));
        directories.iter().find_map(|directory| Self::within(directory))
    }

    fn within(directory: &Path) -> Option<Self> {
        let names = fs::read_dir(directory).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        // `libLLVM-22-rust-….so` is a linker script: only names that are also what the dynamic loader looks for.
        let libraries = names.filter(|name| name.starts_with("libLLVM.so."));
        let fitting = libraries.filter_map(|name| {
            let major = llvm_major(&name)?;
            let library = fs::canonicalize(directory.join(&name)).ok()?;
            (MINIMUM_LLVM..=NEWEST_LLVM).contains(&major).then_some((name, Self { library, major }))
        });
        fitting.min_by(|one, other| one.0.len().cmp(&other.0.len()).reverse()).map(|(_, llvm)| llvm)
    }
}

/// Installs a linker: prebuilt if `cargo binstall` is there and its host answers, else compiled.
pub fn install(workspace: &Workspace, compiler: &Compiler) -> Result<PathBuf> {
    let linker = tools()?.join("bin/bpf-linker");
    if command::find("cargo-binstall").is_some() {
        let mut binstall = command::limited(BINSTALL_LIMIT, "cargo-binstall");
        binstall.args(["--no-confirm", "--disable-strategies", "compile", "--root"]).arg(tools()?);
        binstall.arg(format!("bpf-linker@{VERSION}"));
        match command::run(&mut binstall) {
            Ok(()) if unfit(&linker).is_none() => return Ok(linker),
            Ok(()) => eprintln!("the prebuilt bpf-linker does not fit, compiling it instead"),
            Err(error) => eprintln!("{error:#}; compiling bpf-linker instead"),
        }
    }
    let llvm = Llvm::find(Some(compiler)).with_context(|| {
        format!(
            "bpf-linker needs an LLVM {MINIMUM_LLVM} or {NEWEST_LLVM} shared library and there is none: install rustup from \
             https://rustup.rs (its compiler brings one), or the package libllvm{MINIMUM_LLVM}"
        )
    })?;
    compile(workspace, &llvm)?;
    match unfit(&linker) {
        None => Ok(linker),
        Some(why) => bail!("{}, just compiled, {why}", linker.display()),
    }
}

/// `bpf-linker`'s build looks for `PREFIX/lib/libLLVM.so` and the result loads the library from that directory, by the
/// library's own name: two links serve both, and no development package is needed.
fn compile(workspace: &Workspace, llvm: &Llvm) -> Result<()> {
    let prefix = workspace::cache()?.join(format!("llvm-{}", llvm.major));
    let directory = prefix.join("lib");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let own_name = llvm.library.file_name().context("an LLVM library without a name")?;
    for name in [Path::new("libLLVM.so"), Path::new(own_name)] {
        let link = directory.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
        }
        symlink(&llvm.library, &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    let cargo = workspace.cargo();
    let mut install = command::limited(BUILD_LIMIT, cargo.get_program());
    install.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--quiet"]);
    install.args(["--no-default-features", "--features", &format!("llvm-{}", llvm.major)]);
    install.arg("--root").arg(tools()?).env("LLVM_PREFIX", &prefix);
    let build = workspace.target.join("bpf-linker");
    install.arg("--target-dir").arg(&build);
    command::run(&mut install)?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_library_is_in_its_name() {
        assert_eq!(llvm_major("libLLVM.so.22.1"), Some(22));
        assert_eq!(llvm_major("libLLVM.so.22.1-rust-1.97.0-nightly"), Some(22));
        assert_eq!(llvm_major("libLLVM-14.so.1"), Some(14));
        assert_eq!(llvm_major("libc.so.6"), None);
    }

    #[test]
    fn the_version_is_read() {
        assert_eq!(version("bpf-linker 0.13.0\n"), Some((0, 13)));
        assert_eq!(version("bpf-linker"), None);
    }

    #[test]
    fn libraries_of_a_program_are_read_from_its_dynamic_section() {
        let cache = ReadCache::new(File::open(env::current_exe().unwrap()).unwrap());
        let libraries = needed(&cache).unwrap();
        assert!(libraries.iter().any(|library| library.starts_with("libc.so")), "{libraries:?}");
    }
}
