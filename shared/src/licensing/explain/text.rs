//! The explanation as a page: what a person reads, line by line.

use super::date::{DateExplanation, DateLine};
use super::{GroupExplanation, grouped};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

pub(super) fn page(of: &GroupExplanation) -> Vec<String> {
    let mut page = Vec::new();
    page.push(format!("{}, on {}", of.name, of.at));
    section(&mut page, "The date");
    if let Some(date) = &of.date {
        arithmetic(&mut page, date);
    }
    page.extend(of.no_date.iter().map(|why| indent(why)));
    page.extend(of.moved.iter().map(|moved| indent(&moved.sentence)));
    page.extend(of.renewal.iter().map(|renewal| indent(&renewal.sentence)));

    section(&mut page, "The verdict");
    let since = of.since.map(|at| format!(" since {at}")).unwrap_or_default();
    page.push(indent(&format!("{}{since}.", if of.compliant { "Compliant" } else { "NONCOMPLIANT" })));
    page.extend(of.why.iter().map(|cause| indent(&cause.sentence)));
    page.extend(of.paused.iter().map(|clock| indent(&clock.sentence)));
    if !of.carried.is_empty() {
        section(&mut page, "What sites and devices brought along");
        page.extend(of.carried.iter().map(|carried| indent(&carried.sentence)));
        let hidden = of.carried_count.saturating_sub(of.carried.len());
        if hidden > 0 {
            page.push(indent(&format!("... and {hidden} more")));
        }
    }

    if !of.ladder.is_empty() {
        section(&mut page, if of.compliant { "What happens if nothing is done" } else { "What follows" });
        page.extend(of.ladder.iter().map(|step| indent(&step.sentence)));
        let hidden = of.ladder_count.saturating_sub(of.ladder.len());
        if hidden > 0 {
            page.push(indent(&format!("... and {hidden} more steps")));
        }
        page.extend(of.early.iter().map(|early| indent(&early.sentence)));
    }
    if let Some(safety) = &of.safety {
        section(&mut page, "What is held back");
        page.extend(safety.sentences.iter().map(|sentence| indent(sentence)));
    }
    if !of.cures.is_empty() {
        section(&mut page, "What would cure it, the cheapest first");
        let numbered = of.cures.iter().enumerate();
        page.extend(
            numbered
                .map(|(index, cure)| indent(&format!("{}. {}", index.saturating_add(1), cure.sentence()))),
        );
    }
    page
}

fn section(page: &mut Vec<String>, title: &str) {
    page.push(String::new());
    page.push(title.to_string());
}

fn indent(line: &str) -> String {
    format!("  {line}")
}

fn arithmetic(page: &mut Vec<String>, date: &DateExplanation) {
    let header = ["KEY", "ORDER", "UNITS", "WEIGHT", "ENDS", "UNITS × WEIGHT", "SHARE"];
    let mut rows: Vec<[String; 7]> = Vec::from([header.map(String::from)]);
    rows.extend(date.lines.iter().map(row));
    let widths: [usize; 7] = core::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    for row in &rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a text cannot fail.
            let _ = write!(line, " {cell:width$} ");
        }
        page.push(line.trim_end().to_string());
    }
    let hidden = date.line_count.saturating_sub(date.lines.len());
    if hidden > 0 {
        page.push(indent(&format!("... and {hidden} more lines, which the sums contain")));
    }
    let long = |digits: &str| digits.parse().map_or_else(|_| digits.to_string(), grouped);
    page.push(String::new());
    page.push(indent(&format!(
        "sum of units × weight × end (seconds since 1970)  {}",
        long(&date.sum_moment)
    )));
    page.push(indent(&format!("sum of units × weight                             {}", long(&date.sum_mass))));
    page.push(indent(&format!(
        "the first by the second, exactly                  {} s",
        date.exact_secs.exact_secs()
    )));
    page.push(indent(&format!(
        "rounded down to the second                        {} s",
        date.coterm_at.as_secs()
    )));
    page.push(indent(&format!("as a date                                         {}", date.coterm_at)));
    if let Some(exact) = &date.exact_days {
        let words = if exact.denominator() == 1 { String::new() } else { format!(", exactly {exact}") };
        page.push(indent(&format!("days from now, half up                            {}{words}", date.days)));
    }
    page.push(String::new());
    page.push(indent(&date.sentence));
}

fn row(line: &DateLine) -> [String; 7] {
    [
        line.code.clone(),
        line.order_number.clone(),
        format!("{} {}", line.quantity, line.product),
        line.weight.to_string(),
        line.ends_at.to_string(),
        line.mass.clone(),
        if line.share.denominator() == 1 {
            line.share_percent.clone()
        } else {
            format!("{} = {}", line.share, line.share_percent)
        },
    ]
}
