//! Lists in pages: keyset cursors, so that a list that changes between pages neither repeats nor skips what stayed.
//!
//! Whoever makes a list starts it right after the cursor, by a walk down a tree or an index: the last page of a long list
//! costs what the first does.

use super::problem::{Problem, Result};
use axum::Json;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use coterm_shared::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Display;

pub(super) use super::ask::Page;

/// Until when an answer stays as it is if nobody changes anything.
const VALID_UNTIL: HeaderName = HeaderName::from_static("valid-until");

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

/// An answer with a tag of its own: the print of what it says.
pub(super) fn tagged_as(print: &str, headers: &HeaderMap, body: &impl Serialize) -> Result<Response> {
    answer(tag(print), headers, body)
}

/// An answer tagged with a print of its own text.
pub(super) fn printed(headers: &HeaderMap, body: &impl Serialize) -> Result<Response> {
    let text = serde_json::to_vec(body).map_err(|error| Problem::failed(&error))?;
    tagged_as(&print_of(&text), headers, body)
}

/// The same of a plain text, whose media type the caller says.
pub(super) fn printed_text(headers: &HeaderMap, text: String) -> Result<Response> {
    let print = print_of(text.as_bytes());
    let mut response = tagged_as(&print, headers, &())?;
    if response.status() == StatusCode::OK {
        *response.body_mut() = Body::from(text);
    }
    Ok(response)
}

fn print_of(text: &[u8]) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// An answer that has no tag.
pub(super) fn plain(body: &impl Serialize) -> Response {
    Json(body).into_response()
}

/// Seconds for which an answer may be kept without asking again, at most: whoever claims a license is let in at once.
const KEPT_SECS: u64 = 10;

/// An answer that may be kept for a moment, and that stays as it is until `until` if nobody changes anything.
pub(super) fn fresh(mut response: Response, now: Timestamp, until: Option<Timestamp>) -> Response {
    let left = until.map_or(KEPT_SECS, |until| until.since(now).0.min(KEPT_SECS));
    let kept = format!("private, max-age={left}, must-revalidate");
    let until = until.map(|until| until.to_string());
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(kept).ok().map(|value| (CACHE_CONTROL, value)));
    let until = until.and_then(|until| HeaderValue::try_from(until).ok());
    headers.extend(until.map(|value| (VALID_UNTIL, value)));
    response
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
