//! `coterm-agent` as a library: what its process is made of, for that process and for whoever drives its parts in tests.
//!
//! `shared` decides, this crate does: files, sockets, processes and clocks live here, rules do not. A panic ends the
//! process after saying where, and leaves the device in its mode: nothing is cleaned up, nothing is stopped.
//! **Public** are the parts that touch the outside through ports alone ([`driver`], [`state_file`], [`actuator`], [`line`]), so that a
//! simulated fleet runs the very code devices run; everything else is reached through `main`, and is left out
//! without the feature `daemon`.

pub mod actuator;
#[cfg(feature = "daemon")]
mod cli;
#[cfg(feature = "daemon")]
mod clock;
#[cfg(feature = "daemon")]
mod commands;
#[cfg(feature = "daemon")]
mod config;
pub mod driver;
#[cfg(feature = "daemon")]
mod enrolment;
#[cfg(feature = "daemon")]
mod files;
pub mod line;
#[cfg(feature = "daemon")]
mod local_state;
mod mqtt;
#[cfg(feature = "daemon")]
mod program;
#[cfg(feature = "daemon")]
mod run;
pub mod state_file;
#[cfg(test)]
mod test_support;

#[cfg(feature = "daemon")]
pub use program::main;
#[cfg(feature = "daemon")]
pub(crate) use program::{CONFIG, DONE, FAILED, USAGE, load};
