//! License keys: one file for what the vendor does, one for what an organization does, one for splitting.

mod claimed;
mod issued;
mod split;

pub(super) use claimed::{claim, inspect, list, relocate, show, unclaim};
pub(super) use issued::{issue, list_issued, transfer};
pub(super) use split::split;

use super::*;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{GroupId, KeyId};
use coterm_shared::licensing::ClaimMode;
use coterm_shared::licensing::view::KeyView;
use coterm_shared::platform::code::{KeyCode, masked};
use serde_json::json;

/// A key of the organization that was changed, as it stands afterwards.
fn view_of(committed: &Committed, key: KeyId) -> Option<Value> {
    let organization = committed.organization.as_ref()?;
    Some(json!(KeyView::of(organization, organization.key(key)?, committed.at)))
}

/// A code nobody has seen yet.
fn fresh_code() -> Result<KeyCode> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::internal())?;
    Ok(KeyCode::from_random(random))
}
