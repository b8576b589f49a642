//! `/keys` for the vendor, `/organizations/{organization}/keys` for those who claim them.

use super::*;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{GroupId, KeyId};
use coterm_shared::licensing::view::KeyView;
use coterm_shared::licensing::{ClaimMode, IssuedKey, OrderLine, RefusalCode, Refusals};
use coterm_shared::platform::code::{KeyCode, masked};
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use coterm_shared::time::Timestamp;
use serde_json::json;

/// `GET /keys`: all that were ever issued, codes masked.
pub(super) async fn list_issued(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let page: Page<KeyId> = ask.page()?;
    let platform = api.books().platform();
    let keys = page::of(platform.keys(), &page, |key| key.id, issued_view);
    page::tagged(platform.version(), ask.headers(), &keys)
}

fn issued_view(key: &IssuedKey) -> Value {
    json!({
        "id": key.id,
        "code": masked(&key.code_tail),
        "order_number": key.order_number,
        "lines": key.lines,
        "term_days": key.term_days,
        "created_at": key.created_at,
        "ends_at": key.ends_at,
    })
}

/// `POST /keys` `{"order_number", "lines": [{"product", "quantity"}], "term_days", "created_at"?}`
///
/// The code is in this answer and nowhere else; a repetition with the same Idempotency-Key shows it masked.
pub(super) async fn issue(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let mut body = ask.body()?;
    let order_number = body.parsed::<String>("order_number");
    let lines = body.list("lines", 100, |line| {
        let product = line.parsed::<ProductType>("product");
        let quantity = line.integer("quantity", 0, u64::MAX);
        Some(OrderLine { product: product?, quantity: quantity? })
    });
    let term_days = body.integer("term_days", 0, u64::from(u32::MAX));
    let created_at = body.optional::<Timestamp>("created_at");
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::internal())?;
    let code = KeyCode::from_random(random);
    let id = KeyId::from_bytes(ids::fresh(ask.now)?);
    let issue = body.finish(|| {
        Some(IssueKey {
            id,
            code_hash: code.hash(),
            code_tail: code.tail(),
            order_number: order_number?,
            lines: lines?,
            term_days: u32::try_from(term_days?).ok()?,
            created_at: created_at?,
        })
    })?;
    let stored = json!({
        "id": id,
        "code": masked(&issue.code_tail),
        "order_number": issue.order_number,
        "lines": issue.lines,
        "term_days": issue.term_days,
    });
    let asked_for = issue.created_at;
    let change = Change::Platform(PlatformCommand::IssueKey(issue));
    let answer = change::make(&api, &ask, change, StatusCode::CREATED, move |committed| {
        let mut body = stored;
        body.as_object_mut()?.insert(String::from("created_at"), json!(asked_for.unwrap_or(committed.at)));
        Some(body)
    })
    .await?;
    let fresh = answer.status() == StatusCode::CREATED && !answer.headers().contains_key(change::REPLAYED);
    match api.books().platform().key(id) {
        Some(key) if fresh => {
            let mut body = issued_view(key);
            if let Some(fields) = body.as_object_mut() {
                fields.insert(String::from("code"), json!(code.reveal()));
            }
            Ok((
                answer.status(),
                [(axum::http::header::ETAG, page::etag(api.books().platform().version()))],
                Json(body),
            )
                .into_response())
        }
        Some(_) | None => Ok(answer),
    }
}

/// `GET .../keys`: those the organization claimed, codes masked.
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<KeyId> = ask.page()?;
    let keys = page::of(organization.keys(), &page, |key| key.issued.id, KeyView::of);
    page::tagged(organization.version(), ask.headers(), &keys)
}

/// `POST .../keys/inspect` `{"code"}`: what a key contains, before a group is chosen. Changes nothing.
pub(super) async fn inspect(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    ask.no_query()?;
    let mut body = ask.body()?;
    let code = body.parsed::<String>("code");
    let code = redeemable(&api, &ask, &body.finish(|| code)?)?;
    // Claiming in earnest finds what a look at the platform would not: that another organization holds it.
    let claim = Change::ClaimKey {
        organization: organization.id(),
        code: code.clone(),
        group: None,
        mode: ClaimMode::Increase,
    };
    if let Err(error) = api.books().preview(claim).await {
        return Err(wrong_code(&api, &ask, refused(&error)));
    }
    let platform = api.books().platform();
    let key = platform.key_by_code_hash(&code.hash()).ok_or_else(|| Problem::not_found("license key"))?;
    Ok(Json(issued_view(key)).into_response())
}

/// `POST .../keys/claim` `{"code", "group"?}`
pub(super) async fn claim(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let code = body.parsed::<String>("code");
    let group = body.optional::<GroupId>("group");
    let (code, group) = body.finish(|| code.zip(group))?;
    let code = redeemable(&api, &ask, &code)?;
    let hash = code.hash();
    let id = api.books().platform().key_by_code_hash(&hash).map(|key| key.id);
    let claim = Change::ClaimKey { organization: organization.id(), code, group, mode: ClaimMode::Increase };
    let answer = change::make(&api, &ask, claim, StatusCode::CREATED, move |committed| {
        let key = committed.organization.as_ref()?.key(id?)?;
        Some(json!(KeyView::of(key)))
    });
    answer.await.map_err(|problem| wrong_code(&api, &ask, problem))
}

/// The code, unless this principal has tried too many wrong ones.
fn redeemable(api: &Api, ask: &Ask, text: &str) -> Result<KeyCode> {
    if let Some(secs) = api.redeeming().wait(&ask.principal.id) {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TOO_MANY_WRONG_CODES",
            "Too many license keys were tried that are none.",
            "Wait for the time in Retry-After; check the code with the order.",
        )
        .retry_after(secs));
    }
    KeyCode::parse(text).map_err(|refusal| wrong_code(api, ask, change::refusal(&Refusals::from(refusal))))
}

fn wrong_code(api: &Api, ask: &Ask, problem: Problem) -> Problem {
    let guesses = [RefusalCode::KeyNotClaimable, RefusalCode::KeyCodeMalformed];
    if guesses.iter().any(|code| problem.code() == code.as_str()) {
        api.redeeming().failed(&ask.principal.id);
    }
    problem
}
