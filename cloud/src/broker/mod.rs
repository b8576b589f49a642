//! The MQTT broker inside the daemon, so that one command runs everything.
//!
//! It is a cargo feature, on by default. Fleets beyond its size use a broker of their own through [`crate::mqtt`]; both
//! are a [`crate::ports::Broker`], and nothing else in the daemon knows which one runs.

#[cfg(feature = "embedded-broker")]
pub mod embedded;
