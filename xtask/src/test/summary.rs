//! Adding up what libtest says. A test that cannot run here passes, for libtest knows nothing else, and prints a line
//! that starts with [`SKIPPED`]; it counts as skipped.

use std::fmt;

/// How a test says that it did not run: `SKIPPED: why`.
const SKIPPED: &str = "SKIPPED:";

/// Results of one or of all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    passed: usize,
    failed: usize,
    /// Names and reasons.
    skipped: Vec<String>,
    failures: Vec<String>,
}

impl Summary {
    /// Reads the output of `--show-output`, which may hold several programs' results.
    pub fn of(output: &str, success: bool) -> Self {
        let mut summary = Self::default();
        let mut skipped_themselves = 0;
        let mut test = None;
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                summary.passed += count(result, "passed");
                summary.failed += count(result, "failed");
                test = None;
            } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            {
                if verdict == "FAILED" {
                    summary.failures.push(name.to_owned());
                } else if let Some(why) = verdict.strip_prefix("ignored") {
                    summary.skipped.push(format!("{name}: ignored{why}"));
                }
            } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
                test = Some(name).filter(|name| !summary.failures.iter().any(|failure| failure == name));
            } else if let Some(why) = line.strip_prefix(SKIPPED) {
                // Once per test, however often it says so.
                if let Some(name) = test.take() {
                    summary.skipped.push(format!("{name}:{why}"));
                    skipped_themselves += 1;
                }
            }
        }
        summary.passed = summary.passed.saturating_sub(skipped_themselves);
        if !success && summary.failed == 0 {
            summary.failed = 1;
            summary.failures.push("the test program ended without saying what failed".to_owned());
        }
        summary
    }

    /// What could not be tried, and why.
    pub fn skipped(why: impl fmt::Display) -> Self {
        Self { skipped: vec![why.to_string()], ..Self::default() }
    }

    /// What went wrong beside the tests.
    pub fn failure(what: impl fmt::Display) -> Self {
        Self { failed: 1, failures: vec![what.to_string()], ..Self::default() }
    }

    /// Adds a program's results.
    pub fn add(&mut self, program: &str, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped.into_iter().map(|test| format!("{program}: {test}")));
        self.failures.extend(other.failures.into_iter().map(|test| format!("{program}: {test}")));
    }

    /// Adds results that are named already.
    pub fn append(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }

    /// Whether nothing failed.
    pub fn succeeded(&self) -> bool {
        self.failed == 0
    }

    /// Prints what was skipped and what failed, and the sum on the last line.
    pub fn print(&self) {
        for (what, tests) in [("skipped", &self.skipped), ("FAILED", &self.failures)] {
            for test in tests {
                println!("{what}: {test}");
            }
        }
        println!("{self}");
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

/// Whether a line of libtest's is worth showing while tests run.
pub fn is_progress(line: &str) -> bool {
    line.starts_with("test ") && (line.contains(" ... ") || line.starts_with("test result: "))
}

/// What failed tests printed; all output if the program died before it could sort that out.
pub fn failures(output: &str) -> &str {
    output.find("\nfailures:\n").map_or(output, |start| &output[start + 1..])
}

/// What passed tests printed, each with its name.
pub fn printed(output: &str) -> &str {
    const HEADING: &str = "\nsuccesses:\n";
    let mut sections = output.splitn(3, HEADING).skip(1);
    match (sections.next(), sections.next()) {
        (Some(printed), Some(_)) => printed.trim_start(),
        _ => "",
    }
}

/// The number before a word: `12` of `ok. 12 passed; 0 failed`.
fn count(result: &str, word: &str) -> usize {
    let mut previous = "";
    for token in result.split([' ', ';']).filter(|token| !token.is_empty()) {
        if token == word {
            return previous.parse().unwrap_or(0);
        }
        previous = token;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test codec::parses ... ok
test lab::makes_namespaces ... ok
test slow ... ignored, takes an hour
test roles::denies ... FAILED

successes:

---- lab::makes_namespaces stdout ----
SKIPPED: this needs root
SKIPPED: this needs root

successes:
    codec::parses
    lab::makes_namespaces

failures:

---- roles::denies stdout ----
SKIPPED: not believed, for the test failed
thread panicked at tests/roles.rs:3

failures:
    roles::denies

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn tests_that_skip_themselves_are_not_passed() {
        let summary = Summary::of(OUTPUT, false);
        assert_eq!(summary.to_string(), "1 passed, 1 failed, 2 skipped");
        assert_eq!(summary.skipped, ["slow: ignored, takes an hour", "lab::makes_namespaces: this needs root"]);
        assert_eq!(summary.failures, ["roles::denies"]);
    }

    #[test]
    fn what_passed_tests_printed_is_left_out_of_a_failure() {
        assert!(failures(OUTPUT).starts_with("failures:\n\n---- roles::denies"));
        assert_eq!(failures("running 1 test\nkilled"), "running 1 test\nkilled");
    }

    #[test]
    fn what_passed_tests_printed_is_found() {
        assert!(printed(OUTPUT).starts_with("---- lab::makes_namespaces stdout ----\nSKIPPED"), "{}", printed(OUTPUT));
        assert!(printed(OUTPUT).trim_end().ends_with("needs root"), "{}", printed(OUTPUT));
        assert_eq!(printed("running 1 test\nsuccesses:\n    one\n"), "");
    }

    #[test]
    fn sums_of_programs_are_added() {
        let mut total = Summary::default();
        total.add("one", Summary::of("test a ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored\n", true));
        total.add("two", Summary::of(OUTPUT, false));
        assert_eq!(total.to_string(), "4 passed, 1 failed, 2 skipped");
        assert_eq!(total.failures, ["two: roles::denies"]);
        assert!(!total.succeeded());
    }

    #[test]
    fn what_is_no_test_counts_too() {
        let mut total = Summary::default();
        total.add("kernel 5.10", Summary::skipped("there is no QEMU"));
        total.add("kernel 6.1", Summary::failure("a guest hung"));
        assert_eq!(total.to_string(), "0 passed, 1 failed, 1 skipped");
        assert_eq!(total.skipped, ["kernel 5.10: there is no QEMU"]);
    }

    #[test]
    fn several_programs_in_one_output_are_added() {
        let output = "test result: ok. 3 passed; 0 failed; 0 ignored\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(Summary::of(output, true).to_string(), "5 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_program_that_dies_without_result_has_failed() {
        let summary = Summary::of("running 3 tests\ntest a ... ok\n", false);
        assert_eq!(summary.to_string(), "0 passed, 1 failed, 0 skipped");
    }
}
