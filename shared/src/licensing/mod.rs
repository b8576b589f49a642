//! The books of one organization.
