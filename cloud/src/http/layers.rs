//! What every request passes through before a handler sees it, and every response on its way out.

use super::problem::Problem;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// The header that names a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a request body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A request takes at most this long, its body included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests worked on at a time; more are told to come back.
pub const MAX_IN_FLIGHT: usize = 512;

/// The name of one request: the caller's, if it is fit for a log, or a fresh one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    fn of(request: &Request) -> RequestId {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let fit = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match given.filter(fit) {
            Some(text) => RequestId(text.to_owned()),
            None => {
                let mut bytes = [0_u8; 16];
                // A request without randomness still gets an answer; its name is then all zeros.
                let _ = getrandom::fill(&mut bytes);
                RequestId(uuid::Uuid::from_bytes(bytes).simple().to_string())
            }
        }
    }
}

/// Names the request, traces it, and puts the name and the headers of every API answer on the response.
pub async fn envelope(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http",
        method = %request.method(),
        // The template, not the path: a path may carry what no log should.
        route = route.as_deref().unwrap_or("(none)"),
        request_id = %id.0,
    );
    request.extensions_mut().insert(id.clone());
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(parent: &span, status = response.status().as_u16(), millis, "answered");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Bounds the number of requests in flight and the time of each.
pub async fn bounds(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = slots.try_acquire() else {
        return busy().into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "TIMEOUT",
            "The request took too long; whether it changed anything is not known.",
            "Repeat it with the same Idempotency-Key: it will not be done twice.",
        )
        .retry_after(1)
        .into_response(),
    }
}

/// 429: more is asked than can be worked on.
#[must_use]
pub fn busy() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "BUSY",
        "The server has as much work as it can queue; this request was not looked at.",
        "Repeat it after the time in Retry-After, with the same Idempotency-Key.",
    )
    .retry_after(1)
}

/// The answer when a handler panicked: the daemon lives on.
pub fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)");
    tracing::error!(panic = text, "a handler panicked");
    Problem::internal().into_response()
}
