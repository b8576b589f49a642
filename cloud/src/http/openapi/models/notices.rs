//! What the interface tells about notices and where they go (domain N1, N2).

use super::super::schema::{count, either, id, instant, list, maybe, object, said, text, to};
use super::{Named, joined};
use coterm_shared::licensing::NoticeKind;
use serde_json::json;

/// Endpoints, notices and deliveries.
pub(super) fn notices() -> Vec<Named> {
    let way = || either(&["email", "webhook"]);
    let kinds: Vec<&str> = NoticeKind::ALL.iter().map(|kind| kind.name()).collect();
    let endpoint = vec![
        ("id", id("ept")),
        ("kind", way()),
        ("address", text()),
        ("created_at", instant()),
        ("created_by", text()),
    ];
    let secret = vec![("secret?", said(text(), "of a webhook, `whsec_` and base64; shown this once"))];
    vec![
        ("Endpoint", joined(endpoint.clone(), Vec::new())),
        ("NewEndpoint", joined(endpoint, secret)),
        (
            "Notice",
            object([
                ("id", id("ntc")),
                ("organization", said(maybe(id("org")), "null if it is about none")),
                ("kind", either(&kinds)),
                ("made_at", instant()),
                ("about", said(maybe(instant()), "the date it is about: ahead, or since when it is so")),
                ("days", said(maybe(count()), "the threshold that passed, in days before that date")),
                ("title", text()),
                ("text", list(text())),
                ("facts", json!({ "type": "object", "additionalProperties": true })),
                ("deliveries", list(to("Delivery"))),
            ]),
        ),
        (
            "Delivery",
            object([
                ("endpoint", id("ept")),
                ("kind", way()),
                ("address", said(text(), "of a webhook without its path, which may be a secret")),
                ("state", either(&["waiting", "delivered", "dropped", "dead"])),
                ("attempts", count()),
                ("next_at", maybe(instant())),
                ("ended_at", maybe(instant())),
                ("error", maybe(text())),
            ]),
        ),
        ("Redelivered", object([("deliveries", count())])),
    ]
}
