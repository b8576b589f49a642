//! The one way a change is made: previewed, conditional, once.

use super::Api;
use super::ask::{Ask, stale};
use super::layers::busy;
use super::openapi::status_of;
use super::page::etag;
use super::problem::{Fault, PROBLEM_JSON, Problem, Result};
use crate::books::{BooksError, Change, Committed, Idempotency, Request, StoredResponse};
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coterm_shared::licensing::{HeldView, PreviewDigest, RefusalCode, Refusals, another_change, check_shown};
use serde_json::{Value, json};

/// Says that a response is that of an earlier request with the same key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Makes a change, or says what it would do if the request has `?dry_run=true`.
///
/// `show` makes the body of the answer from the outcome; it runs inside the transaction and is what a repetition of the
/// request is answered with, so it must not contain what may be shown only once. 204 if it shows nothing.
pub(super) async fn make(
    api: &Api,
    ask: &Ask,
    change: Change,
    status: StatusCode,
    show: impl FnOnce(&Committed) -> Option<Value> + Send + 'static,
) -> Result<Response> {
    make_and_tell(api, ask, change, None, status, show).await
}

/// The same, and the buyer of the key it issues is told at this address, in the same transaction.
pub(super) async fn make_and_tell(
    api: &Api,
    ask: &Ask,
    change: Change,
    buyer: Option<String>,
    status: StatusCode,
    show: impl FnOnce(&Committed) -> Option<Value> + Send + 'static,
) -> Result<Response> {
    let expected_version = ask.expected_version()?;
    let expected_preview = ask.expected_preview()?;
    let idempotency = ask.idempotency_key()?;
    if ask.dry_run()? {
        return preview(api, change, expected_version, expected_preview).await;
    }
    let respond = move |committed: &Committed| match shown(committed, show) {
        (true, Some(body)) => {
            StoredResponse { status: StatusCode::ACCEPTED.as_u16(), body: body.to_string().into_bytes() }
        }
        (_, shown) => answered(shown, status),
    };
    let request = Request {
        by: ask.actor(),
        actor: ask.principal.to_string(),
        request_id: ask.request_id.clone(),
        change,
        expected_version,
        expected_preview,
        buyer,
        idempotency: idempotency.map(|(key, fingerprint)| Idempotency {
            principal: ask.principal.id.clone(),
            key,
            fingerprint,
        }),
        respond: Some(Box::new(respond)),
    };
    let Committed { version, response, replayed, .. } =
        api.books().execute(request).await.map_err(|error| refused(&error))?;
    let again = replayed.is_some();
    let stored = replayed.or(response).ok_or_else(Problem::internal)?;
    let mut answer = send(stored)?;
    if again {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    } else {
        // A repetition has no tag: the organization may have moved on since.
        answer.headers_mut().insert(header::ETAG, etag(version));
    }
    Ok(answer)
}

/// What is answered: what was done, or that it waits for the vendor and what it would do (domain E6).
fn shown(committed: &Committed, show: impl FnOnce(&Committed) -> Option<Value>) -> (bool, Option<Value>) {
    match &committed.held {
        Some(held) => {
            let body = json!({ "held": HeldView::of(&held.operation), "preview": held.preview });
            (true, Some(body))
        }
        None => (false, show(committed)),
    }
}

fn answered(shown: Option<Value>, status: StatusCode) -> StoredResponse {
    match shown {
        Some(body) => StoredResponse { status: status.as_u16(), body: body.to_string().into_bytes() },
        None => StoredResponse { status: StatusCode::NO_CONTENT.as_u16(), body: Vec::new() },
    }
}

async fn preview(
    api: &Api,
    change: Change,
    expected: Option<u64>,
    shown: Option<PreviewDigest>,
) -> Result<Response> {
    let founds = matches!(change, Change::FoundOrganization(_));
    let preview = api.books().preview(change).await.map_err(|error| refused(&error))?;
    let Some(preview) = preview else {
        // The platform alone, or an organization that is not yet there: their previews have no digest.
        if shown.is_some() {
            return Err(refusal(&another_change()));
        }
        let version = if founds { 0 } else { api.books().platform().version() };
        if expected.is_some_and(|expected| expected != version) {
            return Err(stale());
        }
        return Ok(
            ([(header::ETAG, etag(version))], Json(json!({ "groups": [], "events": [] }))).into_response()
        );
    };
    if expected.is_some_and(|expected| expected != preview.version) {
        return Err(stale());
    }
    if let Some(shown) = shown {
        check_shown(&preview.digest, &shown).map_err(|refusals| refusal(&refusals))?;
    }
    Ok(([(header::ETAG, etag(preview.version))], Json(preview)).into_response())
}

pub(super) fn send(stored: StoredResponse) -> Result<Response> {
    let status = StatusCode::from_u16(stored.status).map_err(|_| Problem::internal())?;
    if stored.body.is_empty() {
        return Ok(status.into_response());
    }
    let kind = if status.is_success() { HeaderValue::from_static("application/json") } else { PROBLEM_JSON };
    Ok((status, [(header::CONTENT_TYPE, kind)], stored.body).into_response())
}

/// The problem a failure of the books is.
pub(super) fn refused(error: &BooksError) -> Problem {
    let problem = |status, detail: String| Problem::new(status, error.code(), detail, error.hint());
    let sentence = format!("{error}.");
    match error {
        BooksError::Refused(refusals) => refusal(refusals),
        BooksError::VersionConflict { .. } => stale(),
        BooksError::IdempotencyKeyReused => problem(StatusCode::CONFLICT, sentence),
        BooksError::Busy => busy(),
        BooksError::Closed => problem(StatusCode::SERVICE_UNAVAILABLE, sentence).retry_after(5),
        BooksError::TimeDoubt(_) => problem(StatusCode::SERVICE_UNAVAILABLE, sentence),
        BooksError::Store(cause) => {
            tracing::error!(error = %cause, "the store failed");
            // What a file system says is the operator's business, not the caller's.
            let detail = String::from("The store failed; whether the change was made is not known.");
            problem(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
        }
        BooksError::Internal => Problem::internal(),
    }
}

/// The problem of a refusal, with all its reasons.
pub(super) fn refusal(refusals: &Refusals) -> Problem {
    refusal_as(refusals, |status| status)
}

/// The same of a file: what a line of it names and is not there is wrong in the file, not in the request.
pub(super) fn refusal_of_file(refusals: &Refusals) -> Problem {
    refusal_as(refusals, |status| match status {
        StatusCode::NOT_FOUND => StatusCode::UNPROCESSABLE_ENTITY,
        other => other,
    })
}

fn refusal_as(refusals: &Refusals, as_status: impl FnOnce(StatusCode) -> StatusCode) -> Problem {
    let kind = refusals.kind();
    let status = as_status(StatusCode::from_u16(status_of(kind)).unwrap_or(StatusCode::CONFLICT));
    // The first finding gives the problem its code, so it is one that the status is about.
    let (fitting, others): (Vec<_>, Vec<_>) =
        refusals.all().iter().partition(|refusal| refusal.code.kind() == kind);
    let faults = fitting.into_iter().chain(others).map(|refusal| Fault {
        code: refusal.code.as_str().to_owned(),
        message: refusal.message.clone(),
        hint: refusal.hint.clone(),
        field: refusal.field.clone(),
    });
    if refusals.has(RefusalCode::OrganizationNotFound) {
        return Problem::not_found("organization");
    }
    Problem::listing(status, faults.collect()).unwrap_or_else(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use coterm_shared::licensing::Refusal;
    use std::sync::Arc;

    #[test]
    fn failures_of_the_books_have_a_status_a_code_and_a_hint() {
        let store = |error| BooksError::Store(Arc::new(error));
        let rule = |code| BooksError::Refused(Refusal::new(code, "m", "h").into());
        for (error, status, code, retry) in [
            (BooksError::Busy, 429, "BUSY", true),
            (BooksError::Closed, 503, "CLOSED", true),
            (BooksError::Internal, 500, "INTERNAL", false),
            (BooksError::IdempotencyKeyReused, 409, "IDEMPOTENCY_KEY_REUSED", false),
            (BooksError::VersionConflict { expected: 1, actual: 2 }, 412, "VERSION_CONFLICT", false),
            (store(StoreError::Full), 503, "STORAGE_FULL", true),
            (store(StoreError::Damaged(String::from("/var/x"))), 503, "STORAGE_FAILED", true),
            (rule(RefusalCode::NameInvalid), 422, "NAME_INVALID", false),
            (rule(RefusalCode::GroupNotFound), 404, "GROUP_NOT_FOUND", false),
            (rule(RefusalCode::OrganizationNotFound), 404, "NOT_FOUND", false),
            (rule(RefusalCode::NameTaken), 409, "NAME_TAKEN", false),
        ] {
            let response = refused(&error).into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry, "{error:?}");
            let document = json!(refused(&error).document());
            assert_eq!(
                (response.status().as_u16(), document["code"].as_str()),
                (status, Some(code)),
                "{error:?}"
            );
            assert!(document["hint"].is_string());
            assert!(!document.to_string().contains("/var"), "what a file system says stays in the log");
        }
    }
}
