//! One thing that `mipd check` has to say about this box.

use std::fmt;

/// How serious a [`Finding`] is, gravest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The agent would refuse to start.
    Problem,
    /// It starts, and something will not work as one might expect.
    Warning,
    /// It will change this, and change it back on `mipd unload`.
    Change,
    /// Good to know.
    Note,
}

/// One thing that `mipd check` has to say about this box.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// What, where and what to do, in one line.
    pub message: String,
}

impl Finding {
    /// Something that keeps the agent from starting.
    pub fn problem(message: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, message: message.into() }
    }

    /// Something that may not work as expected.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into() }
    }

    /// Something that the agent will change.
    pub fn change(message: impl Into<String>) -> Self {
        Self { severity: Severity::Change, message: message.into() }
    }

    /// Something good to know.
    pub fn note(message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = match self.severity {
            Severity::Problem => "problem:",
            Severity::Warning => "warning:",
            Severity::Change => "change: ",
            Severity::Note => "note:   ",
        };
        write!(f, "{label} {}", self.message)
    }
}
