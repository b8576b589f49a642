//! `/organizations/{organization}/groups`

use super::*;
use axum::extract::{Path, State};
use coterm_shared::id::{GroupId, SiteId};
use coterm_shared::licensing::view::GroupView;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let one = "Group";
    let name = || body([("name", text())]);
    let new = body([
        ("name?", text()),
        ("from_site?", id("site")),
        ("bring_licenses?", bring()),
        ("settings?", settings_body()),
    ]);
    let new = any_of(new, &["name", "from_site"]);
    Routes::new()
        .get(
            "/groups",
            list,
            Op::list(Who::Viewer, "listGroups", "License groups with every figure and date", to(one))
                .tagged()
                .ahead(),
        )
        .post(
            "/groups",
            create,
            Op::create(Who::Admin, "createGroup", "Create a license group", one).body(new),
        )
        .get(
            "/groups/{group}",
            show,
            Op::read(Who::Viewer, "getGroup", "A license group with every figure it is judged by", to(one))
                .tagged()
                .ahead(),
        )
        .patch(
            "/groups/{group}",
            rename,
            Op::change(Who::Admin, "renameGroup", "Rename a license group", one).body(name()),
        )
        .delete(
            "/groups/{group}",
            remove,
            Op::remove(Who::Admin, "deleteGroup", "Delete a license group; only if it is empty"),
        )
        .patch(
            "/groups/{group}/settings",
            settings,
            Op::change(Who::Admin, "changeGroupSettings", "Change the settings of a license group", one)
                .body(group_settings_body()),
        )
}

/// `GET .../groups`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let (page, at) = page_ahead::<GroupId>(&ask, &id)?;
    let seen = Seen::read(&api, &ask, &id, at).await?;
    let groups = seen.organization.groups_after(page.after);
    let groups = page::of(groups, &page, |g| g.id, |g| GroupView::of(&seen.organization, g, seen.at));
    seen.answer(&ask, &groups)
}

/// `POST .../groups` `{"name", "settings"?}`, or `{"from_site", "name"?, "settings"?}`: the site moves in, and its name
/// is the group's unless another is given (domain G1).
pub(super) async fn create(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let from_site = body.optional::<SiteId>("from_site");
    let name = match from_site {
        Some(None) => body.parsed::<String>("name").map(Some),
        Some(Some(_)) | None => body.optional::<String>("name"),
    };
    let settings = body.object("settings", settings_of);
    let brings = body.flag("bring_licenses");
    if brings == Some(true) && from_site == Some(None) {
        body.fault(
            "CONFLICTING_FIELDS",
            "bring_licenses",
            "licenses go along with a site: name it with `from_site`",
        );
    }
    let fields = body.finish(|| Some((from_site?, name?, settings?, brings?)))?;
    let (from_site, name, settings, brings) = fields;
    let (id, settings) = (GroupId::from_bytes(ids::fresh(ask.now)?), settings.unwrap_or_default());
    let create = match from_site {
        Some(site) => Command::CreateGroupFromSite { id, site, name, settings },
        None => Command::CreateGroup { id, name: name.unwrap_or_default(), settings },
    };
    if brings {
        let now = ask.now;
        let view = move |o: &Organization| o.group(id).map(|group| json!(GroupView::of(o, group, now)));
        return along::make(&api, &ask, &organization, create, StatusCode::CREATED, view).await;
    }
    command(&api, &ask, organization.id(), create, StatusCode::CREATED, shown(id)).await
}

/// `GET .../groups/{group}`: with every figure it is judged by.
pub(super) async fn show(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let seen = Seen::read(&api, &ask, &id, ahead(&ask, &id)?).await?;
    let found = seen.organization.group(ids::of_path(&group, "group")?);
    let group = found.ok_or_else(|| Problem::not_found("group"))?;
    seen.answer(&ask, &GroupView::of(&seen.organization, group, seen.at))
}

/// `PATCH .../groups/{group}` `{"name"}`
pub(super) async fn rename(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id = ids::of_path(&group, "group")?;
    let mut body = ask.body()?;
    let name = body.parsed::<String>("name");
    let name = body.finish(|| name)?;
    command(&api, &ask, organization.id(), Command::RenameGroup { id, name }, StatusCode::OK, shown(id)).await
}

/// `PATCH .../groups/{group}/settings`, as those of an organization; what is null is the organization's again.
pub(super) async fn settings(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id = ids::of_path(&group, "group")?;
    let mut body = ask.body()?;
    let settings = group_settings_of(&mut body);
    let settings = body.finish(|| settings)?;
    let change = Command::ChangeGroupSettings { id, settings };
    command(&api, &ask, organization.id(), change, StatusCode::OK, shown(id)).await
}

/// `DELETE .../groups/{group}`
pub(super) async fn remove(
    State(api): State<Api>,
    Path((id, group)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    ask.no_body()?;
    let id = ids::of_path(&group, "group")?;
    let delete = Command::DeleteGroup { id };
    command(&api, &ask, organization.id(), delete, StatusCode::NO_CONTENT, |_, _| None).await
}

fn shown(id: GroupId) -> impl FnOnce(&Organization, &Committed) -> Option<Value> + Send + 'static {
    move |o, committed| o.group(id).map(|group| json!(GroupView::of(o, group, committed.at)))
}
