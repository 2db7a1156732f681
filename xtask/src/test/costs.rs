//! What the kernel programs cost under each kernel, as the tests have written it, in one table.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What a test program is told to write the costs to.
pub const VARIABLE: &str = "MIPD_COSTS";

/// Costs by program, and then by kernel in the order of the matrix.
#[derive(Debug, Default)]
pub struct Costs {
    kernels: Vec<String>,
    programs: BTreeMap<String, Vec<Option<Cost>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    stack: u64,
    verified: u64,
    verifier_us: u64,
    machine_code: u64,
}

impl Costs {
    /// Whether no test has written any.
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// Adds those of a kernel.
    pub fn add(&mut self, release: &str, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("there is no {}", file.display()))?;
        self.add_text(release, &text).with_context(|| format!("cannot read {}", file.display()))
    }

    fn add_text(&mut self, release: &str, text: &str) -> Result<()> {
        let programs: BTreeMap<String, Value> = serde_json::from_str(text)?;
        let column = self.kernels.len();
        self.kernels.push(release.to_owned());
        for (name, cost) in &programs {
            let figure = |key: &str| cost[key].as_u64().with_context(|| format!("{name} has no {key}"));
            let row = self.programs.entry(name.clone()).or_default();
            row.resize(column, None);
            row.push(Some(Cost {
                instructions: figure("instructions")?,
                stack: figure("stack")?,
                verified: figure("verified")?,
                verifier_us: figure("verifier_us")?,
                machine_code: figure("machine_code")?,
            }));
        }
        Ok(())
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {:>6} {:>6}", "", "", "")?;
        for kernel in &self.kernels {
            write!(f, "   {kernel:^28}")?;
        }
        write!(f, "\n{:<18} {:>6} {:>6}", "program", "instr.", "stack")?;
        for _ in &self.kernels {
            write!(f, "   {:>9} {:>9} {:>8}", "verified", "ms", "code")?;
        }
        for (name, costs) in &self.programs {
            let any = costs.iter().flatten().next();
            write!(f, "\n{name:<18} {:>6}", any.map_or(0, |cost| cost.instructions))?;
            // Kernels differ in how they count it: the deepest is what matters.
            write!(f, " {:>6}", costs.iter().flatten().map(|cost| cost.stack).max().unwrap_or(0))?;
            for column in 0..self.kernels.len() {
                match costs.get(column).and_then(Option::as_ref) {
                    Some(cost) => {
                        let milliseconds = cost.verifier_us as f64 / 1000.0;
                        write!(f, "   {:>9} {milliseconds:>9.1} {:>8}", cost.verified, cost.machine_code)?;
                    }
                    None => write!(f, "   {:>9} {:>9} {:>8}", "-", "-", "-")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(verified: u64) -> String {
        format!(
            r#"{{"instructions":10,"stack":16,"verified":{verified},"verifier_us":1500,"machine_code":90,"more":1}}"#
        )
    }

    #[test]
    fn every_kernel_has_its_columns() {
        let mut costs = Costs::default();
        costs.add_text("5.10.0-46-amd64", &format!(r#"{{"radio_xdp":{}}}"#, cost(20))).unwrap();
        costs.add_text("7.3.4", &format!(r#"{{"radio_xdp":{},"uplink_xdp":{}}}"#, cost(30), cost(2))).unwrap();
        let lines: Vec<_> =
            costs.to_string().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "5.10.0-46-amd64 7.3.4",
                "program instr. stack verified ms code verified ms code",
                "radio_xdp 10 16 20 1.5 90 30 1.5 90",
                "uplink_xdp 10 16 - - - 2 1.5 90"
            ]
        );
    }

    #[test]
    fn a_cost_that_is_missing_is_named() {
        let error = Costs::default().add_text("6.1", r#"{"radio_xdp":{"instructions":1}}"#).unwrap_err().to_string();
        assert!(error.contains("radio_xdp has no stack"), "{error}");
    }
}
