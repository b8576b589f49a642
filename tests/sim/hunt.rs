//! Looks for planted bugs: one after the other, each in schedule after schedule until one finds it.

use crate::campaign::cores;
use crate::invariants::Violation;
use crate::plan::Plan;
use crate::planted::{self, Planted};
use crate::runner::with;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The bugs named after `--bugs`, with commas between; all of them without it.
fn chosen() -> Result<Vec<Planted>, String> {
    let names = std::env::args().skip_while(|argument| argument != "--bugs").nth(1).unwrap_or_default();
    let named = |name: &str| {
        let found = Planted::all().find(|bug| bug.code() == name);
        found.ok_or_else(|| format!("no planted bug is named {name}"))
    };
    if names.is_empty() { Ok(Planted::all().collect()) } else { names.split(',').map(named).collect() }
}

/// The first schedule of the seeds from `first` on that finds a bug by the invariant that is there for it; whatever else is
/// broken finds nothing. All cores look, and none beyond one that found it.
fn first_to_find(bug: Planted, first: u64, seeds: u64) -> Option<(u64, Violation)> {
    let next = AtomicU64::new(first);
    let end = AtomicU64::new(first + seeds);
    let found: Mutex<Option<(u64, Violation)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let plan = Plan { planted: Some(bug), ..Plan::of(seed, &BTreeSet::new()) };
                    let found_by = |violation: &Violation| violation.invariant.number() == bug.by();
                    let Some(violation) = with(plan, false).violation.filter(found_by) else { continue };
                    end.fetch_min(seed, Ordering::Relaxed);
                    let mut found = found.lock().expect("whole");
                    if found.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                        *found = Some((seed, violation));
                    }
                }
            });
        }
    });
    found.into_inner().expect("whole")
}

/// Looks for planted bugs within `seeds` schedules from `first` on, and says how each was found; one that was not fails.
pub fn hunt(first: u64, seeds: u64) -> ExitCode {
    let bugs = match chosen() {
        Ok(bugs) => bugs,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(bug) = bugs.iter().find(|bug| !planted::plant(Some(**bug))) {
        eprintln!("{} is in no sources but those that `make planted` writes and builds from", bug.code());
        return ExitCode::FAILURE;
    }
    let began = Instant::now();
    println!("| Planted bug | what it does | found by invariant | in schedule |\n|---|---|---|---:|");
    let mut missed = 0;
    for bug in &bugs {
        let found = first_to_find(*bug, first, seeds);
        let (by, after) = match &found {
            Some((seed, violation)) => {
                eprintln!("{}: seed {seed}: {}: {}", bug.code(), violation.invariant, violation.what);
                (violation.invariant.number().to_string(), (seed - first + 1).to_string())
            }
            None => ("**none**".to_owned(), format!("> {seeds}")),
        };
        missed += usize::from(found.is_none());
        println!("| `{}` | {} | {by} | {after} |", bug.code(), bug.sentence());
    }
    println!(
        "\n{} planted bugs, {missed} not found within {seeds} schedules from seed {first}, {:.0} s",
        bugs.len(),
        began.elapsed().as_secs_f64()
    );
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
