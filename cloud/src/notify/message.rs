//! What is kept of a notice until it is delivered, and what it looks like when it is: JSON, text, HTML.
//!
//! Everything in it was true when it was made and is absolute, so that a delivery days later says the same as the first.

use crate::store::outbox::{Endpoint, StoredNotice, VENDOR};
use coterm_shared::licensing::{Notice, NoticeHead, NoticeKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The name of the organization, or of whoever it is about.
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
    pub fn of(name: &str, notice: &Notice) -> Body {
        Body {
            organization_name: name.to_owned(),
            title: notice.title.clone(),
            text: notice.text.clone(),
            // Keys are texts and numbers are integers: this cannot fail.
            facts: serde_json::to_value(&notice.facts).unwrap_or_default(),
        }
    }

    /// The notice for programs: what a webhook gets, the same at every attempt.
    #[must_use]
    pub fn json(&self, notice: &StoredNotice) -> Value {
        let head = serde_json::from_slice::<NoticeHead>(&notice.head).ok();
        json!({
            "type": notice.kind,
            "timestamp": notice.made_at,
            "data": {
                "id": notice.id,
                "organization": (notice.organization != VENDOR).then_some(notice.organization),
                "organization_name": self.organization_name,
                "title": self.title,
                "text": self.text,
                "about": head.as_ref().map(|head| head.about),
                "days": head.as_ref().and_then(|head| head.days),
                "facts": self.facts,
            },
        })
    }

    /// The subject of a mail.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{} / {}", self.organization_name, self.title).replace(char::is_control, " ")
    }

    /// The text of a mail.
    #[must_use]
    pub fn plain(&self, notice: &StoredNotice, endpoint: &Endpoint) -> String {
        let mut text = format!("{}\n{}\n\n", self.organization_name, self.title);
        for sentence in &self.text {
            let _ = writeln!(text, "{sentence}\n");
        }
        let _ = write!(text, "-- \n{}\n", footer(notice, endpoint));
        text
    }

    /// The same as a page that needs no style, no picture and no script.
    #[must_use]
    pub fn html(&self, notice: &StoredNotice, endpoint: &Endpoint) -> String {
        let title = escaped(&format!("{} / {}", self.organization_name, self.title));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n<main>\n\
             <h1>{}</h1>\n<p>{}</p>\n",
            escaped(&self.title),
            escaped(&self.organization_name),
        );
        for sentence in &self.text {
            let _ = writeln!(page, "<p>{}</p>", escaped(sentence));
        }
        let _ = write!(
            page,
            "</main>\n<footer><p>{}</p></footer>\n</body>\n</html>\n",
            escaped(&footer(notice, endpoint))
        );
        page
    }
}

fn footer(notice: &StoredNotice, endpoint: &Endpoint) -> String {
    let (address, id) = (&endpoint.address, endpoint.id);
    let why = if notice.kind == NoticeKind::KeyIssued.name() {
        format!("the vendor named {address} as that of the buyer; it is written down nowhere else")
    } else if endpoint.organization == VENDOR {
        format!(
            "{address} is a contact of the vendor; any of the vendor's staff can take it off with `coterm contact remove \
             --vendor {id}`"
        )
    } else {
        format!(
            "{address} is a contact of this organization; whoever administers it can take it off with `coterm contact \
             remove {id}`"
        )
    };
    format!("You get this because {why}. Notice {}, made at {}.", notice.id, notice.made_at)
}

/// Text inside HTML: names are whatever people type.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_names_are_text_wherever_they_appear() {
        assert_eq!(escaped("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
        let body = Body {
            organization_name: "Acme\r\nBcc: eve@example.com".to_owned(),
            title: "t".to_owned(),
            text: Vec::new(),
            facts: Value::Null,
        };
        assert_eq!(body.subject(), "Acme  Bcc: eve@example.com / t");
    }
}
