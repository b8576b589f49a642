//! What is found wrong with a file, and the cells of one of its lines.

use coterm_shared::licensing::import::{FINDINGS_MAX, field_of_line};
use coterm_shared::licensing::{Refusal, RefusalCode, Refusals, refusals_of};
use std::fmt::Display;
use std::str::FromStr;

/// The findings so far.
#[derive(Default)]
pub(super) struct Found {
    refusals: Vec<Refusal>,
    more: u64,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.refusals.is_empty()
    }

    pub(super) fn push(&mut self, refusal: Refusal) {
        if self.refusals.len() < FINDINGS_MAX {
            self.refusals.push(refusal);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn at(&mut self, line: u64, column: &str, code: RefusalCode, message: String, hint: &str) {
        self.push(Refusal::new(code, message, hint).at(field_of_line(line, Some(column))));
    }

    pub(super) fn finish<T>(mut self, parsed: T) -> Result<T, Refusals> {
        if self.more > 0 {
            let message = format!("{} more findings are not listed", self.more);
            let hint = "correct those that are listed and import the file again";
            self.refusals.push(Refusal::new(RefusalCode::ListOutOfBounds, message, hint).at("lines"));
        }
        refusals_of(self.refusals).map_or(Ok(parsed), Err)
    }
}

/// The cells of one line, in the order of the heads.
pub(super) struct Cells<'a> {
    pub(super) line: u64,
    pub(super) heads: &'a [(&'static str, usize)],
    pub(super) cells: Vec<&'a str>,
    pub(super) found: &'a mut Found,
    pub(super) bad: bool,
}

impl<'a> Cells<'a> {
    pub(super) fn fault(&mut self, column: &str, code: RefusalCode, message: String, hint: &str) {
        self.bad = true;
        self.found.at(self.line, column, code, message, hint);
    }

    pub(super) fn text(&self, column: &str) -> Option<&'a str> {
        let place = self.heads.iter().position(|(name, _)| *name == column)?;
        self.cells.get(place).copied().filter(|text| !text.is_empty())
    }

    pub(super) fn required(&mut self, column: &'static str) -> Option<&'a str> {
        let text = self.text(column);
        if text.is_none() {
            let message = format!("column `{column}` is empty");
            self.fault(column, RefusalCode::ValueInvalid, message, "every line needs a value in this column");
        }
        text
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, column: &'static str) -> Option<T> {
        let text = self.required(column)?;
        self.value(column, text)
    }

    /// `None` if it cannot be read, `Some(None)` if the cell is empty.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    pub(super) fn optional<T: FromStr<Err: Display>>(&mut self, column: &'static str) -> Option<Option<T>> {
        match self.text(column) {
            None => Some(None),
            Some(text) => self.value(column, text).map(Some),
        }
    }

    pub(super) fn value<T: FromStr<Err: Display>>(&mut self, column: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("`{}`: {error}", short(text));
                self.fault(column, RefusalCode::ValueInvalid, message, "correct the value");
                None
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
