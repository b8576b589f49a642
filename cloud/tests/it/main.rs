//! Tests of the cloud with real sockets, files and processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop, helpers included"
)]

mod broker;
