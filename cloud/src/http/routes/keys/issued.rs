//! `/keys`: what the vendor issues, and gives from one organization to another.

use super::super::endpoints::no_mail_server;
use super::*;
use crate::notify::endpoint::email;
use coterm_shared::licensing::{IssuedKey, OrderLine};
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use coterm_shared::time::Timestamp;

/// `GET /keys`: all that were ever issued, codes masked.
pub(in super::super) async fn list_issued(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let page: Page<KeyId> = ask.page()?;
    let platform = api.books().platform();
    let keys = page::of(platform.keys_after(page.after), &page, |key| key.id, issued_view);
    page::tagged(platform.version(), ask.headers(), &keys)
}

pub(super) fn issued_view(key: &IssuedKey) -> Value {
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

/// `POST /keys` `{"order_number", "lines": [{"product", "quantity"}], "term_days", "created_at"?, "notify"?}`
///
/// The code is in this answer and nowhere else, also not in what the buyer is told; a repetition with the same
/// Idempotency-Key shows it masked, and tells nobody a second time.
pub(in super::super) async fn issue(State(api): State<Api>, ask: Ask) -> Result<Response> {
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
    let buyer = match body.optional::<String>("notify") {
        Some(Some(given)) => match email(&given) {
            Ok(address) => Some(Some(address)),
            Err(error) => {
                body.fault("INVALID_VALUE", "notify", format!("`notify` is {error}"));
                None
            }
        },
        other => other,
    };
    let code = fresh_code()?;
    let id = KeyId::from_bytes(ids::fresh(ask.now)?);
    let (buyer, issue) = body.finish(|| {
        let issue = IssueKey {
            id,
            code_hash: code.hash(),
            code_tail: code.tail(),
            order_number: order_number?,
            lines: lines?,
            term_days: u32::try_from(term_days?).ok()?,
            created_at: created_at?,
        };
        Some((buyer?, issue))
    })?;
    if buyer.is_some() && !api.notify().mail {
        return Err(no_mail_server("Issue it without `notify`, and tell the buyer yourself."));
    }
    let stored = json!({
        "id": id,
        "code": masked(&issue.code_tail),
        "order_number": issue.order_number,
        "lines": issue.lines,
        "term_days": issue.term_days,
    });
    let asked_for = issue.created_at;
    let change = Change::Platform(PlatformCommand::IssueKey(issue));
    let answer = change::make_and_tell(&api, &ask, change, buyer, StatusCode::CREATED, move |committed| {
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

/// `POST .../keys/{key}/transfer` `{"to"}`: an unassigned key leaves one organization and enters another, unassigned,
/// or in the one pool where license groups are not enabled, in one transaction (domain G1, K8).
pub(in super::super) async fn transfer(
    State(api): State<Api>,
    Path((id, key)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let organization = writable(&api, &ask, &id)?.id();
    let key: KeyId = ids::of_path(&key, "license key")?;
    let mut body = ask.body()?;
    let to = body.parsed::<OrganizationId>("to");
    let to = body.finish(|| to)?;
    let change = Change::TransferKey { organization, key, to };
    change::make(&api, &ask, change, StatusCode::OK, move |committed| view_of(committed, key)).await
}
