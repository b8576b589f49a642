//! `/api-tokens`

use super::*;
use crate::auth::{Reach, RoleName, Secret, TokenId, TokenRecord};
use crate::http::once::{self, Answer, Once};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::time::Timestamp;
use serde_json::json;
use std::str::FromStr;

pub(super) fn routes() -> Routes {
    let new = body([
        ("name", text()),
        ("role", either(&["vendor", "org-admin", "org-viewer", "monitor"])),
        ("organization?", id("org")),
        ("expires_at?", instant()),
    ]);
    let made = Some((201, to("NewToken")));
    Routes::new()
        .get(
            "/api-tokens",
            list,
            Op::list(Who::Admin, "listApiTokens", "API tokens, never the secrets", to("Token")),
        )
        .post(
            "/api-tokens",
            create,
            Op::act(Who::Admin, "createApiToken", "Make an API token", made).body(new),
        )
        .delete(
            "/api-tokens/{token}",
            revoke,
            Op::act(Who::Admin, "revokeApiToken", "Revoke an API token, at once and for good", None),
        )
}

/// `GET /api-tokens`: the vendor's view has all, an org-admin's those of its organization. Never the tokens themselves.
pub(super) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response> {
    let own = ask.principal.role.organization();
    ask.may(Action::ListTokens(own))?;
    let page: Page<Cursor> = ask.page()?;
    // One more than is shown says that there is a next page.
    let after = page.after.as_ref().map(|cursor| &cursor.0);
    let visible = api.tokens().list_after(after, own, page.limit.saturating_add(1));
    let tokens = page::of(visible.into_iter(), &page, |token| Cursor(token.id.clone()), |token| token);
    Ok(Json(tokens).into_response())
}

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
        RoleName::parse(text).map(KnownRole).ok_or("one of vendor, org-admin, org-viewer and monitor")
    }
}

/// `POST /api-tokens` `{"name", "role", "organization"?, "expires_at"?}`
///
/// The token is in this answer and nowhere else: a repetition with the same Idempotency-Key makes no second token, and is
/// answered without it.
pub(super) async fn create(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.no_query()?;
    // Who may not even list tokens is told so before anything is said about the body.
    ask.may(Action::ListTokens(ask.principal.role.organization()))?;
    let turn = match once::begin(&api, &ask).await? {
        Once::Again(response) => return Ok(response),
        Once::Work(turn) => turn,
    };
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
            "required by org-admin and org-viewer, and refused by vendor and monitor",
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
    let mut body = json!(record);
    let answer = turn.as_ref().map(|turn| turn.answer(StatusCode::CREATED, Some(&body)));
    let (hash, kept) = (secret.hash(), record.clone());
    once::with(api.tokens(), move |store| store.insert(hash, kept, answer.as_ref())).await?;
    tracing::info!(token = record.id.as_str(), actor = %ask.principal, "made an API token");
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
    let visible = match ask.principal.role.reach() {
        Reach::All => true,
        Reach::Only(own) => scope.organization() == Some(own),
        Reach::Nothing => false,
    };
    if !visible {
        return Err(missing());
    }
    ask.may(Action::ManageToken(scope))?;
    once::answer(&api, &ask, async {
        let (id, now) = (record.id.clone(), ask.now);
        once::with(api.tokens(), move |store| store.revoke(&id, now)).await?;
        tracing::info!(token = record.id.as_str(), actor = %ask.principal, "revoked an API token");
        Ok(Answer::done())
    })
    .await
}
