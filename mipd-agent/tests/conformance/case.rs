//! Case files: how they are read and how their expectations are rewritten.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use toml::Table;

/// One recorded case of a role with settings `C` and inputs `I`.
pub struct Case<C, I> {
    pub configuration: C,
    pub steps: Vec<Step<I>>,
}

/// One thing that happens, and what comes of it.
pub struct Step<I> {
    /// How long after the step before; what falls due in between comes first.
    pub after: std::time::Duration,
    /// `None`: time passes, nothing else.
    pub input: Option<I>,
    /// The transcript; `None` if none was recorded yet.
    pub expect: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    rule: String,
    description: String,
    #[serde(default)]
    configuration: Table,
    step: Vec<Table>,
}

/// The directory that holds a role's cases.
pub fn directory(role: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases").join(role)
}

/// All case files of a role, in order: one folder per rule, any number of files in each.
pub fn files(role: &str) -> Vec<PathBuf> {
    let list = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    list(&directory(role)).iter().flat_map(|rule| list(rule)).collect()
}

/// Reads a case file. Whatever is not known in it is an error.
pub fn read<C: DeserializeOwned, I: DeserializeOwned>(text: &str) -> Result<Case<C, I>> {
    let file: File = toml::from_str(text)?;
    ensure!(file.rule.starts_with("RFC ") && file.rule.contains(" §"), "`rule` must name an RFC and a section");
    ensure!(file.description.len() > 10, "`description` must say what is shown");
    let configuration = file.configuration.try_into().context("in [configuration]")?;
    let numbered = file.step.into_iter().enumerate();
    let steps = numbered.map(|(number, table)| step(table).with_context(|| format!("in step {}", number + 1)));
    Ok(Case { configuration, steps: steps.collect::<Result<_>>()? })
}

fn step<I: DeserializeOwned>(mut table: Table) -> Result<Step<I>> {
    let mut text = |key: &str| match table.remove(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(other) => bail!("`{key}` must be a string, not {other}"),
    };
    let after = text("after")?.map_or(Ok(std::time::Duration::ZERO), |text| humantime::parse_duration(&text))?;
    let expect = text("expect")?;
    let input = if table.is_empty() { None } else { Some(toml::Value::Table(table).try_into()?) };
    ensure!(input.is_some() || !after.is_zero(), "a step needs an input or `after`");
    Ok(Step { after, input, expect })
}

/// Puts the transcripts in the place of what the file expects; comments and layout stay.
pub fn rewrite(path: &Path, text: &str, transcripts: &[String]) -> Result<()> {
    let mut document: toml_edit::DocumentMut = text.parse()?;
    let steps = document["step"].as_array_of_tables_mut().context("[[step]]")?;
    for (step, transcript) in steps.iter_mut().zip(transcripts) {
        let written: toml_edit::Value = format!("\"\"\"\n{}\"\"\"", escape(transcript)).parse()?;
        step["expect"] = toml_edit::value(written);
    }
    let rewritten = document.to_string();
    if rewritten != text {
        fs::write(path, rewritten)?;
    }
    Ok(())
}

fn escape(transcript: &str) -> String {
    transcript.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"")
}
