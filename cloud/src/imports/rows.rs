//! The lines of a file, as what they ask for.

use super::{Kind, MAX_LINES};
use crate::transactions::as_written;
use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::import::{FINDINGS_MAX, ImportLine, ImportRow, field_of_line};
use coterm_shared::licensing::{
    ClaimMode, KeyPast, ModelName, NewDevice, Refusal, RefusalCode, Refusals, refusals_of,
};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{HistoricLine, HistoricOrder, Platform};
use coterm_shared::product::ProductType;
use coterm_shared::time::{Seconds, Timestamp};
use csv::{ByteRecord, ReaderBuilder};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Display;
use std::io::Read;
use std::str::FromStr;

/// What a file asks for.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its lines, but for orders.
    pub lines: Vec<ImportLine>,
    /// Its orders, with the group and the way each is claimed.
    pub orders: Vec<(HistoricOrder, Claimed)>,
    /// How many lines it has, without the first.
    pub count: u64,
}

/// How the key of an order is claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Its group; unassigned without one.
    pub group: Option<String>,
    /// As increase or as renewal.
    pub mode: ClaimMode,
    /// What it has been through.
    pub past: KeyPast,
}

/// Reads a file of an organization. `fresh` makes 16 bytes for an id, `random` as many at random.
///
/// # Errors
/// All refusals found, each with its line and column.
pub fn read(
    kind: Kind,
    file: impl Read,
    organization: OrganizationId,
    platform: &Platform,
    fresh: &mut dyn FnMut() -> Option<[u8; 16]>,
    random: &mut dyn FnMut() -> Option<[u8; 16]>,
) -> Result<Parsed, Refusals> {
    // Lines are counted by their line feeds; a carriage return before one is white space, which is taken off all cells.
    let mut builder = ReaderBuilder::new();
    let builder = builder.has_headers(false).flexible(true).terminator(csv::Terminator::Any(b'\n'));
    let mut reader = builder.from_reader(file);
    let mut found = Found::default();
    let mut record = ByteRecord::new();
    let heads = match reader.read_byte_record(&mut record) {
        Ok(true) => heads(kind, &record)?,
        Ok(false) => return Err(header("the file is empty").into()),
        Err(error) => return Err(broken(&error).into()),
    };
    let mut file = File { kind, organization, platform, heads, fresh, random, orders: HashMap::new() };
    let mut parsed = Parsed::default();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                found.push(broken(&error));
                break;
            }
        }
        if record.len() == 1 && record.get(0).is_some_and(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        parsed.count = parsed.count.saturating_add(1);
        if parsed.count > MAX_LINES {
            let message = format!("the file has more than {MAX_LINES} lines");
            found.push(
                Refusal::new(RefusalCode::ListOutOfBounds, message, "import it in several files").at("lines"),
            );
            break;
        }
        let line = record.position().map_or(0, csv::Position::line);
        file.line(line, &record, &mut parsed, &mut found);
    }
    if parsed.count == 0 {
        found.push(header("the file has no line besides its columns"));
    }
    found.finish(parsed)
}

/// The findings so far.
#[derive(Default)]
struct Found {
    refusals: Vec<Refusal>,
    more: u64,
}

impl Found {
    fn push(&mut self, refusal: Refusal) {
        if self.refusals.len() < FINDINGS_MAX {
            self.refusals.push(refusal);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn at(&mut self, line: u64, column: &str, code: RefusalCode, message: String, hint: &str) {
        self.push(Refusal::new(code, message, hint).at(field_of_line(line, Some(column))));
    }

    fn finish(mut self, parsed: Parsed) -> Result<Parsed, Refusals> {
        if self.more > 0 {
            let message = format!("{} more findings are not listed", self.more);
            let hint = "correct those that are listed and import the file again";
            self.refusals.push(Refusal::new(RefusalCode::ListOutOfBounds, message, hint).at("lines"));
        }
        refusals_of(self.refusals).map_or(Ok(parsed), Err)
    }
}

fn header(message: impl Into<String>) -> Refusal {
    let hint = "the first line names the columns: coterm import template KIND prints an example";
    Refusal::new(RefusalCode::HeaderInvalid, message, hint).at(field_of_line(1, None))
}

fn broken(error: &csv::Error) -> Refusal {
    let line = error.position().map_or(0, csv::Position::line);
    let message = format!("the file cannot be read: {error}");
    Refusal::new(RefusalCode::LineMalformed, message, "save it as CSV in UTF-8").at(field_of_line(line, None))
}

/// Where every column is, all faults reported.
fn heads(kind: Kind, record: &ByteRecord) -> Result<HashMap<&'static str, usize>, Refusals> {
    let mut places = HashMap::new();
    let mut faults = Vec::new();
    for (index, bytes) in record.iter().enumerate() {
        let bytes = if index == 0 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        let text = String::from_utf8_lossy(bytes);
        let name = text.trim().to_lowercase();
        match kind.columns().find(|column| *column == name) {
            None => {
                let known: Vec<&str> = kind.columns().collect();
                faults.push(header(format!(
                    "there is no column `{}`; there are {}",
                    text.trim(),
                    known.join(", ")
                )));
            }
            Some(column) => {
                if places.insert(column, index).is_some() {
                    faults.push(header(format!("column `{column}` is there twice")));
                }
            }
        }
    }
    let missing = kind.required().iter().filter(|column| !places.contains_key(**column));
    faults.extend(missing.map(|column| header(format!("column `{column}` is missing"))));
    refusals_of(faults).map_or(Ok(places), Err)
}

struct File<'a> {
    kind: Kind,
    organization: OrganizationId,
    platform: &'a Platform,
    heads: HashMap<&'static str, usize>,
    fresh: &'a mut dyn FnMut() -> Option<[u8; 16]>,
    random: &'a mut dyn FnMut() -> Option<[u8; 16]>,
    /// Where the key of an order is among the orders, and the columns of its first line that hold for all of its lines.
    orders: HashMap<(String, String), (usize, [String; 6])>,
}

/// The cells of one line.
struct Cells<'a> {
    line: u64,
    cells: HashMap<&'static str, String>,
    found: &'a mut Found,
    bad: bool,
}

impl Cells<'_> {
    fn fault(&mut self, column: &str, code: RefusalCode, message: String, hint: &str) {
        self.bad = true;
        self.found.at(self.line, column, code, message, hint);
    }

    fn text(&self, column: &str) -> Option<String> {
        self.cells.get(column).filter(|text| !text.is_empty()).cloned()
    }

    fn required(&mut self, column: &'static str) -> Option<String> {
        let text = self.text(column);
        if text.is_none() {
            let message = format!("column `{column}` is empty");
            self.fault(column, RefusalCode::ValueInvalid, message, "every line needs a value in this column");
        }
        text
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, column: &'static str) -> Option<T> {
        let text = self.required(column)?;
        self.value(column, &text)
    }

    /// `None` if it cannot be read, `Some(None)` if the cell is empty.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    fn optional<T: FromStr<Err: Display>>(&mut self, column: &'static str) -> Option<Option<T>> {
        match self.text(column) {
            None => Some(None),
            Some(text) => self.value(column, &text).map(Some),
        }
    }

    fn value<T: FromStr<Err: Display>>(&mut self, column: &str, text: &str) -> Option<T> {
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

impl File<'_> {
    fn line(&mut self, line: u64, record: &ByteRecord, parsed: &mut Parsed, found: &mut Found) {
        if record.len() != self.heads.len() {
            let message = format!("the line has {} cells, the first one {}", record.len(), self.heads.len());
            let hint = "put a cell with a comma in it into quotation marks";
            let field = field_of_line(line, None);
            found.push(Refusal::new(RefusalCode::LineMalformed, message, hint).at(field));
            return;
        }
        let mut cells = Cells { line, cells: HashMap::new(), found, bad: false };
        for (column, index) in &self.heads {
            match std::str::from_utf8(record.get(*index).unwrap_or_default()) {
                Ok(text) => {
                    cells.cells.insert(column, as_written(text.trim()).to_owned());
                }
                Err(_) => {
                    let message = String::from("the cell is not UTF-8");
                    cells.fault(column, RefusalCode::LineMalformed, message, "save the file as CSV in UTF-8");
                }
            }
        }
        // Only what can be read is looked at further.
        if cells.bad {
            return;
        }
        let row = match self.kind {
            Kind::Groups => self.group(&mut cells),
            Kind::Sites => self.site(&mut cells),
            Kind::Devices => self.device(&mut cells),
            Kind::Orders => {
                self.order(&mut cells, parsed);
                return;
            }
        };
        if let (Some(row), false) = (row, cells.bad) {
            parsed.lines.push(ImportLine { line, row });
        }
    }

    fn group(&mut self, cells: &mut Cells<'_>) -> Option<ImportRow> {
        let name = cells.required("name")?;
        Some(ImportRow::Group { id: GroupId::from_bytes((self.fresh)()?), name })
    }

    fn site(&mut self, cells: &mut Cells<'_>) -> Option<ImportRow> {
        let path = cells.required("path")?;
        Some(ImportRow::Site { id: SiteId::from_bytes((self.fresh)()?), path, group: cells.text("group") })
    }

    fn device(&mut self, cells: &mut Cells<'_>) -> Option<ImportRow> {
        let id = cells.parsed::<DeviceId>("id");
        let model = cells.required("model");
        let site = cells.required("site");
        let doors = cells.optional::<u64>("doors");
        let trial = cells.optional::<u64>("trial_days");
        let model = model.and_then(|model| {
            let known = ModelName::parse(&model).map(|name| self.platform.model(&name));
            match known {
                Ok(Some(known)) => Some((model, known.product, known.units)),
                Ok(None) => {
                    let message = format!("the catalog has no model `{model}`");
                    cells.fault(
                        "model",
                        RefusalCode::ModelUnknown,
                        message,
                        "list the models, or ask the vendor to add it",
                    );
                    None
                }
                Err(refusal) => {
                    cells.fault("model", refusal.code, refusal.message, &refusal.hint);
                    None
                }
            }
        });
        let (id, (model, product, units), site, doors, trial) = (id?, model?, site?, doors?, trial?);
        let trial_secs = trial.map(|days| Seconds(days.saturating_mul(Seconds::days(1).0)));
        let device = Box::new(NewDevice { id, model, product, units, trial_secs, doors });
        Some(ImportRow::Device { device, site })
    }

    /// A line of an order: the first of its key, or one more of it.
    fn order(&mut self, cells: &mut Cells<'_>, parsed: &mut Parsed) {
        let order_number = cells.required("order_number");
        let label = cells.text("key").unwrap_or_default();
        let product = cells.parsed::<ProductType>("product");
        let quantity = cells.parsed::<u64>("quantity");
        let weight = cells.optional::<u64>("weight");
        let of_key = ["term_days", "created_at", "group", "mode", "waited_secs", "code"]
            .map(|column| cells.text(column).unwrap_or_default());
        let line = cells.line;
        let (Some(order_number), Some(product), Some(quantity), Some(weight)) =
            (order_number, product, quantity, weight)
        else {
            return;
        };
        let key_line = HistoricLine { line, product, quantity, weight };
        let name = (order_number.clone(), label.clone());
        // Without a name of its own every line is a key.
        let known = self.orders.get(&name).filter(|_| !label.is_empty());
        if let Some((index, first)) = known {
            if *first != of_key {
                let message = format!(
                    "this line of key `{label}` differs from its first in more than product, quantity and weight"
                );
                let hint = "all lines of a key have one term, one date and one group";
                cells.fault("key", RefusalCode::LinesInvalid, message, hint);
            } else if let Some((order, _)) = parsed.orders.get_mut(*index) {
                order.lines.push(key_line);
            }
            return;
        }
        let term_days = cells.parsed::<u32>("term_days");
        let created_at = cells.parsed::<Timestamp>("created_at");
        let mode = cells.optional::<ClaimMode>("mode");
        let waited = cells.optional::<u64>("waited_secs");
        let code = match cells.text("code").map(|text| KeyCode::parse(&text)) {
            None => (self.random)().map(KeyCode::from_random),
            Some(Ok(code)) => Some(code),
            Some(Err(refusal)) => {
                cells.fault("code", refusal.code, refusal.message, &refusal.hint);
                None
            }
        };
        let all = (term_days, created_at, mode, waited, code);
        let (Some(term_days), Some(created_at), Some(mode), Some(waited), Some(code)) = all else { return };
        let mode = mode.unwrap_or_default();
        let waited_secs = Seconds(waited.unwrap_or(0));
        let label = if label.is_empty() { format!("line {product} {created_at}") } else { label };
        let id = key_id(self.organization, &order_number, &label);
        let order = HistoricOrder {
            id,
            code_hash: code.hash(),
            code_tail: code.tail(),
            order_number,
            lines: vec![key_line],
            term_days,
            created_at,
            waited_secs,
        };
        let has_waited = waited_secs > Seconds::ZERO && mode == ClaimMode::Increase;
        let past = KeyPast { has_waited, ..KeyPast::default() };
        let claimed = Claimed { group: cells.text("group"), mode, past };
        self.orders.insert(name, (parsed.orders.len(), of_key));
        parsed.orders.push((order, claimed));
    }
}

/// The id of the key of an order: the same whenever it comes, so that it is not entered twice.
fn key_id(organization: OrganizationId, order_number: &str, label: &str) -> KeyId {
    let mut sha = Sha256::new();
    for part in ["order", &organization.to_string(), order_number, label] {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    let hash: [u8; 32] = sha.finalize().into();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash) {
        *to = from;
    }
    KeyId::from_bytes(*uuid::Builder::from_custom_bytes(id).into_uuid().as_bytes())
}
