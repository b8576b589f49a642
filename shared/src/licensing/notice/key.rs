//! What the buyer of a license key is told when it was issued (domain K1).
//!
//! **Deliberately absent:** the code. Whoever has it can claim the key; the books keep its hash alone, and a notice waits on
//! disk until it is delivered, and in a mailbox for good.

use super::{Notice, NoticeFacts, NoticeHead, NoticeKind};
use crate::licensing::compliance::Units;
use crate::licensing::explain::units;
use crate::licensing::license_key::IssuedKey;
use crate::platform::code::masked;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What is told to the buyer of a key that was issued at `now`.
#[must_use]
pub fn key_issued(key: &IssuedKey, now: Timestamp) -> Notice {
    let mut licenses = Units::default();
    for line in &key.lines {
        let of_product: &mut u64 = licenses.entry(line.product).or_default();
        *of_product = of_product.saturating_add(line.quantity);
    }
    let (code, order, bought) =
        (masked(&key.code_tail), String::from(key.order_number.as_str()), units(&licenses));
    let text = Vec::from([
        format!("With order {order} licenses were issued for you: {bought}, for {} days.", key.term_days),
        format!(
            "The term runs from {} to {}, also while the key is not claimed.",
            key.created_at, key.ends_at
        ),
        format!(
            "The key is {code}. Its code is not in this mail: the vendor gives it to you by another way. Whoever has it can \
             claim the licenses, so keep it secret until then."
        ),
        String::from(
            "To claim it, give the code to whoever administers your licenses: `coterm key inspect CODE` shows what it \
             contains, `coterm key claim CODE --group GROUP` adds it to a license group, and `--as renewal` has it wait for \
             the end of that group's term.",
        ),
    ]);
    let head =
        NoticeHead { kind: NoticeKind::KeyIssued, group: None, days: None, about: now, items: Vec::new() };
    let facts = NoticeFacts::Issued {
        key: key.id,
        code,
        order_number: order,
        licenses,
        term_days: key.term_days,
        created_at: key.created_at,
        ends_at: key.ends_at,
    };
    Notice { head, title: format!("licenses were issued for you: {bought}"), text, facts, marks: Vec::new() }
}
