//! What a whole fleet costs, with the real programs: how fast a verdict arrives, what a storm does, what an agent weighs,
//! how fast each starts. Each figure stands beside a floor measured in the same run (`make bench`).
//!
//! Names on the command line choose among the subjects: `converge`, `storm`, `footprint`, `start`. At the end everything in
//! the results is drawn ([`plot`]). `AGENTS=n` sets the size of the fleet, 2,000 without it. Method and last results are in
//! `shared/docs/BENCHMARKS.md`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on should stop"
)]

mod fleet;
mod floor;
mod footprint;
mod plot;
#[path = "../../../shared/benches/rules/report.rs"]
mod report;
mod start;
#[allow(dead_code, reason = "each bench uses what it needs of a world")]
#[path = "../cloud/world.rs"]
mod world;

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let subjects: [(&str, fn()); 4] = [
        ("converge", fleet::converge),
        ("storm", fleet::storm),
        ("footprint", footprint::run),
        ("start", start::run),
    ];
    for (name, run) in subjects {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            run();
        }
    }
    plot::all();
}
