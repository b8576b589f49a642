//! A request as handlers see it: who asks, what was sent, under which conditions.
//!
//! The principal is looked up before a byte of the body is read, so nobody unknown can make the daemon buffer anything.

use super::encoded;
use super::fields::Fields;
use super::layers::{MAX_BODY_BYTES, RequestId};
use super::problem::{Problem, Result};
use super::{Api, ids};
use crate::auth::{Access, Action, Principal, access, parse_bearer};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Actor, PreviewDigest};
use coterm_shared::time::Timestamp;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// Elements of a page if `limit` is not given.
pub const DEFAULT_LIMIT: usize = 100;
/// Elements of a page at most.
pub const MAX_LIMIT: u64 = 1000;

/// One request of an authenticated principal.
#[derive(Debug)]
pub struct Ask {
    /// Who asks.
    pub principal: Principal,
    /// The request's name.
    pub request_id: String,
    /// Cloud time when it came.
    pub now: Timestamp,
    what: String,
    query: Vec<(String, String)>,
    /// Parameters that are encoded wrong.
    garbled: Vec<String>,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<Api> for Ask {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Ask> {
        let (mut parts, body) = request.into_parts();
        let (principal, query) = asked(&mut parts, api).await?;
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                format!("The body has more than {MAX_BODY_BYTES} bytes, or broke off."),
                "Send less at a time.",
            )
        })?;
        if !body.is_empty() && !is_json(&parts.headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "NOT_JSON",
                "The body is not declared to be JSON.",
                "Send `Content-Type: application/json`.",
            ));
        }
        Ok(Ask::of(parts, principal, query, body, api))
    }
}

/// Who asks, and with which parameters: all before a byte of the body is read.
async fn asked(parts: &mut Parts, api: &Api) -> Result<(Principal, Vec<(String, String)>)> {
    let principal = authenticate(parts, api)?;
    let Query(query) =
        Query::<Vec<(String, String)>>::from_request_parts(parts, api).await.map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_QUERY", "The query is malformed.", "")
        })?;
    Ok((principal, query))
}

/// A request whose body is a file, still to be read.
#[derive(Debug)]
pub struct Upload {
    /// The request, without its body.
    pub ask: Ask,
    /// The body.
    pub body: Body,
}

impl FromRequest<Api> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Upload> {
        let (mut parts, body) = request.into_parts();
        let (principal, query) = asked(&mut parts, api).await?;
        Ok(Upload { ask: Ask::of(parts, principal, query, Bytes::new(), api), body })
    }
}

impl Ask {
    fn of(parts: Parts, principal: Principal, query: Vec<(String, String)>, body: Bytes, api: &Api) -> Ask {
        Ask {
            principal,
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            now: api.now(),
            what: format!("{} {}", parts.method, parts.uri),
            query,
            garbled: parts.uri.query().map(encoded::garbled).unwrap_or_default(),
            headers: parts.headers,
            body,
        }
    }
}

fn authenticate(parts: &Parts, api: &Api) -> Result<Principal> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let secret = values.next().and_then(|value| value.to_str().ok()).and_then(parse_bearer);
    // Two credentials are none: whoever put a second one in front of ours must not choose.
    match (secret, values.next()) {
        (Some(secret), None) => {
            api.tokens().principal(&secret.hash(), api.books().latest()).ok_or_else(Problem::unauthenticated)
        }
        (Some(_) | None, _) => Err(Problem::unauthenticated()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    is_of(headers, "application/json")
}

fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(kind))
}

impl Ask {
    /// Goes on only if the role matrix allows it.
    ///
    /// # Errors
    /// 403, or 404 for what this principal may not know of.
    pub fn may(&self, action: Action) -> Result<()> {
        match access(self.principal.role, action) {
            Access::Allowed => Ok(()),
            Access::Forbidden => Err(Problem::forbidden()),
            Access::Hidden => Err(Problem::not_found("organization")),
        }
    }

    /// Who asks, as held operations tell one principal from another (domain E6).
    #[must_use]
    pub fn actor(&self) -> Actor {
        let Principal { id, name, role } = &self.principal;
        Actor { id: id.clone(), name: format!("{name} ({})", role.name().as_str()) }
    }

    /// The organization named in the path, if this principal may do `action` with it.
    ///
    /// # Errors
    /// 404 for no such organization or none of this principal's; 403.
    pub fn organization(&self, id: &str, action: fn(OrganizationId) -> Action) -> Result<OrganizationId> {
        let id = ids::of_path(id, "organization")?;
        self.may(action(id)).map(|()| id)
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The fields of the body.
    ///
    /// # Errors
    /// 400 if it is not a JSON object.
    pub fn body(&self) -> Result<Fields> {
        Fields::of_body(&self.body)
    }

    /// The parameters of the query.
    #[must_use]
    pub fn query(&self) -> Fields {
        Fields::of_query(self.query.clone(), &self.garbled)
    }

    /// That there are no parameters.
    ///
    /// # Errors
    /// 422 naming those there are.
    pub fn no_query(&self) -> Result<()> {
        self.query().finish(|| Some(()))
    }

    /// That there is no body.
    ///
    /// # Errors
    /// 422 naming its fields.
    pub fn no_body(&self) -> Result<()> {
        self.body()?.finish(|| Some(()))
    }

    /// Whether only a preview is wanted: the one parameter every licensing change has.
    ///
    /// # Errors
    /// 422 for any other parameter.
    pub fn dry_run(&self) -> Result<bool> {
        let mut query = self.query();
        let dry_run = query.flag("dry_run");
        query.finish(|| dry_run)
    }

    /// The page wanted, and nothing else.
    ///
    /// # Errors
    /// 422 for any other parameter, or a bad one.
    pub fn page<K: FromStr>(&self) -> Result<Page<K>> {
        let mut query = self.query();
        let page = Page::of(&mut query);
        query.finish(|| page)
    }

    /// The version the caller has seen, from `If-Match`; `None` if any will do.
    ///
    /// # Errors
    /// 412 for a tag this interface never gave.
    pub fn expected_version(&self) -> Result<Option<u64>> {
        let mut values = self.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let version = text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"')).and_then(version_in);
        match (version, values.next()) {
            (Some(version), None) => Ok(Some(version)),
            (Some(_) | None, _) => Err(stale()),
        }
    }

    /// The digest of the preview the caller has seen, from `Preview-Digest`; `None` if any state will do.
    ///
    /// # Errors
    /// 422 for what is not the digest of a preview.
    pub fn expected_preview(&self) -> Result<Option<PreviewDigest>> {
        let mut values = self.headers.get_all("preview-digest").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let digest = value.to_str().unwrap_or_default().trim().parse();
        match (digest, values.next()) {
            (Ok(digest), None) => Ok(Some(digest)),
            (Ok(_) | Err(_), _) => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "BAD_PREVIEW_DIGEST",
                "Preview-Digest is not the digest of a preview.",
                "Send the field `digest` of the preview as it came: 64 hexadecimal digits.",
            )),
        }
    }

    /// The key that makes a repetition harmless, with a fingerprint of what was asked.
    ///
    /// # Errors
    /// 422 if the key is not 1 to 128 printable ASCII characters.
    pub fn idempotency_key(&self) -> Result<Option<(String, [u8; 32])>> {
        self.idempotency_key_of("")
    }

    /// Goes on only if the body is declared to be a CSV file.
    ///
    /// # Errors
    /// 415.
    pub fn is_csv(&self) -> Result<()> {
        if is_of(&self.headers, "text/csv") {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "NOT_CSV",
            "The body is not declared to be CSV.",
            "Send `Content-Type: text/csv`.",
        ))
    }

    /// The same for a request with a file, by its hash.
    ///
    /// # Errors
    /// As [`Ask::idempotency_key`].
    pub fn idempotency_key_of(&self, print: &str) -> Result<Option<(String, [u8; 32])>> {
        let Some(value) = self.headers.get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > 128 || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "BAD_IDEMPOTENCY_KEY",
                "An Idempotency-Key has 1 to 128 printable ASCII characters without spaces.",
                "Use a fresh UUID for each new request, and the same one to repeat it.",
            ));
        }
        let mut sha = Sha256::new();
        sha.update((self.what.len() as u64).to_be_bytes());
        sha.update(self.what.as_bytes());
        sha.update(&self.body);
        sha.update(print.as_bytes());
        Ok(Some((key.to_owned(), sha.finalize().into())))
    }
}

/// The version in a tag, which may have the second it was given at behind it.
fn version_in(tag: &str) -> Option<u64> {
    let (version, second) = tag.split_once('.').unwrap_or((tag, "0"));
    second.parse::<u64>().ok()?;
    version.parse().ok()
}

/// 412: the caller's tag is not the resource's.
#[must_use]
pub fn stale() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "VERSION_CONFLICT",
        "The organization has changed since the version in If-Match.",
        "Read it again, look at what changed, and repeat with the new ETag.",
    )
}

/// A page of a list that is ordered by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// How many elements at most.
    pub limit: usize,
    /// Only elements with a key above this.
    pub after: Option<K>,
}

impl<K: FromStr> Page<K> {
    /// Reads `limit` and `cursor`. A cursor only ever says where in its own list to go on, so one that somebody made up
    /// shows nothing that the list would not; one that cannot be of this list is refused.
    pub fn of(query: &mut Fields) -> Option<Page<K>> {
        let limit = query.optional_integer("limit", 1, MAX_LIMIT);
        let after = query.optional::<String>("cursor")?.map(|cursor| cursor.parse().ok());
        if matches!(after, Some(None)) {
            query.fault("BAD_CURSOR", "cursor", BAD_CURSOR);
            return None;
        }
        let limit = limit?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
        Some(Page { limit, after: after.flatten() })
    }
}

/// What is said of a cursor that is none.
pub const BAD_CURSOR: &str =
    "`cursor` is not the `next_cursor` of an earlier page of this list: start without one";
