//! What is wrong with a configuration, and where.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// Why a configuration was refused. Displays as one line and never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot read the configuration: {source}; write one (docs/configuration.md has examples) or name another with --config", file.display())]
    Unreadable {
        /// The configuration file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {message}", file.display())]
    Invalid {
        /// The configuration file.
        file: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong and what to do.
        message: String,
    },
}

/// The text being validated: turns places in it into line numbers.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    /// Permission bits of the file.
    pub mode: u32,
}

impl Source<'_> {
    /// The line of a byte offset, counted from 1.
    pub fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
    }

    /// An error at a place in the file.
    pub fn error(&self, span: &Range<usize>, message: impl AsRef<str>) -> ConfigError {
        ConfigError::Invalid {
            file: self.file.to_owned(),
            line: self.line(span),
            message: without_key_material(message.as_ref()),
        }
    }

    /// An error of the TOML parser or of a value's own syntax.
    pub fn toml(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        if message == "duplicate key" {
            let key = self.text.get(span.clone()).unwrap_or_default();
            return self.error(&span, format!("key `{key}` is given twice: keep one of them"));
        }
        self.error(&span, in_users_terms(&message))
    }
}

/// Says in the user's terms what serde says in its own.
fn in_users_terms(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((name, expected)) = quoted.split_first() else { return message.to_owned() };
    if message.starts_with("unknown field") {
        format!("unknown key `{name}`: {}", advice(name, expected))
    } else if message.starts_with("unknown variant") {
        format!("unknown value `{name}`: {}", advice(name, expected))
    } else if message.starts_with("missing field") {
        format!("key `{name}` is missing in this section: add it")
    } else {
        message.to_owned()
    }
}

fn advice(name: &str, expected: &[&str]) -> String {
    let similarity = |candidate: &str| strsim::jaro_winkler(name, candidate);
    let nearest = expected.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match nearest {
        Some(nearest) if similarity(nearest) > 0.85 => format!("did you mean `{nearest}`?"),
        Some(_) => format!("expected {}", expected.join(", ")),
        None => "nothing is expected here".to_owned(),
    }
}

/// Replaces what could be a key in the wrong place: any run of 16 or more hexadecimal digits.
fn without_key_material(message: &str) -> String {
    const SHORTEST: usize = 16;
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(|character: char| character.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|character: char| !character.is_ascii_hexdigit()).unwrap_or(from.len());
        let (run, after) = from.split_at(length);
        clean.push_str(before);
        clean.push_str(if length >= SHORTEST { "…" } else { run });
        rest = after;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::without_key_material;

    #[test]
    fn long_hexadecimal_runs_are_removed_and_addresses_stay() {
        let message = "`hex:000102030405060708090A0B0c0d0e0f` at 10.1.0.0/24 is bad, deadbeef";
        assert_eq!(without_key_material(message), "`hex:…` at 10.1.0.0/24 is bad, deadbeef");
    }
}
