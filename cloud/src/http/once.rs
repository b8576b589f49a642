//! Once, for what is no change of licenses: the `Idempotency-Key` of requests that pass by the books.
//!
//! A change of licenses keeps its answer in its own transaction ([`super::change`]). Here the answer is kept by the API
//! tokens' store, so a repetition is answered alike after a restart too.

use super::Api;
use super::ask::Ask;
use super::change::{REPLAYED, refused, send};
use super::problem::{Problem, Result};
use crate::auth::{KeptAnswer, TokenError, TokenStore};
use crate::books::{BooksError, StoredResponse};
use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::MutexGuard;

/// The turn of one request that names an `Idempotency-Key`; there is one turn at a time, so that two repetitions that come
/// at once do not both find nothing.
pub(super) struct Turn<'a> {
    kept: KeptAnswer,
    _turn: MutexGuard<'a, ()>,
}

/// What a request is to do.
pub(super) enum Once<'a> {
    /// It was answered before: this again.
    Again(Response),
    /// Its work, keeping the answer if there is a turn.
    Work(Option<Turn<'a>>),
}

/// The answer to a request that passes by the books.
pub(super) struct Answer {
    status: StatusCode,
    shown: Option<Value>,
    kept: Option<Value>,
}

impl Answer {
    /// An answer that a repetition gets too.
    pub(super) fn of(status: StatusCode, body: Value) -> Answer {
        Answer { status, kept: Some(body.clone()), shown: Some(body) }
    }

    /// An answer with something that is shown only once; a repetition gets `kept`.
    pub(super) fn hiding(status: StatusCode, shown: Value, kept: Value) -> Answer {
        Answer { status, shown: Some(shown), kept: Some(kept) }
    }

    /// Done, and nothing to say about it.
    pub(super) fn done() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, shown: None, kept: None }
    }
}

/// Answers a request as it was answered before, or by its work, whose answer is kept.
///
/// # Errors
/// Those of [`begin`] and of the work, whose refusals are not kept.
pub(super) async fn answer(
    api: &Api,
    ask: &Ask,
    work: impl Future<Output = Result<Answer>>,
) -> Result<Response> {
    let turn = match begin(api, ask).await? {
        Once::Again(response) => return Ok(response),
        Once::Work(turn) => turn,
    };
    let Answer { status, shown, kept } = work.await?;
    if let Some(turn) = turn {
        turn.keep(api, status, kept.as_ref()).await?;
    }
    Ok(match shown {
        Some(body) => (status, Json(body)).into_response(),
        None => status.into_response(),
    })
}

/// Whether a request was answered before.
///
/// # Errors
/// 409 if the key was used for another request; 422 for a malformed key.
pub(super) async fn begin<'a>(api: &'a Api, ask: &Ask) -> Result<Once<'a>> {
    let Some((key, fingerprint)) = ask.idempotency_key()? else { return Ok(Once::Work(None)) };
    let turn = api.turns().lock().await;
    let principal = ask.principal.id.clone();
    let found = {
        let (principal, key) = (principal.clone(), key.clone());
        with(api.tokens(), move |store| store.answer(&principal, &key)).await?
    };
    match found {
        Some(answer) if answer.fingerprint == fingerprint => {
            let mut response = send(StoredResponse { status: answer.status, body: answer.body })?;
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(Once::Again(response))
        }
        Some(_) => Err(refused(&BooksError::IdempotencyKeyReused)),
        None => {
            let kept = KeptAnswer { principal, key, fingerprint, status: 0, body: Vec::new(), at: ask.now };
            Ok(Once::Work(Some(Turn { kept, _turn: turn })))
        }
    }
}

impl Turn<'_> {
    /// What to keep: an answer without what is shown only once.
    pub(super) fn answer(&self, status: StatusCode, body: Option<&Value>) -> KeptAnswer {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        KeptAnswer { status: status.as_u16(), body, ..self.kept.clone() }
    }

    /// Keeps it, when the work is done.
    async fn keep(self, api: &Api, status: StatusCode, body: Option<&Value>) -> Result<()> {
        let answer = self.answer(status, body);
        with(api.tokens(), move |store| store.keep_answer(&answer)).await
    }
}

/// Works with the store on a thread that may block.
pub(super) async fn with<T: Send + 'static>(
    store: &Arc<TokenStore>,
    work: impl FnOnce(&TokenStore) -> std::result::Result<T, TokenError> + Send + 'static,
) -> Result<T> {
    let store = Arc::clone(store);
    let done =
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| Problem::failed(&error))?;
    done.map_err(|error| match error {
        TokenError::Full => Problem::new(
            StatusCode::CONFLICT,
            "TOO_MANY_TOKENS",
            format!("{error}."),
            "Revoke those nobody uses.",
        ),
        TokenError::Database(_) | TokenError::Corrupt(_) => Problem::failed(&error),
    })
}
