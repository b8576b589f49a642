//! What may be asked of the platform, and by what rules.

use super::aggregate::{DatedPlatformEvent, IssuedPart, Model, Platform, PlatformEvent};
use super::code::CodeHash;
use crate::id::{KeyId, OrganizationId};
use crate::licensing::license_key::{QUANTITY_MAX, check_term, weigh};
use crate::licensing::{
    Actor, Findings, IssuedKey, Limits, ModelName, Name, OrderLine, OrderNumber, Refusal, RefusalCode,
    Refusals,
};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Asks for a key to be issued (domain K1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueKey {
    /// Its id.
    pub id: KeyId,
    /// The hash of its code.
    pub code_hash: CodeHash,
    /// The end of its code.
    pub code_tail: String,
    /// The order it was bought with.
    pub order_number: String,
    /// What it licenses.
    pub lines: Vec<OrderLine>,
    /// Its term in days.
    pub term_days: u32,
    /// When it was bought; now if not given. Never in the future.
    pub created_at: Option<Timestamp>,
}

/// What can be asked of the platform; all of it by vendor staff (domain §9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum PlatformCommand {
    /// Enters a founded organization; issued together with its founding.
    RegisterOrganization {
        /// Its id.
        id: OrganizationId,
        /// Its name.
        name: String,
    },
    /// Sets the list price of a product type.
    SetPrice {
        /// The product type.
        product: ProductType,
        /// The price, 1 to 10⁹ in the smallest unit of the currency.
        price: u64,
    },
    /// Puts a model into the catalog, or changes it.
    PutModel {
        /// Its name.
        name: String,
        /// The product type it consumes.
        product: ProductType,
        /// The units it consumes, 1 to 10⁹.
        units: u64,
    },
    /// Issues a key (domain K1); its weights are the prices of this instant.
    IssueKey(IssueKey),
    /// Enters the parts of a key an organization splits; decided together with the split (domain K7).
    SplitKey {
        /// The key that is split.
        key: KeyId,
        /// What it becomes.
        parts: Box<[IssuedPart; 2]>,
    },
    /// Sets the vendor's bounds.
    SetLimits {
        /// The bounds.
        limits: Limits,
    },
    /// Freezes enforcement of every organization (domain E6).
    Freeze {
        /// Who freezes.
        by: Actor,
    },
    /// Ends that freeze.
    Unfreeze {
        /// Who ends it.
        by: Actor,
        /// How long a token issued a moment ago may hold, in seconds.
        lease_secs: Seconds,
        /// The latest instant to which any token issued under the freeze puts a step off.
        announced: Option<Timestamp>,
    },
}

impl PlatformCommand {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            PlatformCommand::RegisterOrganization { .. } => "register-organization",
            PlatformCommand::SetPrice { .. } => "set-price",
            PlatformCommand::PutModel { .. } => "put-model",
            PlatformCommand::IssueKey(_) => "issue-key",
            PlatformCommand::SplitKey { .. } => "split-key",
            PlatformCommand::SetLimits { .. } => "set-limits",
            PlatformCommand::Freeze { .. } => "freeze-enforcement",
            PlatformCommand::Unfreeze { .. } => "unfreeze-enforcement",
        }
    }
}

/// A decided change of the platform.
#[derive(Clone, Debug)]
pub struct PlatformDecision {
    /// The events, in order.
    pub events: Vec<DatedPlatformEvent>,
    /// The platform after them.
    pub after: Platform,
}

/// Decides a command at `now`.
///
/// # Errors
/// All refusals found; nothing is changed then.
pub fn decide(
    platform: &Platform,
    command: &PlatformCommand,
    now: Timestamp,
) -> Result<PlatformDecision, Refusals> {
    let now = now.max(platform.as_of());
    let event = match command {
        PlatformCommand::RegisterOrganization { id, name } => register(platform, *id, name)?,
        PlatformCommand::SetPrice { product, price } => set_price(*product, *price)?,
        PlatformCommand::PutModel { name, product, units } => put_model(name, *product, *units)?,
        PlatformCommand::IssueKey(issue) => issue_key(platform, issue, now)?,
        PlatformCommand::SplitKey { key, parts } => split_key(platform, *key, parts)?,
        PlatformCommand::SetLimits { limits } => set_limits(*limits)?,
        PlatformCommand::Freeze { by } => {
            if is_frozen(platform) {
                return Err(Refusal::new(
                    RefusalCode::AlreadyFrozen,
                    "enforcement of every organization is frozen already",
                    "nothing needs to be done",
                )
                .into());
            }
            PlatformEvent::EverythingFrozen { by: by.clone() }
        }
        PlatformCommand::Unfreeze { by, lease_secs, announced } => {
            let Some(freeze) = platform.freeze().filter(|freeze| freeze.is_on()) else {
                return Err(Refusal::new(
                    RefusalCode::NotFrozen,
                    "enforcement is not frozen for everything",
                    "a freeze of one organization is ended for that organization",
                )
                .into());
            };
            let until = freeze.put_off_until(now, *lease_secs, *announced);
            PlatformEvent::EverythingUnfrozen { by: by.clone(), until }
        }
    };
    let dated = DatedPlatformEvent { at: now, event };
    let mut after = platform.clone();
    after.apply(&dated).map_err(|error| {
        Refusals::from(Refusal::new(RefusalCode::IdTaken, format!("{error}"), "use fresh ids"))
    })?;
    Ok(PlatformDecision { events: Vec::from([dated]), after })
}

fn is_frozen(platform: &Platform) -> bool {
    platform.freeze().is_some_and(|freeze| freeze.is_on())
}

fn register(platform: &Platform, id: OrganizationId, name: &str) -> Result<PlatformEvent, Refusals> {
    let mut findings = Findings::default();
    let name = findings.keep(Name::parse(name));
    if platform.organization(id).is_some() {
        findings.push(
            Refusal::new(RefusalCode::IdTaken, "this organization id is already used", "use a fresh UUIDv7")
                .at("id"),
        );
    }
    if let Some(name) = name.as_ref().filter(|name| platform.is_organization_name_taken(name)) {
        let message = format!("an organization is called {name} already, but for upper and lower case");
        let hint = "choose another name: people tell organizations apart by it";
        findings.push(Refusal::new(RefusalCode::NameTaken, message, hint).at("name"));
    }
    let name = findings.finish_with(name)?;
    Ok(PlatformEvent::OrganizationRegistered { organization: id, name })
}

fn set_price(product: ProductType, price: u64) -> Result<PlatformEvent, Refusals> {
    if (1..=QUANTITY_MAX).contains(&price) {
        return Ok(PlatformEvent::PriceSet { product, price });
    }
    Err(Refusal::new(
        RefusalCode::WeightOutOfBounds,
        format!("a price of {price} is not possible"),
        format!(
            "a list price is a whole number from 1 to {QUANTITY_MAX} in the smallest unit of the currency"
        ),
    )
    .at("price")
    .into())
}

fn put_model(name: &str, product: ProductType, units: u64) -> Result<PlatformEvent, Refusals> {
    let mut findings = Findings::default();
    let name = findings.keep(ModelName::parse(name));
    if !(1..=QUANTITY_MAX).contains(&units) {
        findings.push(
            Refusal::new(
                RefusalCode::UnitsOutOfBounds,
                format!("a device cannot consume {units} units"),
                format!("units are a whole number from 1 to {QUANTITY_MAX}"),
            )
            .at("units"),
        );
    }
    let name = findings.finish_with(name)?;
    Ok(PlatformEvent::ModelPut { model: Model { name, product, units } })
}

/// Durations below a day are for demonstrations, which no bound can turn a production daemon into (domain E1).
fn set_limits(limits: Limits) -> Result<PlatformEvent, Refusals> {
    let mut findings = Findings::default();
    for (field, secs, hint) in [
        (
            "stop_after_lock_min_secs",
            limits.stop_after_lock_min_secs,
            "set at least 86400 seconds; a daemon in demonstration mode goes below this bound by itself",
        ),
        (
            "clock_reset_secs",
            limits.clock_reset_secs,
            "set at least 86400 seconds, in demonstration mode too",
        ),
    ] {
        if !secs.is_a_day_or_more() {
            findings.push(
                Refusal::new(
                    RefusalCode::SettingOutOfBounds,
                    format!("a bound of {} s is shorter than a day", secs.0),
                    hint,
                )
                .at(field),
            );
        }
    }
    if limits.hold_share_max_percent > 100 {
        findings.push(
            Refusal::new(
                RefusalCode::SettingOutOfBounds,
                format!("{} % is more than all", limits.hold_share_max_percent),
                "a share is 0 to 100 %",
            )
            .at("hold_share_max_percent"),
        );
    }
    findings.finish()?;
    Ok(PlatformEvent::LimitsSet { limits })
}

pub(super) fn check_free(platform: &Platform, id: KeyId, code_hash: &CodeHash, findings: &mut Findings) {
    if platform.key(id).is_some() || platform.key_by_code_hash(code_hash).is_some() {
        findings.push(Refusal::new(
            RefusalCode::KeyCodeTaken,
            "a key with this id or code exists",
            "ask again with fresh random bits",
        ));
    }
}

fn split_key(platform: &Platform, key: KeyId, parts: &[IssuedPart; 2]) -> Result<PlatformEvent, Refusals> {
    let mut findings = Findings::default();
    for part in parts {
        check_free(platform, part.key.id, &part.code_hash, &mut findings);
    }
    findings.finish()?;
    Ok(PlatformEvent::KeySplit { key, parts: Box::new(parts.clone()) })
}

fn issue_key(platform: &Platform, issue: &IssueKey, now: Timestamp) -> Result<PlatformEvent, Refusals> {
    let IssueKey { id, code_hash, code_tail, order_number, lines, term_days, created_at } = issue;
    let mut findings = Findings::default();
    let order_number = findings.keep(OrderNumber::parse(order_number));
    let created_at = created_at.unwrap_or(now);
    let ends_at = match check_term(created_at, *term_days, now) {
        Ok(ends_at) => Some(ends_at),
        Err(refusals) => {
            refusals.into_iter().for_each(|refusal| findings.push(refusal));
            None
        }
    };
    let lines = weigh(lines, &mut findings, |product| platform.price(product).map(|price| price.price));
    check_free(platform, *id, code_hash, &mut findings);
    let (order_number, ends_at) = findings.finish_with(order_number.zip(ends_at))?;
    let key = IssuedKey {
        id: *id,
        code_tail: code_tail.clone(),
        order_number,
        lines,
        term_days: *term_days,
        created_at,
        ends_at,
    };
    Ok(PlatformEvent::KeyIssued { key: Box::new(key), code_hash: *code_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_organizations_do_not_share_a_name() {
        let register = |platform: &Platform, id: u8, name: &str| {
            let command = PlatformCommand::RegisterOrganization {
                id: OrganizationId::from_bytes([id; 16]),
                name: String::from(name),
            };
            decide(platform, &command, Timestamp::EPOCH)
        };
        let platform = register(&Platform::default(), 1, "Acme").unwrap().after;
        for taken in ["Acme", "ACME"] {
            let refusals = register(&platform, 2, taken).unwrap_err();
            let codes: Vec<_> = refusals.all().iter().map(|refusal| refusal.code).collect();
            assert_eq!(codes, [RefusalCode::NameTaken], "{taken}");
        }
        assert!(register(&platform, 2, "Acme North").is_ok());
    }
}
