//! `/organizations/{organization}/groups/{group}/explain`: how its date and verdict came about (domain T2).

use super::*;
use axum::extract::{Path, State};
use coterm_shared::licensing::explain::GroupExplanation;

pub(super) fn routes() -> Routes {
    let summary = "How its date and verdict came about, and what would cure it";
    Routes::new().get(
        "/groups/{group}/explain",
        group,
        Op::read(Who::Viewer, "explainGroup", summary, to("GroupExplanation")).tagged(),
    )
}

/// `GET .../groups/{group}/explain`
pub(super) async fn group(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let found = organization.group(ids::of_path(&group, "group")?);
    let group = found.ok_or_else(|| Problem::not_found("group"))?;
    let explanation = GroupExplanation::of(&organization, group, ask.now);
    page::tagged_now(organization.version(), ask.now, ask.headers(), &explanation)
}
