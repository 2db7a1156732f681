//! Waiting for a condition, up to a deadline.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How long between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(2);

/// Asks `condition` again and again until it yields something; `None` when `patience` ran out first.
pub fn until<T>(patience: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}
