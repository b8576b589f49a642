//! The access question (domain E8) in organizations of 100,000 devices: one answer, and all that is closed.

use super::report::{Goal, Report};
use super::{bytes, context, device, fleet, now, time, us};
use coterm_shared::id::SiteId;
use coterm_shared::licensing::access::{AccessBook, AccessSubject};
use coterm_shared::licensing::*;
use coterm_shared::time::{Seconds, Timestamp};
use std::hint::black_box;

/// Every group judged, so that it has a ladder.
fn judged(groups: u64) -> Organization {
    let mut fleet = fleet(groups);
    let limits = Limits::default();
    for group in fleet.clone().groups() {
        let figures = Box::new(group.figures.clone());
        let settings = fleet.settings_of(group);
        let assessment = assess(&group.assessment, &figures, &Occasion::default(), &settings, &limits, now());
        let (before, assessment) = (figures.clone(), Box::new(assessment));
        let event = Event::GroupAssessed { group: group.id, before, after: figures, assessment, to_lock: 0 };
        fleet.apply(&Dated { at: now(), event }).unwrap();
    }
    fleet
}

pub(super) fn run(report: &mut Report) {
    eprintln!("building 100,000 devices in 10,000 groups...");
    let small = judged(10);
    let large = judged(10_000);
    let one = |of: &Organization, subject: fn(u64) -> AccessSubject, at: Timestamp| {
        let mut book = AccessBook::of(of);
        let mut n = 0;
        us(time(2_000, || {
            n = n % 10 + 1;
            black_box(book.answer(&subject(n), None, at).unwrap());
        }))
    };
    let a_device = |n: u64| AccessSubject::Device(device(n * 10));
    let a_site = |n: u64| AccessSubject::Site(SiteId::from_bytes(bytes(n)));
    let whole = |_: u64| AccessSubject::Organization;
    for (name, subject) in
        [("device", a_device as fn(u64) -> AccessSubject), ("site", a_site), ("organization", whole)]
    {
        let floor = Some((one(&small, subject, now()), "100 devices"));
        let name = format!("E8 may people, one {name} among 100 k");
        report.add(name, "us", one(&large, subject, now()), floor, Goal::AtMost(50.0));
    }
    let floor = us(time(1, || {
        black_box(super::pass(&large));
    }));
    let open = us(time(20, || {
        assert_eq!(AccessBook::of(&large).denied(now()).count(), 0);
    }));
    let floor = Some((floor, "one pass over the same structs"));
    report.add("E8 nothing closed among 110 k subjects, from nothing", "us", open, floor, Goal::Shown);
    // All terms have ended: everything is closed.
    let ended = now().saturating_add(Seconds::days(500));
    let start = super::processor();
    let closed = large.present(&Context { now: ended, ..context() }).unwrap();
    let forecast = super::processor() - start;
    report.add("E5 a forecast in which 10 k terms end and lock", "us", us(forecast), None, Goal::Shown);
    let floor = us(time(1, || {
        black_box(super::pass(&closed));
    }));
    let all = us(time(1, || {
        let denied = AccessBook::of(&closed).denied(ended);
        assert_eq!(denied.count(), 110_001);
    }));
    let floor = Some((floor, "one pass over the same structs"));
    report.add("E8 all 110 k closed subjects, from nothing", "us", all, floor, Goal::Shown);
}
