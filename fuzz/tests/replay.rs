//! The part of fuzzing that every test run does: what was found before, the corpus, and some mutations of it.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use mipd_fuzz::{TARGETS, Target, mutation::mutate};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How long each target is fed with mutations, in seconds; `MIPD_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 1;

/// Everything in a target's folder below `corpus` or `crashes`, with a name to complain by.
fn files(folder: &str, target: &Target) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

fn replay(target: &Target, name: &str, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    assert!(outcome.is_ok(), "target {} fails for {name}: {input:02x?}", target.name);
}

#[test]
fn what_fuzzing_once_found_stays_mended() {
    for target in &TARGETS {
        for (name, input) in files("crashes", target) {
            replay(target, &name, &input);
        }
    }
}

#[test]
fn no_input_of_the_corpus_breaks_its_target() {
    for target in &TARGETS {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            replay(target, &format!("seed {number}"), seed);
        }
        for (name, input) in files("corpus", target) {
            replay(target, &name, &input);
        }
    }
}

#[test]
fn no_mutation_of_the_corpus_breaks_its_target() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().unwrap());
    let duration = Duration::from_secs(number("MIPD_FUZZ_SECONDS").unwrap_or(SECONDS));
    let seed = number("MIPD_FUZZ_SEED").unwrap_or_else(|| rand::rng().random());
    for target in &TARGETS {
        let mut inputs = (target.seeds)();
        inputs.extend(files("corpus", target).into_iter().map(|(_, input)| input));
        let mut random = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        while start.elapsed() < duration {
            let any = |random: &mut StdRng| random.random_range(0..inputs.len());
            let (input, other) = (any(&mut random), any(&mut random));
            let input = mutate(&inputs[input], &inputs[other], &mut random);
            replay(target, &format!("a mutation, MIPD_FUZZ_SEED={seed}"), &input);
        }
    }
}
