//! `/organizations/{organization}/sites`

use super::*;
use axum::extract::{Path, State};
use coterm_shared::id::{GroupId, SiteId};
use coterm_shared::licensing::SiteTarget;
use coterm_shared::licensing::view::SiteView;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let one = "Site";
    let new = body([("name", text()), ("parent?", id("site")), ("group?", id("grp"))]);
    let target = body([
        ("group?", id("grp")),
        ("parent?", id("site")),
        ("root?", flag()),
        ("bring_licenses?", bring()),
    ]);
    let target = any_of(target, &["group", "parent", "root"]);
    Routes::new()
        .get(
            "/sites",
            list,
            Op::list(Who::Viewer, "listSites", "Sites and sub-sites", to(one)).tagged().ahead(),
        )
        .post("/sites", create, Op::create(Who::Admin, "createSite", "Create a site", one).body(new))
        .get("/sites/{site}", show, Op::read(Who::Viewer, "getSite", "A site", to(one)).tagged().ahead())
        .patch(
            "/sites/{site}",
            rename,
            Op::change(Who::Admin, "renameSite", "Rename a site", one).body(body([("name", text())])),
        )
        .delete(
            "/sites/{site}",
            remove,
            Op::remove(Who::Admin, "deleteSite", "Delete a site; only if it is empty"),
        )
        .post(
            "/sites/{site}/move",
            relocate,
            Op::change(
                Who::Admin,
                "moveSite",
                "Move a site with everything in it: to exactly one place",
                one,
            )
            .body(target),
        )
}

/// `GET .../sites`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let (page, at) = page_ahead::<SiteId>(&ask, &id)?;
    let seen = Seen::read(&api, &ask, &id, at).await?;
    let sites = seen.organization.sites_after(page.after);
    let sites = page::of(sites, &page, |s| s.id, |s| SiteView::of(&seen.organization, s));
    seen.answer(&ask, &sites)
}

/// `POST .../sites` `{"name", "parent"?, "group"?}`
pub(super) async fn create(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let name = body.parsed::<String>("name");
    let parent = body.optional::<SiteId>("parent");
    let group = body.optional::<GroupId>("group");
    let id = SiteId::from_bytes(ids::fresh(ask.now)?);
    let create =
        body.finish(|| Some(Command::CreateSite { id, name: name?, parent: parent?, group: group? }))?;
    command(&api, &ask, organization.id(), create, StatusCode::CREATED, shown(id)).await
}

/// `GET .../sites/{site}`
pub(super) async fn show(
    State(api): State<Api>,
    Path((id, site)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let seen = Seen::read(&api, &ask, &id, ahead(&ask, &id)?).await?;
    let found = seen.organization.site(ids::of_path(&site, "site")?);
    let site = found.ok_or_else(|| Problem::not_found("site"))?;
    seen.answer(&ask, &SiteView::of(&seen.organization, site))
}

/// `PATCH .../sites/{site}` `{"name"}`
pub(super) async fn rename(
    State(api): State<Api>,
    Path((id, site)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id = ids::of_path(&site, "site")?;
    let mut body = ask.body()?;
    let name = body.parsed::<String>("name");
    let name = body.finish(|| name)?;
    command(&api, &ask, organization.id(), Command::RenameSite { id, name }, StatusCode::OK, shown(id)).await
}

/// `POST .../sites/{site}/move` `{"group"}`, `{"parent"}` or `{"root": true}`: with everything in it (domain G2, G4);
/// with `"bring_licenses": true` the licenses it needs go along.
pub(super) async fn relocate(
    State(api): State<Api>,
    Path((id, site)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id = ids::of_path(&site, "site")?;
    let mut body = ask.body()?;
    let to = target_of(&mut body);
    let brings = body.flag("bring_licenses");
    let (to, brings) = body.finish(|| to.zip(brings))?;
    if brings {
        let view = move |o: &Organization| o.site(id).map(|site| json!(SiteView::of(o, site)));
        return along::make(&api, &ask, &organization, Command::MoveSite { id, to }, StatusCode::OK, view)
            .await;
    }
    command(&api, &ask, organization.id(), Command::MoveSite { id, to }, StatusCode::OK, shown(id)).await
}

/// Where a body asks to move a site: exactly one place.
fn target_of(body: &mut Fields) -> Option<SiteTarget> {
    let group = body.optional::<GroupId>("group");
    let parent = body.optional::<SiteId>("parent");
    let root = body.flag("root");
    match (group?, parent?, root?) {
        (Some(group), None, false) => Some(SiteTarget::Group(group)),
        (None, Some(parent), false) => Some(SiteTarget::Within(parent)),
        (None, None, true) => Some(SiteTarget::Root),
        (None, None, false) => {
            body.fault("MISSING_FIELD", "group", "one of `group`, `parent` and `root` is required");
            None
        }
        (Some(_), _, _) | (None, Some(_), true) => {
            body.fault(
                "CONFLICTING_FIELDS",
                "group",
                "only one of `group`, `parent` and `root` can be given",
            );
            None
        }
    }
}

/// `DELETE .../sites/{site}`
pub(super) async fn remove(
    State(api): State<Api>,
    Path((id, site)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    ask.no_body()?;
    let delete = Command::DeleteSite { id: ids::of_path(&site, "site")? };
    command(&api, &ask, organization.id(), delete, StatusCode::NO_CONTENT, |_, _| None).await
}

fn shown(id: SiteId) -> impl FnOnce(&Organization, &Committed) -> Option<Value> + Send + 'static {
    move |o, _| o.site(id).map(|site| json!(SiteView::of(o, site)))
}
