//! `/organizations/{organization}/keys`: keys claimed, moved and unclaimed.

use super::issued::issued_view;
use super::*;
use coterm_shared::licensing::{RefusalCode, Refusals};

/// `GET .../keys`: those the organization claimed, codes masked.
pub(in super::super) async fn list(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<KeyId> = ask.page()?;
    let view = |key| KeyView::of(&organization, key, ask.now);
    let keys = page::of(organization.keys_after(page.after), &page, |key| key.issued.id, view);
    page::tagged_now(organization.version(), ask.now, ask.headers(), &keys)
}

/// `GET .../keys/{key}`: its code masked.
pub(in super::super) async fn show(
    State(api): State<Api>,
    Path((id, key)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let key = organization.key(ids::of_path(&key, "license key")?);
    let key = key.ok_or_else(|| Problem::not_found("license key"))?;
    let view = KeyView::of(&organization, key, ask.now);
    page::tagged_now(organization.version(), ask.now, ask.headers(), &view)
}

/// `POST .../keys/inspect` `{"code"}`: what a key contains, before a group is chosen. Changes nothing.
pub(in super::super) async fn inspect(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
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

/// `POST .../keys/claim` `{"code", "group"?, "mode"?}`: as increase (domain K2) unless `renewal` is said (K3).
pub(in super::super) async fn claim(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let code = body.parsed::<String>("code");
    let group = body.optional::<GroupId>("group");
    let mode = body.optional::<ClaimMode>("mode");
    let (code, group, mode) = body.finish(|| Some((code?, group?, mode?.unwrap_or_default())))?;
    let code = redeemable(&api, &ask, &code)?;
    let id = api.books().platform().key_by_code_hash(&code.hash()).map(|key| key.id);
    let claim = Change::ClaimKey { organization: organization.id(), code, group, mode };
    let answer =
        change::make(&api, &ask, claim, StatusCode::CREATED, move |committed| view_of(committed, id?));
    answer.await.map_err(|problem| wrong_code(&api, &ask, problem))
}

/// `POST .../keys/{key}/move` `{"group", "mode"?}`: to a group, from another or from Unassigned (domain K6). A queued
/// key stays queued unless `increase` is said.
pub(in super::super) async fn relocate(
    State(api): State<Api>,
    Path((id, key)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?.id();
    let key: KeyId = ids::of_path(&key, "license key")?;
    let mut body = ask.body()?;
    let group = body.parsed::<GroupId>("group");
    let mode = body.optional::<ClaimMode>("mode");
    let command = body.finish(|| Some(Command::MoveKey { id: key, group: group?, mode: mode? }))?;
    put(&api, &ask, organization, key, command).await
}

/// `POST .../keys/{key}/unclaim`: back to Unassigned (domain K8).
pub(in super::super) async fn unclaim(
    State(api): State<Api>,
    Path((id, key)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?.id();
    let key: KeyId = ids::of_path(&key, "license key")?;
    ask.no_body()?;
    put(&api, &ask, organization, key, Command::UnclaimKey { id: key }).await
}

async fn put(api: &Api, ask: &Ask, id: OrganizationId, key: KeyId, command: Command) -> Result<Response> {
    let change = Change::Organization { id, command };
    change::make(api, ask, change, StatusCode::OK, move |committed| view_of(committed, key)).await
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
