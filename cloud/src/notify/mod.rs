//! Notices on their way out: by mail, and to webhooks (domain N1, N2).

pub mod message;
