//! What watches the others: a harness that runs the real programs, and the rules of the repository.
//!
//! **Problem.** What a customer gets is three programs that talk over sockets, keep files and are killed; no test
//! inside one of them sees that. **Method.** Every end-to-end test starts the programs as they are shipped, on a
//! loopback address of its own, with settings that make a ladder of months last seconds, and looks only where an
//! operator or a device could look: exit codes, JSON on standard output, the state file, the workload itself.
//! Nothing is asserted about how fast something happens; what must happen is waited for with a generous deadline, and
//! when it passes, the logs of everything involved are printed. **Deliberately absent:** mocks.

// A harness may fail loudly: that is its purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests are made of: one that cannot go on should stop, and say where"
)]

pub mod broker;
pub mod citations;
pub mod clock;
pub mod cloud;
pub mod device;
pub mod files;
pub mod forge;
pub mod hostile;
pub mod mail_server;
pub mod middle;
pub mod mqtt;
pub mod operator;
pub mod place;
pub mod process;
pub mod receiver;
pub mod rogue;
pub mod secrets;
pub mod terminal;
pub mod tidy;
pub mod wait;
pub mod workload;
