//! The stable codes of refusals and failures, by status: those of the rules, and those of the interface itself.

use coterm_shared::licensing::{RefusalCode, RefusalKind};

/// The statuses of refusals and failures: status, name of its component, what it says, the interface's own codes.
pub(super) const FAULTS: &[(u16, &str, &str, &[&str])] = &[
    (400, "BadRequest", "Not well formed", &["MALFORMED_JSON", "MALFORMED_QUERY", "MALFORMED_REQUEST"]),
    (401, "Unauthenticated", "No valid credential", &["UNAUTHENTICATED"]),
    (403, "Forbidden", "The role of the token does not allow it", &["FORBIDDEN"]),
    (404, "NotFound", "It does not exist, or not for this token", &["NOT_FOUND", "NO_SUCH_ROUTE"]),
    (
        409,
        "Conflict",
        "It does not fit the present state",
        &[
            "IDEMPOTENCY_KEY_REUSED",
            "DEVICE_RETIRED",
            "TOO_MANY_TOKENS",
            "NO_MAIL_SERVER",
            "ENDPOINT_EXISTS",
            "TOO_MANY_ENDPOINTS",
            "NO_SECRET",
        ],
    ),
    (412, "PreconditionFailed", "Changed since the version in If-Match", &["VERSION_CONFLICT"]),
    (413, "TooLarge", "The body is too large", &["BODY_TOO_LARGE"]),
    (415, "UnsupportedMediaType", "The body is not declared to be JSON", &["NOT_CSV", "NOT_JSON"]),
    (
        422,
        "Invalid",
        "Something asked for is wrong in itself; all findings are listed",
        &[
            "MISSING_FIELD",
            "UNKNOWN_FIELD",
            "DUPLICATE_FIELD",
            "CONFLICTING_FIELDS",
            "WRONG_TYPE",
            "OUT_OF_RANGE",
            "INVALID_VALUE",
            "BAD_CURSOR",
            "AT_IS_PAST",
            "BAD_IDEMPOTENCY_KEY",
            "BAD_PREVIEW_DIGEST",
            // What a line of a file names and is not there is wrong in the file.
            "GROUP_NOT_FOUND",
            "MODEL_UNKNOWN",
            "SITE_NOT_FOUND",
        ],
    ),
    (
        429,
        "TooManyRequests",
        "More is asked than can be worked on; repeat after the time in Retry-After",
        &["BUSY", "TOO_MANY_WRONG_CODES"],
    ),
    (500, "Failed", "The server failed", &["INTERNAL"]),
    (
        503,
        "Unavailable",
        "The server cannot do it now",
        &[
            "TIMEOUT",
            "CLOSED",
            "TIME_IN_DOUBT",
            "STORAGE_FULL",
            "STORAGE_FAILED",
            "NOT_READY",
            "NOT_HEALTHY",
            "STOPPING",
            "BROKER_DOWN",
            "STORE_FAILING",
            "WRITER_STUCK",
            "RECONCILER_GONE",
        ],
    ),
];

/// Every code a problem with this status can have.
pub(super) fn of_status(status: u16, own: &[&'static str]) -> Vec<&'static str> {
    let of_rules = RefusalCode::ALL.iter().filter(|code| status == status_of(code.kind()));
    let mut all: Vec<&str> = own.iter().copied().chain(of_rules.map(|code| code.as_str())).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Every code a finding can have, of whatever status.
pub(super) fn all() -> Vec<&'static str> {
    let mut all: Vec<&str> = FAULTS.iter().flat_map(|(status, _, _, own)| of_status(*status, own)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The status of a refusal by the rules.
pub(in crate::http) const fn status_of(kind: RefusalKind) -> u16 {
    match kind {
        RefusalKind::Invalid => 422,
        RefusalKind::NotFound => 404,
        RefusalKind::Conflict => 409,
        RefusalKind::Forbidden => 403,
    }
}
