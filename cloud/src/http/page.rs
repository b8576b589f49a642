//! Lists in pages: keyset cursors, so that a list that changes between pages neither repeats nor skips what stayed.
//!
//! Whoever makes a list starts it right after the cursor, by a walk down a tree or an index: the last page of a long list
//! costs what the first does.

use super::problem::Result;
use axum::Json;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use coterm_shared::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Display;

pub(super) use super::ask::Page;

/// One page: the first of `items`, which begin after the page before it and come in ascending order of `key`.
pub(super) fn of<T, K: Display, V: Serialize>(
    mut items: impl Iterator<Item = T>,
    page: &Page<K>,
    key: impl Fn(&T) -> K,
    view: impl Fn(T) -> V,
) -> Value {
    let mut shown = Vec::new();
    let mut last = None;
    for item in items.by_ref().take(page.limit) {
        last = Some(key(&item));
        shown.push(json!(view(item)));
    }
    let next = if items.next().is_some() { last } else { None };
    json!({ "items": shown, "next_cursor": next.map(|key| key.to_string()) })
}

/// The tag of a version.
pub(super) fn etag(version: u64) -> HeaderValue {
    tag(&format!("v{version}"))
}

fn tag(text: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"v0\""))
}

/// An answer about something that has a version.
pub(super) fn tagged(version: u64, headers: &HeaderMap, body: &impl Serialize) -> Result<Response> {
    answer(etag(version), headers, body)
}

/// An answer about something that has a version and shows how long something still takes: it is another one every
/// second, and so is its tag. As a condition of a change it counts by its version alone.
pub(super) fn tagged_now(
    version: u64,
    now: Timestamp,
    headers: &HeaderMap,
    body: &impl Serialize,
) -> Result<Response> {
    answer(tag(&format!("v{version}.{}", now.as_secs())), headers, body)
}

fn answer(tag: HeaderValue, headers: &HeaderMap, body: &impl Serialize) -> Result<Response> {
    // Compared weakly, as RFC 9110 has it: what a proxy made weak is still what was given.
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    if known.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG, tag)], Json(body)).into_response())
}
