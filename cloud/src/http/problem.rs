//! How the interface says no: RFC 9457 problem documents, one shape for every fault.
//!
//! A program reads `code` (stable, SCREAMING_SNAKE_CASE); a person reads `detail`, what is wrong, and `hint`, what to do
//! about it. `errors` lists every finding of the request, never only the first.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One finding of a refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable code.
    pub code: String,
    /// One sentence: what is wrong.
    pub message: String,
    /// One sentence: what to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// The field of the body, or the parameter of the query, it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Fault {
    /// A finding about a field.
    #[must_use]
    pub fn of_field(code: &str, field: &str, message: impl Into<String>) -> Fault {
        Fault {
            code: code.to_owned(),
            message: message.into(),
            hint: String::new(),
            field: Some(field.to_owned()),
        }
    }
}

/// A refused or failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    hint: String,
    errors: Vec<Fault>,
    retry_after_secs: Option<u64>,
}

/// What handlers return when they do not answer.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem with one finding: itself.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>, hint: &str) -> Problem {
        Problem {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            hint: hint.to_owned(),
            errors: Vec::new(),
            retry_after_secs: None,
        }
    }

    /// A problem with all its findings; the first gives it its code. `None` if there is no finding.
    #[must_use]
    pub fn listing(status: StatusCode, errors: Vec<Fault>) -> Option<Problem> {
        let first = errors.first()?.clone();
        let detail = match errors.len() {
            1 => first.message,
            n => format!("{} (the first of {n} findings)", first.message),
        };
        let hint = match first.hint {
            hint if hint.is_empty() => String::from("Correct what `errors` names and repeat the request."),
            hint => hint,
        };
        Some(Problem { status, code: first.code, detail, hint, errors, retry_after_secs: None })
    }

    /// The same, with findings.
    #[must_use]
    pub fn with(mut self, errors: Vec<Fault>) -> Problem {
        self.errors = errors;
        self
    }

    /// The same, with a time to wait before repeating the request.
    #[must_use]
    pub fn retry_after(mut self, secs: u64) -> Problem {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Whether it is a change that does not fit the state.
    #[must_use]
    pub fn is_a_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// 401: nobody is asking, as far as anyone can tell.
    #[must_use]
    pub fn unauthenticated() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHENTICATED",
            "No valid credential came with the request.",
            "Send `Authorization: Bearer ctk_…` with a token that is neither expired nor revoked.",
        )
    }

    /// 403: known, and not allowed.
    #[must_use]
    pub fn forbidden() -> Problem {
        Problem::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "The role of this token does not allow this.",
            "Use a token of a role that does: org-admin changes an organization, vendor the platform.",
        )
    }

    /// 404, alike for what does not exist and for what belongs to someone else.
    #[must_use]
    pub fn not_found(what: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("There is no such {what}, or it is not visible to this token."),
            "Check the id; list what there is.",
        )
    }

    /// 500: the cause is in the daemon's log under the request id, not in the answer.
    #[must_use]
    pub fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "The server failed; nothing is known to have changed.",
            "Repeat the request with the same Idempotency-Key; if it fails again, give the operator the X-Request-Id.",
        )
    }

    /// 500, with the cause logged.
    #[must_use]
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Problem {
        tracing::error!(error, "request failed");
        Problem::internal()
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> impl Serialize + use<> {
        #[derive(Serialize)]
        struct Document {
            #[serde(rename = "type")]
            kind: String,
            title: &'static str,
            status: u16,
            code: String,
            detail: String,
            #[serde(skip_serializing_if = "String::is_empty")]
            hint: String,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            errors: Vec<Fault>,
        }
        Document {
            kind: format!("urn:coterm:problem:{}", self.code.to_ascii_lowercase().replace('_', "-")),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code.clone(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            errors: self.errors.clone(),
        }
    }
}

/// The media type of a problem document (RFC 9457).
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
