//! The table of rules in `docs/conformance.md` cannot rot: what it names exists, and what exists is named.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::case;

/// How a rule binds, and what the table says of it.
struct Row {
    rule: String,
    strength: String,
    source: String,
    implemented: String,
    tested: String,
}

/// Begins the column of where a rule is implemented if it is not; the reason follows.
const NOT_IMPLEMENTED: &str = "not implemented: ";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(repository().join("docs/conformance.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| Rule ");
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [rule, strength, source, implemented, tested] = <[String; 5]>::try_from(cells)
            .unwrap_or_else(|cells| panic!("{} columns instead of 5: {line}", cells.len()));
        Row { rule, strength, source, implemented, tested }
    };
    text.lines().filter(is_row).map(row).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Every test in the repository's Rust files, by name.
fn test_functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for part in ["mipd-agent/src", "mipd-agent/tests", "mipd-common/src", "tests", "xtask/src", "fuzz"] {
        collect_tests(&repository().join(part), &mut names);
    }
    names
}

fn collect_tests(path: &Path, names: &mut BTreeSet<String>) {
    if path.is_dir() && !path.ends_with("target") {
        for entry in fs::read_dir(path).unwrap() {
            collect_tests(&entry.unwrap().path(), names);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            match line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                Some((name, _)) if is_test => {
                    names.insert(name.to_owned());
                    is_test = false;
                }
                Some(_) => is_test = false,
                None => is_test |= line.starts_with("#[") && line.contains("test"),
            }
        }
    }
}

fn case_folders() -> BTreeSet<String> {
    let list = |directory: &Path| -> Vec<PathBuf> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let root = case::directory("");
    let folders = list(&root).into_iter().flat_map(|role| list(&role));
    folders.map(|folder| folder.strip_prefix(&root).unwrap().display().to_string()).collect()
}

#[test]
fn the_table_of_rules_names_files_and_tests_that_exist() {
    let (functions, folders) = (test_functions(), case_folders());
    let mut faults = Vec::new();
    for row in rows() {
        let name = format!("{} ({})", row.rule, row.source);
        if !["must", "should", "may"].contains(&row.strength.as_str()) {
            faults.push(format!("{name}: `{}` is neither must, should nor may", row.strength));
        }
        if !row.source.starts_with("RFC ") || !row.source.contains('§') {
            faults.push(format!("{name}: its source must be an RFC and a section"));
        }
        for test in names(&row.tested) {
            let exists = if test.contains('/') { folders.contains(test) } else { functions.contains(test) };
            if !exists {
                faults.push(format!("{name}: there is no test or case folder `{test}`"));
            }
        }
        if let Some(reason) = row.implemented.strip_prefix(NOT_IMPLEMENTED) {
            if reason.len() < 10 {
                faults.push(format!("{name}: why is it not implemented?"));
            }
            continue;
        }
        for file in names(&row.implemented) {
            if !repository().join(file).is_file() && !repository().join("mipd-agent/src").join(file).is_file() {
                faults.push(format!("{name}: there is no file `{file}`"));
            }
        }
        if names(&row.implemented).next().is_none() {
            faults.push(format!("{name}: where is it implemented?"));
        }
        if names(&row.tested).next().is_none() {
            faults.push(format!("{name}: it has no test"));
        }
    }
    assert!(faults.is_empty(), "docs/conformance.md:\n{}", faults.join("\n"));
}

#[test]
fn every_folder_of_cases_is_in_the_table_of_rules() {
    let rows = rows();
    let named: BTreeSet<_> = rows.iter().flat_map(|row| names(&row.tested)).collect();
    let missing: Vec<_> = case_folders().into_iter().filter(|folder| !named.contains(folder.as_str())).collect();
    assert!(missing.is_empty(), "name these in docs/conformance.md: {missing:?}");
}

#[test]
fn the_table_is_long_enough_to_be_read_at_all() {
    let count = |strength| rows().iter().filter(|row| row.strength == strength).count();
    assert!(count("must") > 100 && count("should") > 30);
}
