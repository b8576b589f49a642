//! `/api-tokens`

use super::*;
use crate::auth::{RoleName, Secret, TokenError, TokenId, TokenRecord};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::time::Timestamp;
use serde_json::json;
use std::str::FromStr;

/// `GET /api-tokens`: the vendor's view has all, an org-admin's those of its organization. Never the tokens themselves.
pub(super) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response> {
    let own = ask.principal.role.organization();
    ask.may(Action::ListTokens(own))?;
    let page: Page<Cursor> = ask.page()?;
    let visible = api.tokens().list().into_iter().filter(|token| own.is_none() || token.organization == own);
    Ok(Json(page::of(visible, &page, |token| Cursor(token.id.clone()), |token| token)).into_response())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cursor(TokenId);

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        TokenId::parse(text).map(Cursor).ok_or("not a token id")
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

struct KnownRole(RoleName);

impl FromStr for KnownRole {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        RoleName::parse(text).map(KnownRole).ok_or("one of vendor, org-admin and org-viewer")
    }
}

/// `POST /api-tokens` `{"name", "role", "organization"?, "expires_at"?}`
///
/// The token is in this answer and nowhere else: a repetition with the same Idempotency-Key makes no second token and
/// says so.
pub(super) async fn create(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.no_query()?;
    // Who may not even list tokens is told so before anything is said about the body.
    ask.may(Action::ListTokens(ask.principal.role.organization()))?;
    let mut body = ask.body()?;
    let name = body.name("name");
    let role = body.parsed::<KnownRole>("role");
    let organization = body.optional::<OrganizationId>("organization");
    let expires_at = body.optional::<Timestamp>("expires_at");
    let scope = role.as_ref().zip(organization).map(|(role, id)| role.0.scoped(id));
    if scope == Some(None) {
        body.fault(
            "INVALID_VALUE",
            "organization",
            "required by org-admin and org-viewer, and refused by vendor",
        );
    }
    if expires_at.flatten().is_some_and(|at| at <= ask.now) {
        body.fault("OUT_OF_RANGE", "expires_at", "`expires_at` has passed already");
    }
    let (name, scope, expires_at) = body.finish(|| Some((name?, scope??, expires_at?)))?;
    ask.may(Action::ManageToken(scope))?;
    if scope.organization().is_some_and(|id| api.books().organization(id).is_none()) {
        return Err(Problem::not_found("organization"));
    }
    let secret = Secret::generate().map_err(|_| Problem::internal())?;
    let record = TokenRecord {
        id: TokenId::from_bytes(ids::fresh(ask.now)?),
        name,
        role: scope.name(),
        organization: scope.organization(),
        created_at: ask.now,
        created_by: ask.principal.to_string(),
        expires_at,
        revoked_at: None,
    };
    let request_key = ask.idempotency_key()?.map(|(key, _)| format!("{} {key}", ask.principal.id));
    let (store, hash, kept) = (api.tokens().clone(), secret.hash(), record.clone());
    blocking(move || store.insert(hash, kept, request_key.as_deref())).await?;
    tracing::info!(token = record.id.as_str(), actor = %ask.principal, "made an API token");
    let mut body = json!(record);
    if let Some(fields) = body.as_object_mut() {
        fields.insert(String::from("token"), json!(secret.reveal()));
    }
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `DELETE /api-tokens/{token}`: revokes it, at once and for good.
pub(super) async fn revoke(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    ask.no_query()?;
    ask.no_body()?;
    let missing = || Problem::not_found("API token");
    let record = TokenId::parse(&id).and_then(|id| api.tokens().find(&id)).ok_or_else(missing)?;
    let scope = record.scope().ok_or_else(missing)?;
    // A token of another tenant, and the vendor's, is as unknown to this one as any other text.
    let visible = ask.principal.role.organization().is_none_or(|own| scope.organization() == Some(own));
    if !visible {
        return Err(missing());
    }
    ask.may(Action::ManageToken(scope))?;
    let (store, id, now) = (api.tokens().clone(), record.id.clone(), ask.now);
    blocking(move || store.revoke(&id, now)).await?;
    tracing::info!(token = record.id.as_str(), actor = %ask.principal, "revoked an API token");
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, TokenError> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Problem::failed(&error))?;
    done.map_err(|error| match error {
        TokenError::AlreadyMade(_) => Problem::new(
            StatusCode::CONFLICT,
            "TOKEN_ALREADY_MADE",
            format!("{error}; it was shown then and cannot be shown again."),
            "If it did not arrive, revoke it and make another with a new Idempotency-Key.",
        ),
        TokenError::Full => Problem::new(
            StatusCode::CONFLICT,
            "TOO_MANY_TOKENS",
            format!("{error}."),
            "Revoke those nobody uses.",
        ),
        TokenError::Database(_) | TokenError::Corrupt(_) => Problem::failed(&error),
    })
}
