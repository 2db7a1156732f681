//! What the kernel programs may cost, from `mipd-ebpf/budgets.toml`.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use toml::Table;

use super::report::Program;

/// The budgets of all programs.
pub struct Budgets(Table);

impl Budgets {
    /// Reads the file of a checkout.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("mipd-ebpf/budgets.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(text.parse().with_context(|| format!("cannot parse {}", path.display()))?))
    }

    /// Refuses programs that exceed their budget, have none, or call functions, which some boards' compilers of BPF cannot do;
    /// and budgets of programs that are gone.
    pub fn check(&self, programs: &[Program]) -> Result<()> {
        let mut excesses: Vec<_> = programs.iter().flat_map(|program| self.excesses(program)).collect();
        let names: BTreeSet<_> = programs.iter().map(|program| program.name.as_str()).collect();
        let gone = self.0.keys().filter(|name| !names.contains(name.as_str()));
        excesses.extend(gone.map(|name| format!("{name} has a budget and does not exist")));
        if excesses.is_empty() {
            return Ok(());
        }
        bail!("{}; mipd-ebpf/budgets.toml says how to raise a budget", excesses.join("; "))
    }

    fn budget(&self, program: &str, what: &str) -> Option<usize> {
        usize::try_from(self.0.get(program)?.get(what)?.as_integer()?).ok()
    }

    fn excesses(&self, program: &Program) -> Vec<String> {
        let name = &program.name;
        let mut excesses = Vec::new();
        if program.calls != 0 {
            excesses.push(format!("{name} calls a function of its own, `memset` perhaps: all has to be inlined"));
        }
        for (what, found) in [("instructions", program.instructions), ("stack", program.stack as usize)] {
            match self.budget(name, what) {
                Some(budget) if found > budget => {
                    excesses.push(format!("{name}: {what} {found}, its budget is {budget}"));
                }
                Some(_) => {}
                None => excesses.push(format!("{name} has no budget of {what}")),
            }
        }
        excesses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, instructions: usize, stack: u32, calls: usize) -> Program {
        Program { name: name.to_owned(), section: "xdp".to_owned(), instructions, stack, calls }
    }

    fn budgets() -> Budgets {
        Budgets("[router_xdp]\ninstructions = 100\nstack = 64\n".parse().unwrap())
    }

    #[test]
    fn a_program_may_cost_what_its_budget_says() {
        budgets().check(&[program("router_xdp", 100, 64, 0)]).unwrap();
    }

    #[test]
    fn every_excess_is_named() {
        let error = budgets().check(&[program("router_xdp", 101, 72, 1)]).unwrap_err().to_string();
        assert!(error.contains("router_xdp: instructions 101, its budget is 100"), "{error}");
        assert!(error.contains("router_xdp: stack 72, its budget is 64"), "{error}");
        assert!(error.contains("router_xdp calls a function of its own"), "{error}");
    }

    #[test]
    fn programs_and_budgets_belong_together() {
        let error = budgets().check(&[program("radio_xdp", 1, 0, 0)]).unwrap_err().to_string();
        assert!(error.contains("radio_xdp has no budget of stack"), "{error}");
        assert!(error.contains("router_xdp has a budget and does not exist"), "{error}");
    }

    #[test]
    fn the_file_has_all_that_is_asked_of_it() {
        let budgets = Budgets::read(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap();
        for (name, budget) in &budgets.0 {
            for what in ["instructions", "stack", "verified"] {
                assert!(budget.get(what).is_some_and(toml::Value::is_integer), "{name} has no budget of {what}");
            }
        }
    }
}
