//! What every request passes through before a handler sees it, and every response on its way out.

use super::problem::{PROBLEM_JSON, Problem};
use crate::metrics::Metrics;
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

/// The longest that a file takes to be sent and imported.
pub const IMPORT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The end of the one route that takes files.
const IMPORTS: &str = "/imports/{kind}";

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
pub async fn envelope(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
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
    let (started, in_flight, method) = (Instant::now(), metrics.http.begin(), request.method().clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let took = started.elapsed();
    metrics.http.answered(&method, route.as_deref(), response.status(), took);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(parent: &span, status = response.status().as_u16(), millis, "answered");
    if let Some(status) = unexplained(&response) {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = explain(status).into_response();
        response.headers_mut().extend(allow.map(|methods| (header::ALLOW, methods)));
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The status of a refusal that is not this interface's own: the framework's, in plain text.
fn unexplained(response: &Response) -> Option<StatusCode> {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM_JSON);
    ((status.is_client_error() || status.is_server_error()) && !ours).then_some(status)
}

fn explain(status: StatusCode) -> Problem {
    if status.is_server_error() {
        return Problem::internal();
    }
    Problem::new(
        status,
        "MALFORMED_REQUEST",
        "The request is not well formed.",
        "Check its path and its headers.",
    )
}

/// Bounds the number of requests in flight and the time of each.
pub async fn bounds(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_slot) = slots.try_acquire() else {
        return busy().into_response();
    };
    let imports =
        request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str().ends_with(IMPORTS));
    let longest = if imports { IMPORT_TIMEOUT } else { REQUEST_TIMEOUT };
    match tokio::time::timeout(longest, next.run(request)).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    async fn answer(slots: usize, path: &str) -> (u16, String, HeaderMap) {
        let router = Router::new()
            .route("/panics", get(|| async { panic!("secret") as &'static str }))
            .route("/hangs", get(std::future::pending::<&'static str>))
            .route("/plain", get(|| async { (StatusCode::BAD_REQUEST, "plain") }))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(Arc::new(Semaphore::new(slots)), bounds))
            .layer(from_fn_with_state(Arc::new(Metrics::default()), envelope));
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_happens_the_answer_is_a_named_problem() {
        for (slots, path, status, code) in [
            (1, "/panics", 500, "INTERNAL"),
            (1, "/hangs", 503, "TIMEOUT"),
            (1, "/plain", 400, "MALFORMED_REQUEST"),
            (0, "/plain", 429, "BUSY"),
        ] {
            let (found, body, headers) = answer(slots, path).await;
            assert_eq!(found, status, "{path}: {body}");
            assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
            assert!(!body.contains("secret") && headers.contains_key(REQUEST_ID));
            assert_eq!(headers.contains_key(header::RETRY_AFTER), [429, 503].contains(&status), "{path}");
        }
    }
}
