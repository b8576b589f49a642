//! What is to be told about one group: its term, its renewals, its compliance, and the ladder (domain N1, K3).

use super::lockouts::{LockoutDays, Paced, lockouts};
use super::{
    Mark, NAMED_MAX, Notice, NoticeFacts, NoticeHead, NoticeKind, Topic, is_current, is_same_date, passed,
};
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::licensing::clock::CauseClock;
use crate::licensing::compliance::Term;
use crate::licensing::explain::{cures, units};
use crate::licensing::group::Group;
use crate::licensing::ladders::{Ladders, in_words, of_devices};
use crate::licensing::organization::Organization;
use crate::licensing::safety::FreezeView;
use crate::licensing::view::FindingView;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Adds what is to be told about `group`.
pub(super) fn look<E>(
    organization: &Organization,
    group: &Group,
    now: Timestamp,
    told: &mut impl FnMut(&Topic) -> Result<Option<Mark>, E>,
    found: &mut Vec<Notice>,
) -> Result<(), E> {
    let scene = Scene { organization, group, now };
    let topic = Topic::of(group.id, "compliance");
    let last = told(&topic)?;
    let was_told_of = last.is_some_and(|mark| mark.kind == NoticeKind::Noncompliant);
    // Who is told that a group is noncompliant reads the dates of lock and stop there, and not a second time.
    let mut with_it = Vec::new();
    match (group.assessment.is_compliant(), was_told_of) {
        (false, false) => {
            let notice = scene.noncompliant(topic);
            with_it.extend(notice.marks.iter().map(|(topic, _)| topic.clone()));
            found.push(notice);
        }
        (true, true) => found.push(scene.compliant(topic)),
        (true, false) | (false, true) => {}
    }
    let mut untold = |topic: &Topic, mark: &Mark| -> Result<bool, E> {
        Ok(!told(topic)?.is_some_and(|last| mark.repeats(&last)))
    };
    if let Term::Running { coterm } = group.figures.term {
        let at = coterm.floor();
        if let Some(days) = passed(NoticeKind::TermEnds, at, now) {
            let mark = Mark::new(NoticeKind::TermEnds, Some(days), at);
            let topic = Topic::of(group.id, "term");
            if untold(&topic, &mark)? {
                found.push(scene.term_ends(topic, mark));
            }
        }
        if scene.renewal_short().is_some_and(|short| !short.is_empty()) && at > now {
            let mark = Mark::new(NoticeKind::RenewalTooSmall, None, at);
            let topic = Topic::of(group.id, "renewal");
            if untold(&topic, &mark)? {
                found.push(scene.renewal_too_small(topic, mark));
            }
        }
    }
    for kind in [NoticeKind::LockAhead, NoticeKind::StopAhead] {
        // The group's own figures say whether a date can be near at all; only then are its devices looked at.
        if !dates(organization, group, kind).any(|at| passed(kind, at, now).is_some()) {
            continue;
        }
        let Some((mark, lockout)) = scene.lockout(kind) else { continue };
        let topic = scene.topic(kind);
        if !with_it.contains(&topic) && untold(&topic, &mark)? {
            found.push(scene.step_ahead(topic, mark, &lockout));
        }
    }
    Ok(())
}

/// Whether what a notice says about `group` is still so.
pub(super) fn still_true(
    organization: &Organization,
    group: &Group,
    notice: &NoticeHead,
    now: Timestamp,
) -> bool {
    let scene = Scene { organization, group, now };
    let runs_until = match group.figures.term {
        Term::Running { coterm } => Some(coterm.floor()),
        Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
    };
    match notice.kind {
        NoticeKind::TermEnds => is_current(notice, runs_until, now),
        NoticeKind::RenewalTooSmall => {
            let short = scene.renewal_short().is_some_and(|short| !short.is_empty());
            short && runs_until.is_some_and(|at| at > now && is_same_date(at, notice.about))
        }
        NoticeKind::Noncompliant => !group.assessment.is_compliant(),
        NoticeKind::Compliant => group.assessment.is_compliant(),
        NoticeKind::LockAhead | NoticeKind::StopAhead => {
            is_current(notice, scene.next_lockout(notice.kind).map(|lockout| lockout.first), now)
        }
        NoticeKind::CountdownEnds
        | NoticeKind::TrialEnds
        | NoticeKind::OperationHeld
        | NoticeKind::HeldOperationClosed
        | NoticeKind::KeyIssued
        | NoticeKind::Test => false,
    }
}

/// Every instant at which a device of the group could lock or stop, by the clocks of the group and of whoever came with
/// its own; a device follows one of them, or by its scope none.
pub(super) fn dates<'a>(
    organization: &'a Organization,
    group: &'a Group,
    kind: NoticeKind,
) -> impl Iterator<Item = Timestamp> + 'a {
    let judged = &group.assessment;
    let all = core::iter::once(&judged.ahead).chain(judged.carried.iter().map(|carried| &carried.ahead));
    let all = all.flat_map(|ahead| [ahead.expiry, ahead.capacity]);
    all.map(|schedule| organization.thawed(schedule)).filter_map(move |schedule| match kind.step()? {
        EnforcementState::ManagementLocked => schedule.lock_at,
        EnforcementState::Stopped => schedule.stop_at,
        EnforcementState::Licensed | EnforcementState::Grace => None,
    })
}

/// A group at an instant.
struct Scene<'a> {
    organization: &'a Organization,
    group: &'a Group,
    now: Timestamp,
}

impl Scene<'_> {
    fn ladders(&self) -> Ladders {
        Ladders::of(self.organization, self.group)
    }

    fn topic(&self, kind: NoticeKind) -> Topic {
        Topic::of(self.group.id, kind.name())
    }

    /// The next lock or stop of any device, with those of the days after it if the group has a pace; none while a freeze
    /// keeps it off (domain E6).
    fn next_lockout(&self, kind: NoticeKind) -> Option<LockoutDays> {
        if self.organization.frozen_since().is_some() {
            return None;
        }
        let steps = self.ladders().steps();
        let paced = self.organization.is_paced(self.group);
        let all = lockouts(&steps, kind.step()?, paced, self.organization.thawed_at());
        all.into_iter().find(|lockout| lockout.first > self.now)
    }

    /// The same with its mark, if a threshold before it has passed.
    fn lockout(&self, kind: NoticeKind) -> Option<(Mark, LockoutDays)> {
        let lockout = self.next_lockout(kind)?;
        let days = passed(kind, lockout.first, self.now)?;
        let thawed_at = self.organization.thawed_at();
        Some((Mark { thawed_at, ..Mark::new(kind, Some(days), lockout.first) }, lockout))
    }

    /// What follows, in sentences: under a freeze, first of all that nothing does until it ends (domain E6).
    fn what_follows(&self, begins: &str) -> Vec<String> {
        let frozen = self.organization.freezes_on();
        let mut text: Vec<String> =
            frozen.map(|(freeze, platform)| FreezeView::of(freeze, platform).sentence).collect();
        let begins = if text.is_empty() { begins } else { "When it ends, at the earliest" };
        text.push(format!("{begins}: {}.", self.steps_in_words()));
        text
    }

    /// What is ahead, with the first day and the last where the devices lock on different days.
    fn steps_in_words(&self) -> String {
        let Some(paced) = self.paced() else { return in_words(&self.schedule()) };
        let each = [(paced.lock, "management locks"), (paced.stop, "full stop")].into_iter();
        let each = each.filter_map(|(lockout, what)| Some(format!("{what} {}", lockout?.when())));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The first lockout and the first stop there are, if one of them takes more than a day.
    fn paced(&self) -> Option<Paced> {
        if !self.organization.is_paced(self.group) {
            return None;
        }
        let steps = self.ladders().steps();
        let first = |state| {
            let all = lockouts(&steps, state, true, self.organization.thawed_at());
            let next = all.iter().find(|lockout| lockout.last > self.now).or(all.last());
            next.copied()
        };
        let (lock, stop) = (first(EnforcementState::ManagementLocked), first(EnforcementState::Stopped));
        let long = [lock, stop].into_iter().flatten().any(|lockout| lockout.first < lockout.last);
        long.then_some(Paced { lock, stop })
    }

    /// What the waiting renewals will be short of; `None` if none wait.
    fn renewal_short(&self) -> Option<Vec<Finding>> {
        let figures = &self.group.figures;
        figures.renewal.as_ref().map(|renewal| figures.shortfalls(&renewal.capacity).collect())
    }

    fn renewed_until(&self) -> Option<Timestamp> {
        let figures = &self.group.figures;
        let ends_at = figures.term.coterm_at()?;
        Some(figures.renewal.as_ref()?.coterm_if_activated_at(ends_at)?.floor())
    }

    fn schedule(&self) -> Schedule {
        self.ladders().schedule()
    }

    fn notice(&self, mark: Mark, title: String, text: Vec<String>, marks: Vec<(Topic, Mark)>) -> Notice {
        let (organization, group) = (self.organization, self.group);
        let Mark { kind, days, about, thawed_at: _ } = mark;
        let findings = group.assessment.findings.iter();
        let facts = NoticeFacts::Group {
            group: group.id,
            group_name: group.name.to_string(),
            coterm_at: group.figures.term.coterm_at(),
            capacity: group.figures.capacity.clone(),
            in_use: group.figures.in_use.clone(),
            findings: findings.map(|f| FindingView { finding: *f, sentence: f.sentence() }).collect(),
            schedule: self.schedule(),
            paced: self.paced().map(Box::new),
            renewal_short: self.renewal_short(),
            renewed_until: self.renewed_until(),
            cures: cures(organization, group, self.now),
        };
        let head = NoticeHead { kind, group: Some(group.id), days, about, items: Vec::new() };
        Notice { head, title: format!("{}: {title}", group.name), text, facts, marks }
    }

    fn noncompliant(&self, topic: Topic) -> Notice {
        let clocks = &self.group.assessment.clocks;
        let since = |clock: &CauseClock| match clock {
            CauseClock::Running(run) => Some(run.since),
            CauseClock::Fresh | CauseClock::Paused(_) => None,
        };
        let since = [since(&clocks.expiry), since(&clocks.capacity)].into_iter().flatten().min();
        let mark = Mark::new(NoticeKind::Noncompliant, None, since.unwrap_or(self.now));
        let mut text = Vec::from([format!("{} is noncompliant since {}.", self.group.name, mark.about)]);
        text.extend(
            self.group.assessment.findings.iter().map(|f| format!("{}: {}.", f.code(), f.sentence())),
        );
        text.extend(self.what_follows("What follows"));
        self.add_cures(&mut text);
        let near = [NoticeKind::LockAhead, NoticeKind::StopAhead].into_iter();
        let near = near.filter_map(|kind| Some((self.topic(kind), self.lockout(kind)?.0)));
        let marks = core::iter::once((topic, mark)).chain(near).collect();
        self.notice(mark, String::from("noncompliant"), text, marks)
    }

    fn add_cures(&self, text: &mut Vec<String>) {
        let cures = cures(self.organization, self.group, self.now);
        if cures.is_empty() {
            return;
        }
        text.push(String::from("Any of these makes it compliant again:"));
        text.extend(cures.iter().take(NAMED_MAX).map(|cure| cure.sentence().to_string()));
    }

    fn compliant(&self, topic: Topic) -> Notice {
        let group = self.group;
        let about = group.assessment.compliant_since.unwrap_or(self.now);
        let mark = Mark::new(NoticeKind::Compliant, None, about);
        let mut text = Vec::from([format!(
            "{} is compliant again since {about}; all its devices have their full function as soon as they hear of it.",
            group.name
        )]);
        text.extend(group.figures.term.coterm_at().map(|at| format!("Its term ends at {at}.")));
        self.notice(mark, String::from("compliant again"), text, Vec::from([(topic, mark)]))
    }

    fn term_ends(&self, topic: Topic, mark: Mark) -> Notice {
        let group = self.group;
        let mut text = Vec::from([format!("All licenses of {} end together at {}.", group.name, mark.about)]);
        match (self.renewed_until(), self.renewal_short()) {
            (Some(until), short) => {
                text.push(format!("Renewals wait and begin then; they last until {until}."));
                text.extend(short.and_then(|short| too_small(&short)));
            }
            (None, _) if group.figures.active_devices == 0 => {
                text.push(String::from("No device is in use in it, so nothing will be locked."));
            }
            (None, _) => {
                text.push(format!("In use: {}.", units(&group.figures.in_use)));
                text.extend(self.what_follows("Without new licenses"));
                text.push(String::from("Claim a renewal before."));
            }
        }
        let title = format!("the term ends at {}", mark.about);
        self.notice(mark, title, text, Vec::from([(topic, mark)]))
    }

    fn renewal_too_small(&self, topic: Topic, mark: Mark) -> Notice {
        let mut text = Vec::from([format!(
            "The term of {} ends at {}, and the renewals that wait begin.",
            self.group.name, mark.about
        )]);
        text.extend(self.renewal_short().and_then(|short| too_small(&short)));
        text.push(String::from("Claim another key as a renewal, or retire devices before then."));
        self.notice(mark, String::from("the renewal will be too small"), text, Vec::from([(topic, mark)]))
    }

    fn step_ahead(&self, topic: Topic, mark: Mark, lockout: &LockoutDays) -> Notice {
        let all = self.group.figures.active_devices;
        let what = match (mark.kind, lockout.devices) {
            (NoticeKind::StopAhead, devices) => of_devices(devices, all, "stops", "stop"),
            (_, devices) if devices == all => String::from("management of its devices locks"),
            (_, devices) => format!("management of {devices} of its {all} devices locks"),
        };
        let when = lockout.when();
        let mut text = Vec::from([format!("{}: {what} {when}.", self.group.name)]);
        if lockout.first < lockout.last {
            text.push(String::from("The newest are first, and each device has its own day in its token."));
        }
        text.extend(
            self.group.assessment.findings.iter().map(|f| format!("{}: {}.", f.code(), f.sentence())),
        );
        self.add_cures(&mut text);
        let title = format!("{what} {when}");
        self.notice(mark, title, text, Vec::from([(topic, mark)]))
    }
}

/// What renewals will be short of, in a sentence; `None` if of nothing.
fn too_small(short: &[Finding]) -> Option<String> {
    let each: Vec<String> = short.iter().map(Finding::sentence).collect();
    let each = each.join(", ");
    (!short.is_empty()).then(|| {
        format!("They license less than is in use: {each}. The group will be noncompliant from then on.")
    })
}
