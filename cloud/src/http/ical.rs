//! iCalendar (RFC 5545): coming dates as a calendar that programs subscribe to.
//!
//! **Method.** One event for each date: an instant in UTC, without an end. A date keeps its UID when it moves, and
//! SEQUENCE grows with the version of the books, so that a calendar moves the event and makes no second one. The stamp is that of the last
//! entry of the log: the same books are the same text. **Deliberately absent:** alarms (notices are the books' own
//! matter), time zones (an instant is an instant), and reading calendars. Decision 0020 says why no crate writes this.

use coterm_shared::licensing::{ComingDate, Organization};
use coterm_shared::time::Timestamp;
use std::fmt::Write;

/// Octets of a line, without its end.
const LINE: usize = 75;

/// The media type.
pub(super) const TEXT_CALENDAR: &str = "text/calendar; charset=utf-8";

/// The dates of an organization as a calendar.
pub(super) fn of(organization: &Organization, dates: &[ComingDate]) -> String {
    let (name, id) = (organization.name().as_str(), organization.id());
    let (stamp, sequence) = (instant(organization.as_of()), organization.version().min(0x7fff_ffff));
    let mut out = String::new();
    let mut line = |text: &str| fold(&mut out, text);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line(concat!("PRODID:-//Coterm//coterm-cloud ", env!("CARGO_PKG_VERSION"), "//EN"));
    line("CALSCALE:GREGORIAN");
    line("METHOD:PUBLISH");
    line(&format!("NAME:{}", escaped(&format!("Licenses of {name}"))));
    line(&format!("X-WR-CALNAME:{}", escaped(&format!("Licenses of {name}"))));
    line("REFRESH-INTERVAL;VALUE=DURATION:PT6H");
    for date in dates {
        line("BEGIN:VEVENT");
        line(&format!("UID:{}@{id}", date.uid));
        line(&format!("DTSTAMP:{stamp}"));
        line(&format!("DTSTART:{}", instant(date.at)));
        line(&format!("SEQUENCE:{sequence}"));
        line(&format!("SUMMARY:{}", escaped(&date.summary)));
        line(&format!("DESCRIPTION:{}", escaped(&format!("{} If nothing else happens.", date.sentence))));
        line(&format!("CATEGORIES:{}", escaped(date.kind.name())));
        line("TRANSP:TRANSPARENT");
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    out
}

/// `20270301T000000Z`
fn instant(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

/// A text value (RFC 5545 §3.3.11). Names hold no control characters; what would end a line is no part of a value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Adds a line, folded so that none has more than 75 octets and no character is torn (RFC 5545 §3.1).
fn fold(out: &mut String, line: &str) {
    let mut length = 0;
    for c in line.chars() {
        if length + c.len_utf8() > LINE {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push(c);
        length += c.len_utf8();
    }
    // Writing to a string does not fail.
    let _ = out.write_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfolded(text: &str) -> String {
        text.replace("\r\n ", "")
    }

    #[test]
    fn lines_are_folded_at_75_octets_and_never_within_a_character() {
        for text in
            ["x".repeat(74), "x".repeat(75), "x".repeat(76), "\u{20ac}".repeat(60), "a\u{1f3e0}".repeat(40)]
        {
            let mut out = String::new();
            fold(&mut out, &text);
            assert!(out.ends_with("\r\n"));
            assert!(out.trim_end_matches("\r\n").split("\r\n").all(|line| line.len() <= LINE), "{out:?}");
            assert_eq!(unfolded(&out), format!("{text}\r\n"));
        }
    }

    #[test]
    fn what_has_a_meaning_in_a_value_is_escaped() {
        assert_eq!(escaped("a,b;c\\d\ne\r\u{7}f: \"g\""), "a\\,b\\;c\\\\d\\nef: \"g\"");
        assert_eq!(instant("2027-03-01T05:06:07Z".parse().unwrap()), "20270301T050607Z");
        assert_eq!(instant(Timestamp::MAX), "99991231T235959Z");
    }
}
