//! The cloud side of Coterm: the books, the reconciler, the broker and the interfaces to people and programs.

pub mod access;
pub mod alarms;
pub mod app;
pub mod auth;
pub mod backup;
pub mod books;
pub mod broker;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod demo;
pub mod enrolment;
pub mod exports;
pub mod http;
pub mod imports;
pub mod keys;
pub mod manual;
pub mod metrics;
pub mod mqtt;
pub mod notify;
pub mod ports;
pub mod reconcile;
pub mod signer;
mod space;
pub mod store;
pub mod telemetry;
pub mod transactions;
