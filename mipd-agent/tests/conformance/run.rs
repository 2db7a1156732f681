//! Runs cases and compares.

use std::{collections::BTreeMap, env, fs, time::Duration};

use anyhow::{Context, Result};
use mipd_agent::{
    mobility::{
        security::ViolationLog,
        time::{Instant, Now},
    },
    wire::types::Identification,
};
use serde::de::DeserializeOwned;
use similar::{ChangeTag, TextDiff};

use crate::{
    case::{self, Case},
    scene::{Scene, Transcript},
};

/// Set to anything, rewrites what the cases expect to what happens now. Read the difference before you keep it.
const UPDATE: &str = "MIPD_UPDATE_CASES";

/// A role on the bench.
pub trait Role: Sized {
    type Configuration: DeserializeOwned;
    type Input: DeserializeOwned;

    fn start(configuration: Self::Configuration, now: Now) -> Result<Self>;
    fn handle(&mut self, scene: &mut Scene, input: Self::Input, transcript: &mut Transcript) -> Result<()>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, scene: &mut Scene, transcript: &mut Transcript);
    /// All counters, whatever they stand at.
    fn counters(&self) -> BTreeMap<String, u64>;
    /// What is known, one line each.
    fn state(&self, scene: &Scene) -> Vec<String>;
    fn violations(&self) -> Option<&ViolationLog>;
}

/// Runs all cases of a role and reports every one that does not do what it did when it was recorded.
pub fn all_cases<R: Role>(role: &str) {
    let update = env::var_os(UPDATE).is_some();
    let files = case::files(role);
    let mut failures = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(case::directory("")).unwrap().display().to_string();
        let outcome = case::read(&text).and_then(|case| {
            let expected: Vec<_> = case.steps.iter().map(|step| step.expect.clone().unwrap_or_default()).collect();
            Ok((expected, run::<R>(case)?))
        });
        match outcome {
            Err(error) => failures.push(format!("{name}: {error:#}\n")),
            Ok((_, transcripts)) if update => case::rewrite(path, &text, &transcripts).unwrap(),
            Ok((expected, transcripts)) => failures.extend(compare(&name, &expected, &transcripts)),
        }
    }
    assert!(!files.is_empty(), "no cases of {role}");
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} of {} cases of {role} failed. If the new behaviour is right, run the test with {UPDATE}=1 and read the \
         difference.\n\n{}",
        files.len(),
        failures.join("\n")
    );
}

/// The transcript of each step.
fn run<R: Role>(case: Case<R::Configuration, R::Input>) -> Result<Vec<String>> {
    let mut scene = Scene::new();
    let mut role = R::start(case.configuration, scene.now).context("in [configuration]")?;
    let mut transcripts = Vec::new();
    for (number, step) in case.steps.into_iter().enumerate() {
        let before = Snapshot::of(&role, &scene);
        let mut transcript = Transcript::default();
        advance(&mut role, &mut scene, step.after, &mut transcript);
        if let Some(input) = step.input {
            role.handle(&mut scene, input, &mut transcript).with_context(|| format!("in step {}", number + 1))?;
        }
        before.differences(&role, &scene, &mut transcript);
        transcripts.push(transcript.finish());
    }
    Ok(transcripts)
}

/// Lets time pass; whatever the role wants to do meanwhile, it does in its time.
fn advance<R: Role>(role: &mut R, scene: &mut Scene, duration: Duration, transcript: &mut Transcript) {
    let start = scene.now.instant;
    let end = start + duration;
    while let Some(due) = role.poll_timeout().filter(|due| *due <= end) {
        let due = due.max(scene.now.instant);
        scene.set(due);
        transcript.at(due.since(start));
        role.handle_timeout(scene, transcript);
        assert!(role.poll_timeout().is_none_or(|next| next > due), "a timer did not move on");
    }
    scene.set(end);
    transcript.now();
}

/// What is compared before and after a step.
struct Snapshot {
    counters: BTreeMap<String, u64>,
    state: Vec<String>,
    violations: usize,
}

impl Snapshot {
    fn of<R: Role>(role: &R, scene: &Scene) -> Self {
        Self {
            counters: role.counters(),
            state: role.state(scene),
            violations: role.violations().map_or(0, |log| log.iter().len()),
        }
    }

    fn differences<R: Role>(&self, role: &R, scene: &Scene, transcript: &mut Transcript) {
        let after = role.state(scene);
        for gone in self.state.iter().filter(|line| !after.contains(line)) {
            transcript.push(format!("- {gone}"));
        }
        for new in after.iter().filter(|line| !self.state.contains(line)) {
            transcript.push(format!("+ {new}"));
        }
        for (name, value) in role.counters() {
            let before = self.counters.get(&name).copied().unwrap_or(0);
            if value != before {
                transcript.push(format!("count {name} {:+}", i128::from(value) - i128::from(before)));
            }
        }
        for violation in role.violations().into_iter().flat_map(|log| log.iter().skip(self.violations)) {
            let spi = violation.spi.map_or(String::new(), |spi| format!(", SPI {}", spi.get()));
            let reason = violation.reason.name();
            transcript.push(format!("log {reason}: {} of {}{spi}", violation.peer, violation.home_address));
        }
    }
}

fn compare(name: &str, expected: &[String], actual: &[String]) -> Option<String> {
    let joined = |transcripts: &[String]| {
        let numbered = transcripts.iter().enumerate();
        numbered.fold(String::new(), |text, (number, transcript)| format!("{text}step {}\n{transcript}", number + 1))
    };
    let (expected, actual) = (joined(expected), joined(actual));
    if expected == actual {
        return None;
    }
    let mut report = format!("{name}: (- expected, + happened)\n");
    for change in TextDiff::from_lines(&expected, &actual).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        report = format!("{report}  {sign} {}\n", change.value().trim_end_matches('\n'));
    }
    Some(report)
}

/// How far a wall-clock time is from the scene's clock, in seconds.
pub fn clock_offset(identification: Identification, now: Now) -> f64 {
    identification.since(now.wall) as f64 / 2f64.powi(32)
}
