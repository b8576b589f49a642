//! The lines of a file, as what they ask for.

use super::cells::{Cells, Found};
use super::heads::{Lines, header, heads};
use super::{Kind, MAX_LINES};
use crate::transactions::as_written;
use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::import::{ImportLine, ImportRow, field_of_line};
use coterm_shared::licensing::{
    ClaimMode, KeyPast, ModelName, NewDevice, Organization, Refusal, RefusalCode, Refusals,
};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{HistoricLine, HistoricOrder, Platform};
use coterm_shared::product::ProductType;
use coterm_shared::time::{Seconds, Timestamp};
use csv::ByteRecord;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;

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

/// Reads a file of an organization. `fresh` makes 16 bytes for an id, `random` as many at random; `seen` is told how many
/// lines are read.
///
/// # Errors
/// All refusals found, each with its line and column.
pub fn read(
    kind: Kind,
    file: impl Read,
    organization: &Organization,
    platform: &Platform,
    fresh: &mut dyn FnMut() -> Option<[u8; 16]>,
    random: &mut dyn FnMut() -> Option<[u8; 16]>,
    seen: &dyn Fn(u64),
) -> Result<Parsed, Refusals> {
    let mut lines = Lines::of(file);
    let mut found = Found::default();
    let mut record = ByteRecord::new();
    if !lines.next(&mut record)? {
        return Err(header("the file is empty").into());
    }
    let heads = heads(kind, &record)?;
    let mut file =
        File { kind, organization, platform, heads: &heads, fresh, random, orders: HashMap::new() };
    let mut parsed = Parsed::default();
    loop {
        match lines.next(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(refusal) => {
                found.push(refusal);
                break;
            }
        }
        if record.len() == 1 && record.get(0).is_some_and(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        parsed.count = parsed.count.saturating_add(1);
        seen(parsed.count);
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
    if parsed.count == 0 && found.is_empty() {
        found.push(header("the file has no line besides its columns"));
    }
    found.finish(parsed)
}

struct File<'a> {
    kind: Kind,
    organization: &'a Organization,
    platform: &'a Platform,
    heads: &'a [(&'static str, usize)],
    fresh: &'a mut dyn FnMut() -> Option<[u8; 16]>,
    random: &'a mut dyn FnMut() -> Option<[u8; 16]>,
    /// Where the key of an order is among the orders, and the columns of its first line that hold for all of its lines.
    orders: HashMap<(String, String), (usize, [String; 6])>,
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
        let heads = self.heads;
        let mut cells = Cells { line, heads, cells: Vec::with_capacity(heads.len()), found, bad: false };
        for (column, index) in heads {
            match std::str::from_utf8(record.get(*index).unwrap_or_default()) {
                Ok(text) => cells.cells.push(as_written(text.trim())),
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
        let name = cells.required("name")?.to_owned();
        Some(ImportRow::Group { id: GroupId::from_bytes((self.fresh)()?), name })
    }

    fn site(&mut self, cells: &mut Cells<'_>) -> Option<ImportRow> {
        let path = cells.required("path")?.to_owned();
        let group = cells.text("group").map(str::to_owned);
        Some(ImportRow::Site { id: SiteId::from_bytes((self.fresh)()?), path, group })
    }

    fn device(&mut self, cells: &mut Cells<'_>) -> Option<ImportRow> {
        let id = cells.parsed::<DeviceId>("id");
        let model = cells.required("model");
        let site = cells.required("site");
        let doors = cells.optional::<u64>("doors");
        let trial = cells.optional::<u64>("trial_days");
        let model = model.and_then(|model| {
            let known = ModelName::parse(model).map(|name| self.platform.model(&name));
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
        let device = Box::new(NewDevice { id, model: model.to_owned(), product, units, trial_secs, doors });
        Some(ImportRow::Device { device, site: site.to_owned() })
    }

    /// A line of an order: the first of its key, or one more of it.
    fn order(&mut self, cells: &mut Cells<'_>, parsed: &mut Parsed) {
        let order_number = cells.required("order_number");
        let label = cells.text("key").unwrap_or_default();
        let product = cells.parsed::<ProductType>("product");
        let quantity = cells.parsed::<u64>("quantity");
        let weight = cells.optional::<u64>("weight");
        let of_key = ["term_days", "created_at", "group", "mode", "waited_secs", "code"]
            .map(|column| cells.text(column).unwrap_or_default().to_owned());
        let line = cells.line;
        let (Some(order_number), Some(product), Some(quantity), Some(weight)) =
            (order_number, product, quantity, weight)
        else {
            return;
        };
        let key_line = HistoricLine { line, product, quantity, weight };
        let name = (order_number.to_owned(), label.to_owned());
        // Without a name of its own every line is a key.
        if let Some((index, first)) = self.orders.get(&name) {
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
        let code = match cells.text("code").map(KeyCode::parse) {
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
        let named = !label.is_empty();
        let label = if named { label.to_owned() } else { format!("line {product} {created_at}") };
        // A key that moves here with all its books keeps its id; one that is another's by now is another key.
        let own = |id: &KeyId| self.platform.key(*id).is_none() || self.organization.key(*id).is_some();
        let given = label.parse().ok().filter(own);
        let id = given.unwrap_or_else(|| key_id(self.organization.id(), order_number, &label));
        let order = HistoricOrder {
            id,
            code_hash: code.hash(),
            code_tail: code.tail(),
            order_number: order_number.to_owned(),
            lines: vec![key_line],
            term_days,
            created_at,
            waited_secs,
        };
        let has_waited = waited_secs > Seconds::ZERO && mode == ClaimMode::Increase;
        let past = KeyPast { has_waited, ..KeyPast::default() };
        let claimed = Claimed { group: cells.text("group").map(str::to_owned), mode, past };
        if named {
            self.orders.insert(name, (parsed.orders.len(), of_key));
        }
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
