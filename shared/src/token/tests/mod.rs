//! Tests of the token module, one subject per file.

mod attacks;
mod docs;
mod golden;
mod properties;
mod refusals;
mod support;
mod trust;
mod vectors;
