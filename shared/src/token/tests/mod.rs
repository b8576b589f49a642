//! Tests of the token module, one subject per file.

mod attacks;
mod golden;
mod properties;
mod refusals;
mod support;
mod trust;
mod vectors;
