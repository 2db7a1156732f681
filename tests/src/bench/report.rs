//! The figures, as a table and as JSON.

use std::{borrow::Cow, collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// What was measured, and where.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    machine: String,
    kernel: String,
    commit: String,
    benchmarks: Vec<Benchmark>,
}

/// What another report adds to this one.
#[derive(Deserialize, Debug)]
struct Other {
    benchmarks: Vec<Benchmark>,
}

/// One figure.
#[derive(Serialize, Deserialize, Debug, Default)]
pub(super) struct Benchmark {
    /// A path from general to particular.
    pub name: String,
    /// `ns`, `pps`, `per_s`, `ms`, `bytes`, `percent`, `times`, `instructions`, `packets`, `Mbit/s`.
    pub unit: Cow<'static, str>,
    /// The median.
    pub p50: f64,
    /// The value that all but one in a hundred reach: the hundredth worst.
    pub p99: f64,
    /// The same without the work.
    pub floor_p50: Option<f64>,
    /// What was aimed at.
    pub goal: Option<f64>,
    /// Other figures of the same run.
    #[serde(default)]
    pub compared_with: BTreeMap<Cow<'static, str>, f64>,
}

impl Report {
    /// Empty.
    pub fn new() -> Self {
        let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            machine: format!("{} cores of {}", cores, model.map_or("an unknown processor", |(_, name)| name)),
            kernel: kernel.trim().to_owned(),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            benchmarks: Vec::new(),
        }
    }

    /// Adds a figure, and prints it at once: the whole takes minutes.
    pub fn add(&mut self, benchmark: Benchmark) {
        println!("{:<52} {:>12} {}", benchmark.name, figure(benchmark.p50), benchmark.unit);
        self.benchmarks.push(benchmark);
    }

    /// Adds the figures of another report.
    pub fn add_all(&mut self, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let other: Other = serde_json::from_str(&text).with_context(|| format!("{} is no report", file.display()))?;
        for benchmark in other.benchmarks {
            self.add(benchmark);
        }
        Ok(())
    }

    /// Prints all figures.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["BENCHMARK", "UNIT", "P50", "P99", "FLOOR", "GOAL", "COMPARED WITH"]);
        for benchmark in &self.benchmarks {
            let compared: Vec<String> =
                benchmark.compared_with.iter().map(|(name, value)| format!("{name} {}", figure(*value))).collect();
            table.add_row([
                benchmark.name.clone(),
                benchmark.unit.to_string(),
                figure(benchmark.p50),
                figure(benchmark.p99),
                benchmark.floor_p50.map(figure).unwrap_or_default(),
                benchmark.goal.map(figure).unwrap_or_default(),
                compared.join(", "),
            ]);
        }
        for column in 2..=5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("\n{table}\n\n{}, Linux {}, commit {}", self.machine, self.kernel, self.commit);
    }

    /// Writes all figures.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("cannot write the figures to {}", file.display()))
    }
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn figure(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The value below which `share` of the values lie. Sorts them; 0 without any.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[allow(clippy::cast_sign_loss, reason = "a share of a length is not negative")]
    values.get(((last as f64) * share).round() as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_among_the_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((quantile(&mut values, 0.5) - 51.0).abs() < 1.1);
        assert!((quantile(&mut values, 0.99) - 99.0).abs() < 0.1);
        assert!(quantile(&mut [], 0.5).abs() < f64::EPSILON);
    }
}
