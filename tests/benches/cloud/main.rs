//! What the cloud costs, each figure beside a floor measured in the same run (`make bench`).
//!
//! Names on the command line choose among the subjects: `durable`, `follow`, `interface`. Method and last results are in
//! `shared/docs/BENCHMARKS.md`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on should stop"
)]

mod durable;
mod follow;
mod interface;
#[path = "../../../shared/benches/rules/report.rs"]
mod report;
mod world;

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let subjects: [(&str, fn()); 3] =
        [("durable", durable::run), ("follow", follow::run), ("interface", interface::run)];
    for (name, run) in subjects {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            run();
        }
    }
}
