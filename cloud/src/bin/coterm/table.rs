//! Tables for people: values as words, columns that fit the terminal, spreadsheets with the same columns.
//!
//! **Problem.** The same answer is read on an 80-column terminal, in a pipe and in a spreadsheet. **Method.** A column is
//! a title and the place of its values in the answer. A table that is too wide for its terminal is wrapped at words; where
//! even that does not fit, every item becomes a block of lines. Whatever is no terminal gets whole lines.
//! **Deliberately absent:** colors, frames, and anything that loses a value.

use crate::failure::Failure;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use coterm_shared::licensing::is_hidden;
use serde_json::{Map, Value};

/// A column: its title and the JSON pointer of its values.
pub(crate) type Column = (&'static str, &'static str);

/// A table without color and without frames that a terminal could break, in at most `width` columns of characters if
/// there is such a bound.
pub(crate) fn table(columns: &[Column], items: &[Value], width: Option<u16>) -> String {
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| columns.iter().map(|column| shown(column, item)).collect()).collect();
    let whole = render(columns, &rows, None);
    let Some(width) = width else { return whole };
    if widest(&whole) <= usize::from(width) {
        return whole;
    }
    let wrapped = render(columns, &rows, Some(width));
    if widest(&wrapped) <= usize::from(width) { wrapped } else { blocks(columns, &rows) }
}

fn render(columns: &[Column], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(title, _)| *title));
    table.add_rows(rows);
    if let Some(width) = width {
        // Words stay whole: an id that is cut cannot be copied.
        let words = (0..columns.len()).map(|n| {
            let cells = rows.iter().filter_map(|row| row.get(n)).map(String::as_str);
            let title = columns.get(n).map_or("", |(title, _)| *title);
            let longest =
                cells.chain([title]).flat_map(str::split_whitespace).map(|word| word.chars().count());
            // A column has a space on either side.
            let longest = longest.max().unwrap_or(0).saturating_add(2);
            ColumnConstraint::LowerBoundary(Width::Fixed(u16::try_from(longest).unwrap_or(u16::MAX)))
        });
        table.set_constraints(words.collect::<Vec<_>>());
        // One more, for the space before the first column, which is taken away.
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.saturating_add(1));
    }
    let lines = table.lines();
    let flush = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    flush.collect::<Vec<_>>().join("\n")
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Every row as a block of lines, blocks apart by an empty line.
fn blocks(columns: &[Column], rows: &[Vec<String>]) -> String {
    let blocks = rows.iter().map(|row| {
        let pairs = columns.iter().zip(row).map(|((title, _), cell)| (*title, cell.clone()));
        pair_lines(&pairs.filter(|(_, cell)| !cell.is_empty() && cell != "-").collect::<Vec<_>>())
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// One item: every column that has a value on a line of its own.
pub(crate) fn block(columns: &[Column], item: &Value) -> String {
    let there = columns.iter().filter(|(_, pointer)| item.pointer(pointer).is_some_and(|v| !v.is_null()));
    pair_lines(&there.map(|column| (column.0, shown(column, item))).collect::<Vec<_>>())
}

fn pair_lines(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(title, cell)| format!("{title:width$}  {cell}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The items as CSV (RFC 4180), values as they are: seconds as numbers, absent ones empty. The head of a column is its
/// place in the JSON answer.
pub(crate) fn csv(columns: &[Column], items: &[Value]) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let heads = columns.iter().map(|(_, pointer)| pointer.trim_start_matches('/').replace('/', "."));
    writer.write_record(heads).map_err(Failure::internal)?;
    for item in items {
        let cells = columns.iter().map(|(_, pointer)| match item.pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::Array(values)) if values.is_empty() => String::new(),
            Some(Value::Object(map)) if map.is_empty() => String::new(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(value) => harmless(cell(value)),
        });
        writer.write_record(cells).map_err(Failure::internal)?;
    }
    let bytes = writer.into_inner().map_err(Failure::internal)?;
    String::from_utf8(bytes).map_err(Failure::internal)
}

/// A leading apostrophe keeps spreadsheets from taking what people named for a formula: they look past white space, and
/// read full-width signs as their plain ones.
fn harmless(text: String) -> String {
    let signs = ['=', '+', '-', '@', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.trim_start().starts_with(signs) { format!("'{text}") } else { text }
}

/// The value of a column. What is in seconds is shown as people say it.
fn shown((_, pointer): &Column, item: &Value) -> String {
    match item.pointer(pointer) {
        None => String::new(),
        Some(value) if pointer.ends_with("_secs") => value.as_u64().map_or_else(|| cell(value), span),
        Some(value) => cell(value),
    }
}

/// A duration exactly: `30 days`, `1 day 12 h`, `90 s` as `1 min 30 s`.
pub(crate) fn span(secs: u64) -> String {
    let days = secs / 86_400;
    let parts = [
        (days, if days == 1 { "day" } else { "days" }),
        (secs / 3600 % 24, "h"),
        (secs / 60 % 60, "min"),
        (secs % 60, "s"),
    ];
    let there: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if there.is_empty() { String::from("0 s") } else { there.join(" ") }
}

/// A value in a cell. Control characters, and those that turn the direction of what follows, are not printed: what someone
/// named a site must not drive the terminal.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::from("-"),
        Value::String(text) => text.clone(),
        Value::Bool(true) => String::from("yes"),
        Value::Bool(false) => String::from("no"),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => String::from("-"),
        Value::Array(values) => values.iter().map(brief).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => String::from("-"),
        Value::Object(_) => brief(value),
    };
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

/// A value inside another.
fn brief(value: &Value) -> String {
    match value {
        Value::Object(map) => brief_object(map),
        Value::Array(values) => format!("[{}]", values.iter().map(brief).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => cell(value),
    }
}

/// A finding as its code and what it says, a line as its quantity and product, a version as `EPOCH:SEQ`, numbers of
/// things as `4 door`, any other object as pairs of name and value.
fn brief_object(map: &Map<String, Value>) -> String {
    let get = |name: &str| map.get(name).map(brief);
    if let (Some(code), Some(sentence)) = (get("code"), get("sentence")) {
        return format!("{code} ({sentence})");
    }
    if let (Some(code), Some(product), Some(short)) = (get("code"), get("product"), get("shortfall")) {
        return format!("{code} ({short} {product} missing)");
    }
    if let (Some(code), 1) = (get("code"), map.len()) {
        return code;
    }
    if let (Some(quantity), Some(product)) = (get("quantity"), get("product")) {
        return format!("{quantity} {product}");
    }
    if let (Some(epoch), Some(seq), 2) = (get("epoch"), get("seq"), map.len()) {
        return format!("{epoch}:{seq}");
    }
    if map.values().all(Value::is_number) {
        return map.iter().map(|(name, n)| format!("{} {name}", brief(n))).collect::<Vec<_>>().join(", ");
    }
    let pairs = map.iter().filter(|(_, value)| !value.is_null());
    pairs.map(|(name, value)| format!("{name} {}", brief(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[("ID", "/id"), ("UNITS", "/units"), ("NEXT", "/next")];

    fn items() -> Vec<Value> {
        let next = "ends with its group at 2027-11-21T22:17:13Z, in 365 days";
        let id = |n: u8| format!("key_01a2002f5a28700da681072aa258ab{n:02}");
        (0..2).map(|n| json!({"id": id(n), "units": {"camera": 5, "door": 8}, "next": next})).collect()
    }

    #[test]
    fn a_table_shows_what_is_there_and_nothing_that_drives_a_terminal() {
        let items = [json!({"id": "a", "n": {"x": 1}, "name": "b\u{1b}[31m"}), json!({})];
        let text = table(&[("ID", "/id"), ("N", "/n/x"), ("NAME", "/name")], &items, None);
        assert!(text.contains("ID") && text.contains("b [31m"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_table_fits_its_terminal_and_keeps_words_whole() {
        let whole = table(COLUMNS, &items(), None);
        assert_eq!(whole.lines().count(), 3, "{whole}");
        for width in [20, 40, 60, 80, 100, 120, 200] {
            let text = table(COLUMNS, &items(), Some(width));
            assert!(text.contains("key_01a2002f5a28700da681072aa258ab01"), "{width}: {text}");
            assert!(text.contains("2027-11-21T22:17:13Z"), "{width}: {text}");
            assert!(width < 80 || widest(&text) <= usize::from(width), "{width}: {text}");
        }
        let narrow = table(COLUMNS, &items(), Some(50));
        assert!(narrow.contains("\n\nID     key_") && narrow.contains("UNITS  5 camera, 8 door"), "{narrow}");
    }

    #[test]
    fn durations_and_versions_are_as_people_write_them() {
        for (secs, text) in
            [(0, "0 s"), (90, "1 min 30 s"), (86_400, "1 day"), (2_592_000, "30 days"), (90_000, "1 day 1 h")]
        {
            assert_eq!(span(secs), text);
        }
        let item = json!({"grace_secs": 2_592_000, "held": {"epoch": 1, "seq": 7},
            "why": [{"code": "OVER_CAPACITY", "product": "door", "shortfall": 4}, {"code": "NO_LICENSE"}]});
        let columns = [("GRACE", "/grace_secs"), ("HOLDS", "/held"), ("WHY", "/why"), ("NONE", "/none")];
        let expect = "GRACE  30 days\nHOLDS  1:7\nWHY    OVER_CAPACITY (4 door missing), NO_LICENSE";
        assert_eq!(block(&columns, &item), expect);
    }

    #[test]
    fn csv_has_the_places_of_the_answer_as_heads_raw_values_and_no_formulas() {
        let item =
            json!({"name": "=1+1", "settings": {"grace_secs": 5}, "ok": true, "none": null, "q": "a\"b"});
        let columns =
            [("N", "/name"), ("G", "/settings/grace_secs"), ("OK", "/ok"), ("NONE", "/none"), ("Q", "/q")];
        let text = csv(&columns, &[item]).unwrap();
        assert_eq!(text, "name,settings.grace_secs,ok,none,q\r\n'=1+1,5,true,,\"a\"\"b\"\r\n");
    }
}
