use super::super::license_key::{QUANTITY_MAX, TERM_MAX_DAYS};
use super::*;
use std::borrow::ToOwned;
use std::string::ToString;
use std::vec;

fn check(input: &str, expect: &[(&str, &str)]) {
    let answer = serde_json::to_value(answer(&parse(input.as_bytes()).unwrap()).unwrap()).unwrap();
    for (pointer, wanted) in expect {
        let found = answer.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {answer}"));
        let found = found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned);
        assert_eq!(found, *wanted, "{pointer} of {input}");
    }
}

fn line_of(product: &str, quantity: u64, price: u64, term_days: u64, created_at: &str) -> String {
    format!(
        r#"{{"product":"{product}","quantity":{quantity},"price":{price},"term_days":{term_days},"created_at":"{created_at}"}}"#
    )
}

fn input_of(lines: &[String]) -> String {
    format!(r#"{{"lines":[{}]}}"#, lines.join(","))
}

const START: &str = "2027-01-01T00:00:00Z";

#[test]
fn the_worked_examples_come_out_exactly() {
    // One camera for a year and one for three: two years.
    check(
        &input_of(&[line_of("camera", 1, 199, 365, START), line_of("camera", 1, 199, 1095, START)]),
        &[
            ("/exact_days", "730"),
            ("/days_shown", "730"),
            ("/coterm_at", "2028-12-31T00:00:00Z"),
            ("/lines/0/weight_share", "1/2"),
            ("/lines/0/weight_percent", "50.00%"),
            ("/lines/1/ends_at", "2029-12-31T00:00:00Z"),
        ],
    );
    // A cheaper camera with a dearer sensor: the dearer one counts for more.
    check(
        &input_of(&[
            line_of("camera", 1, 199, 365, START),
            line_of("environmental-sensor", 1, 249, 1095, START),
        ]),
        &[
            ("/exact_days", "172645/224"),
            ("/days_shown", "771"),
            ("/lines/1/weight_share", "249/448"),
            ("/lines/1/weight_percent", "55.58%"),
        ],
    );
    // Ten one-year cameras, three more at month 4: 116/13 months left.
    let later = "2027-05-02T16:00:00Z";
    let lines = [line_of("camera", 10, 199, 365, START), line_of("camera", 3, 199, 365, later)].join(",");
    check(
        &format!(r#"{{"at":"{later}","lines":[{lines}]}}"#),
        &[
            ("/at", later),
            ("/remaining_exact_months", "116/13"),
            ("/remaining_months_shown", "8.92"),
            ("/remaining_exact_days", "10585/39"),
            ("/remaining_days_shown", "271"),
            ("/since", START),
        ],
    );
}

#[test]
fn asking_about_a_moment_after_the_end_counts_below_zero() {
    let line = line_of("door", 4, 1, 1, START);
    check(
        &format!(r#"{{"at":"2027-01-03T12:00:00Z","lines":[{line}]}}"#),
        &[("/remaining_exact_days", "-3/2"), ("/remaining_days_shown", "-1"), ("/days_shown", "1")],
    );
}

#[test]
fn the_largest_numbers_are_still_exact() {
    let last = "9900-01-01T00:00:00Z";
    let big = line_of("camera", QUANTITY_MAX, QUANTITY_MAX, u64::from(TERM_MAX_DAYS), last);
    check(
        &input_of(&vec![big; 1_000]),
        &[
            ("/exact_days", "36500"),
            ("/coterm_at", "9999-12-08T00:00:00Z"),
            ("/lines/999/weight_share", "1/1000"),
            ("/lines/999/weight_percent", "0.10%"),
        ],
    );
}

fn refused(input: &str, expect: &[(ProblemCode, &str)]) {
    let problems = parse(input.as_bytes()).unwrap_err();
    let found: Vec<_> = problems.errors.iter().map(|p| (p.code, p.field.as_str())).collect();
    assert_eq!(found, expect, "{input}");
    assert!(problems.errors.iter().all(|p| !p.message.is_empty()));
}

#[test]
fn every_mistake_is_reported_at_once() {
    use ProblemCode::*;
    refused("", &[(MalformedJson, "")]);
    refused("{", &[(MalformedJson, "")]);
    refused("[]", &[(WrongType, "")]);
    refused(r#"{"lines":7}"#, &[(WrongType, "")]);
    refused(r#"{"lines":[]}"#, &[(NoLines, "lines")]);
    refused("{}", &[(NoLines, "lines")]);
    refused(
        r#"{"lines":[{}],"at":5,"when":1}"#,
        &[
            (UnknownField, "when"),
            (WrongType, "at"),
            (MissingField, "lines[0].product"),
            (MissingField, "lines[0].quantity"),
            (MissingField, "lines[0].price"),
            (MissingField, "lines[0].term_days"),
            (MissingField, "lines[0].created_at"),
        ],
    );
    let bad = r#"{"lines":[3, {"product":"Camera","quantity":0,"price":1.5,"term_days":36501,"created_at":"2027-01-01","colour":"red"}, {"product":1,"quantity":"1","price":-1,"term_days":99999999999999999999999,"created_at":0}]}"#;
    refused(
        bad,
        &[
            (WrongType, "lines[0]"),
            (UnknownField, "lines[1].colour"),
            (UnknownProduct, "lines[1].product"),
            (OutOfRange, "lines[1].quantity"),
            (OutOfRange, "lines[1].price"),
            (OutOfRange, "lines[1].term_days"),
            (NotAnInstant, "lines[1].created_at"),
            (WrongType, "lines[2].product"),
            (WrongType, "lines[2].quantity"),
            (OutOfRange, "lines[2].price"),
            (OutOfRange, "lines[2].term_days"),
            (WrongType, "lines[2].created_at"),
        ],
    );
    refused(
        &input_of(&[line_of("camera", 1, 1, 365, "9999-06-01T00:00:00Z")]),
        &[(EndTooLate, "lines[0].term_days")],
    );
    refused(
        &input_of(&[line_of("camera", 1_000_000_001, 1_000_000_001, 1, START)]),
        &[(OutOfRange, "lines[0].quantity"), (OutOfRange, "lines[0].price")],
    );
}

#[test]
fn a_flood_of_mistakes_is_counted_not_listed() {
    let problems = parse(format!(r#"{{"lines":[{}0]}}"#, "0,".repeat(4_999)).as_bytes()).unwrap_err();
    assert_eq!((problems.errors.len(), problems.omitted), (MAX_PROBLEMS, 4_000));
}
