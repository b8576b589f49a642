//! The simulated fleet: weeks of schedules of everything that can go wrong, each decided by one number.
//!
//! **Problem.** What breaks a fleet is never one fault but three at once, in an order nobody thought of, on a night when
//! nobody watches. **Method.** The real cores and the real loops around them (books, reconciler, driver, state file,
//! outbox, backoff) run over ports of a simulation: one thread, one clock, one source of chance. A reference model that
//! knows the true time, and the invariants of the architecture by name, look at everything that happens. A seed that fails
//! is written into a file and replays bit for bit. **Deliberately absent:** sockets, TLS, SQLite and processes, which the
//! end-to-end tests have; see `shared/docs/SIMULATION.md`.

// A simulation may fail loudly: that is its purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    missing_docs,
    unreachable_pub,
    reason = "a simulation that contradicts itself should stop; it is no part of the product"
)]

mod attacks;
mod campaign;
mod clerk;
mod cloud;
mod device;
mod disk;
mod faults;
mod grace;
mod hunt;
mod invariants;
mod judge;
mod ledger;
mod life;
mod line;
mod net;
mod operator;
mod plan;
mod planted;
mod recount;
mod reference;
mod rng;
#[cfg_attr(not(test), allow(dead_code, reason = "`plant.rs` and a test use what is not used here"))]
mod rules;
mod runner;
mod safety;
mod store;
mod strikes;
mod told;
mod trust;
mod vendor;
mod watch;
mod world;

/// Schedules are small allocations above all, each on its own thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    runner::main()
}
