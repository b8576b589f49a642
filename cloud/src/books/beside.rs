//! What is worked out beside the writer, by the same rules.

use super::plan::{Plan, PlatformPlan};
use super::request::BooksError;
use super::rules::{Mode, View, on_organization, to_decide_on};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::import::Import;
use coterm_shared::licensing::{self, Command, Context, IssuedKey, LicensePlan};
use coterm_shared::platform::{self, HistoricOrder};
use coterm_shared::time::Timestamp;

/// What the lines of a file come to: orders become keys first, and `lines` says how each is claimed.
pub(super) fn import(
    view: &impl View,
    id: OrganizationId,
    orders: &[HistoricOrder],
    now: Timestamp,
    mode: Mode,
    lines: impl FnOnce(Vec<IssuedKey>) -> Import,
) -> Result<Plan, BooksError> {
    let platform = view.platform();
    let context = Context { now, limits: mode.limits(platform) };
    let (keys, entry) = if orders.is_empty() {
        (Vec::new(), None)
    } else {
        let (keys, decision) = platform::enter_orders(platform, orders, now)?;
        (keys, Some(PlatformPlan { before: platform.version(), decision }))
    };
    let organization = on_organization(view, id, &Command::Import(lines(keys)), &context)?;
    Ok(Plan {
        organization: Some(organization),
        receiver: None,
        platform: entry,
        command: None,
        encoded: None,
    })
}

/// The licenses that have to go along with a move (domain G4).
pub(super) fn licenses_along(
    view: &impl View,
    id: OrganizationId,
    of: &Command,
    now: Timestamp,
    mode: Mode,
) -> Result<LicensePlan, BooksError> {
    let organization = to_decide_on(view, id)?;
    let context = Context { now, limits: mode.limits(view.platform()) };
    Ok(licensing::licenses_along(&organization, of, &context)?)
}
