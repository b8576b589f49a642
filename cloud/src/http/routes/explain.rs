//! `/organizations/{organization}/groups/{group}/explain`: how its date and verdict came about (domain T2).

use super::*;
use axum::extract::{Path, State};
use coterm_shared::licensing::explain::GroupExplanation;

pub(super) fn routes() -> Routes {
    let summary = "How its date and verdict came about, and what would cure it";
    Routes::new().get(
        "/groups/{group}/explain",
        group,
        Op::read(Who::Viewer, "explainGroup", summary, to("GroupExplanation")).tagged().ahead(),
    )
}

/// `GET .../groups/{group}/explain`
pub(super) async fn group(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let seen = Seen::read(&api, &ask, &id, ahead(&ask, &id)?).await?;
    let found = seen.organization.group(ids::of_path(&group, "group")?);
    let group = found.ok_or_else(|| Problem::not_found("group"))?;
    seen.answer_now(&ask, &GroupExplanation::of(&seen.organization, group, seen.at))
}
