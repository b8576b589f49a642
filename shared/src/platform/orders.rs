//! Orders of the past, entered by vendor staff (decision 0021): keys that are issued and claimed at once.
//!
//! The rules are those of issuing a key; besides, a line may say the weight of its day, which no price book of today
//! knows. **Deliberately absent:** claiming them, which is [`crate::licensing::import`].

use super::aggregate::{DatedPlatformEvent, Platform, PlatformEvent};
use super::code::CodeHash;
use super::decide::{PlatformDecision, check_free};
use crate::id::KeyId;
use crate::licensing::import::{FINDINGS_MAX, field_of_line};
use crate::licensing::license_key::{QUANTITY_MAX, check_term, weigh};
use crate::licensing::{Findings, IssuedKey, OrderLine, OrderNumber, Refusal, RefusalCode, Refusals};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A line of a historical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoricLine {
    /// Its line in the file, from 1.
    pub line: u64,
    /// What it licenses.
    pub product: ProductType,
    /// Units, 1 to 10⁹.
    pub quantity: u64,
    /// Its weight, 1 to 10⁹; by the price book of today without one.
    pub weight: Option<u64>,
}

/// A key of a historical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoricOrder {
    /// The id of the key: by it an order is known if it comes a second time.
    pub id: KeyId,
    /// The hash of its code.
    pub code_hash: CodeHash,
    /// The end of its code.
    pub code_tail: String,
    /// The order it was bought with.
    pub order_number: String,
    /// What it licenses; the first is the line of the file that findings about the key name.
    pub lines: Vec<HistoricLine>,
    /// Its term in days.
    pub term_days: u32,
    /// When it was bought.
    pub created_at: Timestamp,
    /// How long its clock stood still while it waited as a renewal (domain K3).
    pub waited_secs: Seconds,
}

/// Enters orders as issued keys, in the order given.
///
/// # Errors
/// All refusals found, each with its line; nothing is changed then.
pub fn enter_orders(
    platform: &Platform,
    orders: &[HistoricOrder],
    now: Timestamp,
) -> Result<(Vec<IssuedKey>, PlatformDecision), Refusals> {
    let now = now.max(platform.as_of());
    let mut after = platform.clone();
    let (mut events, mut keys) = (Vec::with_capacity(orders.len()), Vec::with_capacity(orders.len()));
    let mut findings = Findings::default();
    let mut listed = 0_usize;
    for order in orders {
        match enter(&after, order, now) {
            Ok(key) => {
                let event =
                    PlatformEvent::KeyIssued { key: Box::new(key.clone()), code_hash: order.code_hash };
                let dated = DatedPlatformEvent { at: now, event };
                after.apply(&dated).map_err(|error| {
                    Refusals::from(Refusal::new(RefusalCode::IdTaken, format!("{error}"), "use fresh ids"))
                })?;
                events.push(dated);
                keys.push(key);
            }
            Err(refusals) if listed < FINDINGS_MAX => {
                listed = listed.saturating_add(refusals.all().len());
                findings.extend(refusals.all().iter().map(|refusal| of_line(order, refusal)));
            }
            Err(_) => listed = listed.saturating_add(1),
        }
    }
    if listed > FINDINGS_MAX {
        let message = format!("{} more findings are not listed", listed.saturating_sub(FINDINGS_MAX));
        findings
            .push(Refusal::new(RefusalCode::ListOutOfBounds, message, "correct those that are").at("lines"));
    }
    findings.finish()?;
    Ok((keys, PlatformDecision { events, after }))
}

fn enter(platform: &Platform, order: &HistoricOrder, now: Timestamp) -> Result<IssuedKey, Refusals> {
    let mut findings = Findings::default();
    let order_number = findings.keep(OrderNumber::parse(&order.order_number));
    let ends_at = match check_term(order.created_at, order.term_days, now) {
        Ok(ends_at) => ends_at.checked_add(order.waited_secs),
        Err(refusals) => {
            findings.extend(refusals);
            None
        }
    };
    if platform.key(order.id).is_some() {
        findings.push(
            Refusal::new(
                RefusalCode::KeyAlreadyClaimed,
                format!("this key of order `{}` was imported already", order.order_number),
                "leave out what an earlier import brought; a second key of one order has another name in column `key`",
            )
            .at("key"),
        );
    } else {
        check_free(platform, order.id, &order.code_hash, &mut findings);
    }
    for (index, line) in order.lines.iter().enumerate() {
        if line.weight.is_some_and(|weight| !(1..=QUANTITY_MAX).contains(&weight)) {
            findings.push(
                Refusal::new(
                    RefusalCode::WeightOutOfBounds,
                    format!("a weight of {} is not possible", line.weight.unwrap_or(0)),
                    format!("a weight is a whole number from 1 to {QUANTITY_MAX}"),
                )
                .at(format!("lines[{index}].weight")),
            );
        }
    }
    let lines: Vec<OrderLine> =
        order.lines.iter().map(|line| OrderLine { product: line.product, quantity: line.quantity }).collect();
    let weight_of = |product: ProductType| {
        let own = order.lines.iter().find(|line| line.product == product).and_then(|line| line.weight);
        own.or_else(|| platform.price(product).map(|price| price.price))
    };
    let lines = weigh(&lines, &mut findings, weight_of);
    let (order_number, ends_at) = findings.finish_with(order_number.zip(ends_at))?;
    Ok(IssuedKey {
        id: order.id,
        code_tail: order.code_tail.clone(),
        order_number,
        lines,
        term_days: order.term_days,
        created_at: order.created_at,
        ends_at,
    })
}

/// A refusal with the line of the file: what is about `lines[2].quantity` of the key is about that line's quantity.
fn of_line(order: &HistoricOrder, refusal: &Refusal) -> Refusal {
    let first = order.lines.first().map_or(0, |line| line.line);
    let field = refusal.field.as_deref();
    let of_key_line = field.and_then(|field| {
        let (index, column) = field.strip_prefix("lines[")?.split_once("].")?;
        Some((order.lines.get(index.parse::<usize>().ok()?)?.line, column))
    });
    let field = match of_key_line {
        Some((line, column)) => field_of_line(line, Some(column)),
        None => field_of_line(first, field),
    };
    Refusal { field: Some(field), ..refusal.clone() }
}
