//! Tests of the token module, one subject per file.

mod attacks;
mod support;
