//! What is to be told about operations that wait for the vendor (domain E6).
//!
//! **Problem.** Who asked may have left, and whoever may decide does not look at a list of their own accord; meanwhile
//! people expect what they asked for to be done. **Method.** Told when an operation begins to wait, and again when it
//! waits no longer, however that came; what began and ended unseen is not told at all. **Deliberately absent:** reminders.

use super::items::topic_of;
use super::{About, Item, Mark, Notice, NoticeFacts, NoticeHead, NoticeKind, Topic};
use crate::licensing::organization::Organization;
use crate::licensing::safety::{HeldOperation, HeldState, HeldView};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Adds what is to be told.
pub(super) fn look<E>(
    organization: &Organization,
    about: &About,
    told: &mut impl FnMut(&Topic) -> Result<Option<Mark>, E>,
    found: &mut Vec<Notice>,
) -> Result<(), E> {
    let candidates: Vec<&HeldOperation> = match about {
        About::Everything => organization.held_operations_after(None).collect(),
        About::Changed(changed) => {
            changed.held.iter().filter_map(|id| organization.held_operation(*id)).collect()
        }
    };
    for operation in candidates {
        let topic = topic_of(&Item::Held(operation.id));
        let last = told(&topic)?.map(|mark| mark.kind);
        match (operation.waits(), last) {
            (true, None) => found.push(begins(organization, operation, topic)),
            (false, Some(NoticeKind::OperationHeld)) => found.push(ended(organization, operation, topic)),
            (true | false, _) => {}
        }
    }
    Ok(())
}

/// Whether the operation that a notice names waits.
pub(super) fn waits(organization: &Organization, notice: &NoticeHead) -> bool {
    notice.items.iter().any(|item| match item {
        Item::Held(id) => organization.held_operation(*id).is_some_and(HeldOperation::waits),
        Item::Key(_) | Item::Site(_) | Item::Device(_) => false,
    })
}

fn begins(organization: &Organization, operation: &HeldOperation, topic: Topic) -> Notice {
    let view = HeldView::of(operation);
    let names: Vec<String> = group_names(organization, operation).into_values().collect();
    let mut text = Vec::from([view.sentence.clone()]);
    if !names.is_empty() {
        text.push(format!("Devices of {} would lock.", names.join(", ")));
    }
    text.push(format!("Released by: {}.", view.released_by));
    text.push(format!(
        "Look at what it would do now with `coterm held show {}`; an approval names the digest shown there. When it was asked \
         for, the digest of its preview was {}.",
        operation.id, operation.digest
    ));
    let title = format!("`{}` waits for the vendor until {}", operation.operation, operation.expires_at);
    let mark = Mark::new(NoticeKind::OperationHeld, None, operation.expires_at);
    notice(organization, operation, title, text, (topic, mark))
}

fn ended(organization: &Organization, operation: &HeldOperation, topic: Topic) -> Notice {
    let view = HeldView::of(operation);
    let mut text = Vec::from([view.sentence.clone()]);
    text.push(String::from(match operation.state {
        HeldState::Approved { .. } => "Schedules follow it from then on; what is due is told as ever.",
        HeldState::Waiting
        | HeldState::Rejected { .. }
        | HeldState::Withdrawn { .. }
        | HeldState::Expired { .. } => "What shall still happen must be asked for again.",
    }));
    let about = view.decided_at.unwrap_or(operation.expires_at);
    let title = format!("`{}` waits no longer: {}", operation.operation, operation.state.name());
    let mark = Mark::new(NoticeKind::HeldOperationClosed, None, about);
    notice(organization, operation, title, text, (topic, mark))
}

fn notice(
    organization: &Organization,
    operation: &HeldOperation,
    title: String,
    text: Vec<String>,
    (topic, mark): (Topic, Mark),
) -> Notice {
    let facts = NoticeFacts::Held {
        operation: Box::new(HeldView::of(operation)),
        digest: operation.digest.clone(),
        group_names: group_names(organization, operation),
    };
    let items = Vec::from([Item::Held(operation.id)]);
    let head = NoticeHead { kind: mark.kind, group: None, days: None, about: mark.about, items };
    Notice { head, title, text, facts, marks: Vec::from([(topic, mark)]) }
}

fn group_names(
    organization: &Organization,
    operation: &HeldOperation,
) -> BTreeMap<crate::id::GroupId, String> {
    let known = operation.groups.iter().filter_map(|id| organization.group(*id));
    known.map(|group| (group.id, group.name.to_string())).collect()
}
