//! What a customer gets, tested as they get it: the real programs, real sockets, real files, real signals.

// A test fails by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it is a test"
)]

mod along;
mod attacks;
mod capacity;
mod check_broker;
mod clocks;
mod confirmation;
mod crash_of_the_agent;
mod crash_of_the_cloud;
mod demo;
mod documentation;
mod enrolment;
mod external_broker;
mod fleet;
mod following_access;
mod hostile;
mod imports;
mod isolation;
mod keys;
mod keys_in_hardware;
mod kills;
mod ladder;
mod life_safety;
mod log;
mod mail;
mod manual;
mod notices;
mod offline;
mod python_peer;
mod safety;
mod second_cloud;
mod secrets;
mod startup;
mod state_file;
mod worked;
