//! Who is asking, and what they may do.
//!
//! **Problem.** Every request has a principal from the first day, and a mistake here is a breach. **Method.** API tokens
//! are long random texts, stored only as hashes and scoped to one role; what a role may do is one pure function
//! ([`role::access`]) that one table tests. **Deliberately absent:** passwords, sessions and users. They join as other
//! ways to a [`Principal`]; nothing behind the principal changes.

mod answers;
mod bootstrap;
mod role;
mod secret;
mod store;

pub use answers::KeptAnswer;
pub use bootstrap::{ADMIN_TOKEN_FILE, bootstrap};
pub use role::{Access, Action, Principal, Reach, Role, RoleName, access};
pub use secret::{Secret, SecretHash, parse_bearer};
pub use store::{TokenError, TokenId, TokenRecord, TokenStore};
