//! The books of one organization.

pub mod calc;
