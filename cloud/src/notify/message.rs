//! What is kept of a notice until it is delivered, and what it looks like when it is: JSON, text, HTML.
//!
//! Everything in it was true when it was made and is absolute, so that a delivery days later says the same as the first.

use coterm_shared::licensing::{Notice, Organization};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The name of the organization.
    pub organization_name: String,
    /// The whole in a line.
    pub title: String,
    /// The whole for people, sentence by sentence.
    pub text: Vec<String>,
    /// The whole for programs.
    pub facts: Value,
}

impl Body {
    /// What `notice` says.
    #[must_use]
    pub fn of(organization: &Organization, notice: &Notice) -> Body {
        Body {
            organization_name: organization.name().to_string(),
            title: notice.title.clone(),
            text: notice.text.clone(),
            // Keys are texts and numbers are integers: this cannot fail.
            facts: serde_json::to_value(&notice.facts).unwrap_or_default(),
        }
    }
}
