//! What is missing, and what follows from it. Deciding changes nothing.

use std::{fmt, process::Command};

use anyhow::Result;

use super::{
    MINIMUM_RUSTC, Purpose, bpf_linker,
    distribution::Distribution,
    packages::{self, Package},
    python,
    toolchain::{self, Compiler, Route},
};
use crate::command;

/// What was found on this machine.
pub struct Facts {
    /// Whose packages could be installed.
    pub distribution: Distribution,
    /// The compiler of user space: major and minor version.
    pub rustc: Option<(u32, u32)>,
    /// Whether toolchains can be installed by rustup.
    pub rustup: bool,
    /// Whether packages can be installed at all.
    pub root: bool,
    /// Whether a compiler for the kernel programs is here.
    pub compiler: bool,
    /// Why bpf-linker has to be installed, if it has to.
    pub linker: Option<String>,
    /// Packages whose programs are missing.
    pub packages: Vec<Package>,
    /// Packages of programs that are missing and that run other kernels.
    pub guests: Vec<Package>,
    /// Parts of the user-space toolchain that are missing.
    pub components: Vec<&'static str>,
    /// Whether Scapy is wanted and missing.
    pub scapy: bool,
}

impl Facts {
    /// Looks around.
    pub fn gather(purpose: Purpose, route: Option<Route>) -> Result<Self> {
        let rustc = command::capture(Command::new("rustc").arg("-V")).ok();
        Ok(Self {
            distribution: Distribution::here(),
            rustc: rustc.as_deref().and_then(toolchain::rustc_version),
            rustup: command::find("rustup").is_some(),
            root: command::can_elevate(),
            compiler: Compiler::find(route)?.is_some(),
            linker: bpf_linker::find()?.err(),
            packages: packages::missing(purpose),
            guests: packages::missing_of_guests(purpose),
            components: if purpose.lints() { missing_components() } else { Vec::new() },
            scapy: purpose.tests() && !python::is_here()?,
        })
    }
}

fn missing_components() -> Vec<&'static str> {
    let works = |tool: &str| command::capture(Command::new("cargo").args([tool, "--version"])).is_ok();
    [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, tool)| !works(tool))
        .map(|(name, _)| name)
        .collect()
}

/// One thing to install.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// From the distribution, as root.
    Packages(Vec<Package>),
    /// From the distribution, as root, if they can be had.
    Guests(Vec<Package>),
    /// Parts of the user-space toolchain.
    Components(Vec<&'static str>),
    /// The kernel programs' compiler, by rustup.
    Nightly {
        /// Whether the other route can be taken when the download fails.
        fallback: bool,
    },
    /// The kernel programs' compiler, from Debian's packages.
    Unpacked,
    /// The kernel programs' linker.
    Linker(String),
    /// The tests' second implementation of the messages.
    Scapy,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(packages) | Self::Guests(packages) => {
                for package in packages {
                    writeln!(f, "  * package {}: {}", package.name, package.purpose)?;
                }
                let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
                write!(f, "      as root: {} (daemons stay stopped)", packages::command_line(&names))
            }
            Self::Components(components) => write!(
                f,
                "  * {}: the check of formatting and lints\n      rustup component add {}",
                components.join(" and "),
                components.join(" ")
            ),
            Self::Nightly { fallback } => {
                write!(
                    f,
                    "  * Rust {}: compiles the kernel programs; your default toolchain stays as it is\n      rustup {}",
                    toolchain::NIGHTLY,
                    toolchain::INSTALL_NIGHTLY.join(" ")
                )?;
                if *fallback {
                    write!(f, "\n      if that fails: Debian's rustc-web, unpacked into the cache, not installed")?;
                }
                Ok(())
            }
            Self::Unpacked => write!(
                f,
                "  * Debian's rustc-web: compiles the kernel programs\n      apt-get download, then unpacked into the cache; \
                 not installed, so it disturbs no other compiler; only libllvm, which it needs, is installed"
            ),
            Self::Linker(why) => write!(
                f,
                "  * bpf-linker {}: links the kernel programs; {why}\n      cargo binstall if that is here, else compiled \
                 (a minute or two), into the cache",
                bpf_linker::VERSION
            ),
            Self::Scapy => write!(
                f,
                "  * Scapy {}: builds and decodes messages in tests, as a second opinion\n      pip install --target, into the \
                 cache; the system's Python stays as it is. Without it those tests are skipped",
                python::VERSION
            ),
        }
    }
}

/// The steps, in order; none if all is there. An error says what a person has to install.
pub fn decide(facts: &Facts, route: Option<Route>) -> Result<Vec<Step>, String> {
    match facts.rustc {
        Some(version) if version >= MINIMUM_RUSTC => {}
        Some((major, minor)) => return Err(old_compiler(&format!("This is rustc {major}.{minor}"))),
        None => return Err(old_compiler("There is no rustc in PATH")),
    }
    let known = facts.distribution.is_known();
    let mut steps = Vec::new();
    if !facts.packages.is_empty() {
        if !known {
            return Err(unknown_distribution(facts));
        }
        if !facts.root {
            let names: Vec<_> = facts.packages.iter().map(|package| package.name.as_str()).collect();
            return Err(format!(
                "Packages are missing, and this is neither root nor is there sudo. As root, run:\n  {}",
                packages::command_line(&names)
            ));
        }
        steps.push(Step::Packages(facts.packages.clone()));
    }
    // Whoever cannot install them goes without.
    if !facts.guests.is_empty() && known && facts.root {
        steps.push(Step::Guests(facts.guests.clone()));
    }
    if !facts.components.is_empty() {
        if !facts.rustup {
            return Err(format!(
                "Your Rust lacks {}: install it from where you have Rust.",
                facts.components.join(" and ")
            ));
        }
        steps.push(Step::Components(facts.components.clone()));
    }
    if !facts.compiler {
        steps.push(match route {
            Some(Route::Rustup) | None if facts.rustup => Step::Nightly { fallback: known && route.is_none() },
            Some(Route::Debian) | None if known => Step::Unpacked,
            Some(Route::Rustup) => return Err("rustup is not here: install it from https://rustup.rs".to_owned()),
            _ => return Err(unknown_distribution(facts)),
        });
    }
    if let Some(why) = &facts.linker {
        steps.push(Step::Linker(why.clone()));
    }
    if facts.scapy {
        steps.push(Step::Scapy);
    }
    Ok(steps)
}

fn old_compiler(found: &str) -> String {
    let (major, minor) = MINIMUM_RUSTC;
    format!(
        "{found}; mipd needs {major}.{minor} or newer. Install it with rustup (https://rustup.rs):\n  \
         curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- --profile minimal --component rustfmt --component clippy\n\
         or, where rustup is already:\n  rustup update stable"
    )
}

fn unknown_distribution(facts: &Facts) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "I can install packages on Debian 12 and Ubuntu 24.04, and newer; this is {}. Please install yourself:",
        facts.distribution
    );
    for package in &facts.packages {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  * what Debian calls {}: {}", package.name, package.purpose);
    }
    if !facts.compiler && !facts.rustup {
        let _ = write!(text, "\n  * rustup (https://rustup.rs), which brings the compiler of the kernel programs");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Facts {
        Facts {
            distribution: Distribution::parse("ID=debian\nVERSION_ID=12\n"),
            rustc: Some((1, 95)),
            rustup: true,
            root: true,
            compiler: true,
            linker: None,
            packages: Vec::new(),
            guests: Vec::new(),
            components: Vec::new(),
            scapy: false,
        }
    }

    fn tshark() -> Vec<Package> {
        vec![Package { name: "tshark".to_owned(), purpose: "decodes" }]
    }

    fn elsewhere() -> Distribution {
        Distribution::parse("ID=fedora\nPRETTY_NAME=\"Fedora Linux 44\"\nVERSION_ID=44\n")
    }

    #[test]
    fn a_complete_machine_needs_nothing() {
        assert_eq!(decide(&debian(), None), Ok(Vec::new()));
    }

    #[test]
    fn a_fresh_debian_gets_packages_first_and_the_linker_after_the_compiler() {
        let facts = Facts {
            compiler: false,
            linker: Some("none".to_owned()),
            packages: tshark(),
            components: vec!["clippy"],
            scapy: true,
            ..debian()
        };
        let steps = decide(&facts, None).unwrap();
        assert_eq!(
            steps,
            [
                Step::Packages(tshark()),
                Step::Components(vec!["clippy"]),
                Step::Nightly { fallback: true },
                Step::Linker("none".to_owned()),
                Step::Scapy
            ]
        );
    }

    #[test]
    fn without_rustup_the_compiler_comes_from_debian() {
        let facts = Facts { compiler: false, rustup: false, ..debian() };
        assert_eq!(decide(&facts, None), Ok(vec![Step::Unpacked]));
    }

    #[test]
    fn a_forced_route_has_no_fallback() {
        let facts = Facts { compiler: false, ..debian() };
        assert_eq!(decide(&facts, Some(Route::Rustup)), Ok(vec![Step::Nightly { fallback: false }]));
        assert_eq!(decide(&facts, Some(Route::Debian)), Ok(vec![Step::Unpacked]));
        let facts = Facts { compiler: false, rustup: false, ..debian() };
        assert!(decide(&facts, Some(Route::Rustup)).unwrap_err().contains("rustup.rs"));
    }

    #[test]
    fn an_unknown_distribution_with_rustup_and_programs_is_good_enough() {
        let facts = Facts { distribution: elsewhere(), compiler: false, linker: Some("none".to_owned()), ..debian() };
        assert_eq!(decide(&facts, None), Ok(vec![Step::Nightly { fallback: false }, Step::Linker("none".to_owned())]));
    }

    #[test]
    fn an_unknown_distribution_is_told_what_to_install() {
        let facts = Facts { distribution: elsewhere(), compiler: false, rustup: false, packages: tshark(), ..debian() };
        let message = decide(&facts, None).unwrap_err();
        for part in ["Fedora Linux 44", "tshark", "https://rustup.rs", "Debian 12"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn an_old_compiler_is_refused_with_the_way_out() {
        let message = decide(&Facts { rustc: Some((1, 85)), ..debian() }, None).unwrap_err();
        assert!(
            message.starts_with("This is rustc 1.85; mipd needs 1.95 or newer.") && message.contains("sh.rustup.rs"),
            "{message}"
        );
        assert!(decide(&Facts { rustc: None, ..debian() }, None).unwrap_err().contains("no rustc"));
    }

    #[test]
    fn without_root_and_sudo_the_exact_command_is_printed() {
        let message = decide(&Facts { root: false, packages: tshark(), ..debian() }, None).unwrap_err();
        assert!(message.ends_with("apt-get install --no-install-recommends tshark"), "{message}");
    }

    #[test]
    fn other_kernels_are_forgone_where_nothing_can_be_installed() {
        let facts = Facts { guests: tshark(), ..debian() };
        assert_eq!(decide(&facts, None), Ok(vec![Step::Guests(tshark())]));
        assert_eq!(decide(&Facts { root: false, guests: tshark(), ..debian() }, None), Ok(Vec::new()));
        assert_eq!(decide(&Facts { distribution: elsewhere(), guests: tshark(), ..debian() }, None), Ok(Vec::new()));
    }

    #[test]
    fn without_root_a_machine_that_lacks_only_compilers_is_served() {
        let facts = Facts { root: false, compiler: false, linker: Some("none".to_owned()), ..debian() };
        assert_eq!(decide(&facts, None).unwrap().len(), 2);
    }
}
