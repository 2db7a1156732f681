//! What cargo says that it built (`--message-format=json-render-diagnostics`).

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;

/// A program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub struct Executable {
    /// The file.
    pub path: PathBuf,
    /// The target's name within its package.
    pub name: String,
    /// `bin`, `lib`, `test`, ….
    pub kind: String,
    /// Whether it is built to run the target's tests.
    pub is_test: bool,
    /// The directory of the package.
    pub package: PathBuf,
}

/// Runs a cargo command to success and returns the programs that it built or found fresh.
pub fn executables(cargo: &mut Command) -> Result<Vec<Executable>> {
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = cargo.spawn().with_context(|| format!("cannot start {}", command::describe(cargo)))?;
    let messages = child.stdout.take().context("cargo's output is not a pipe")?;
    let mut executables = Vec::new();
    for line in BufReader::new(messages).lines() {
        executables.extend(executable(&line?));
    }
    if !child.wait()?.success() {
        bail!("{} failed", command::describe(cargo));
    }
    Ok(executables)
}

fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let target = &message["target"];
    Some(Executable {
        path: message["executable"].as_str()?.into(),
        name: target["name"].as_str()?.to_owned(),
        kind: target["kind"][0].as_str()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        package: PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifacts_with_an_executable_count() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],
            "name":"roaming"},"profile":{"test":true},"executable":"/w/target/debug/deps/roaming-1"}"#;
        let expected = Executable {
            path: "/w/target/debug/deps/roaming-1".into(),
            name: "roaming".to_owned(),
            kind: "test".to_owned(),
            is_test: true,
            package: "/w/tests".into(),
        };
        assert_eq!(executable(&line.replace('\n', "")), Some(expected));
        let library = line.replace(r#""/w/target/debug/deps/roaming-1""#, "null");
        assert_eq!(executable(&library.replace('\n', "")), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("not JSON"), None);
    }
}
