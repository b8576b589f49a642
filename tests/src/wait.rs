//! Waiting for what must happen: polling with a deadline that says what was missing.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: it only ever costs time when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `look` finds something, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with what was awaited and what was last seen.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {} s for: {what}\n  last seen: {seen}", PATIENCE.as_secs())
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Looks again and again for `time` and fails as soon as `look` finds something wrong.
///
/// For what must *not* happen: it can miss a breach, and it never reports one that is not there.
#[track_caller]
pub fn never(what: &str, time: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Err(seen) = look() {
            panic!("must not happen: {what}\n  seen: {seen}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// How often a test that kills repeats itself: once, or as often as `COTERM_TEST_ROUNDS` says.
///
/// For long runs: `COTERM_TEST_ROUNDS=40 cargo test -p coterm-tests --test e2e crash`.
#[must_use]
pub fn rounds() -> usize {
    std::env::var("COTERM_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// `Ok` if `condition` holds, else what was seen.
///
/// # Errors
/// What was seen, if the condition does not hold.
pub fn holds(condition: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("{seen:?}")) }
}
