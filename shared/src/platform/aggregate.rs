//! The platform's state and events.

use super::code::CodeHash;
use crate::id::{KeyId, OrganizationId};
use crate::licensing::{Actor, Freeze, Thaw};
use crate::licensing::{IssuedKey, Limits, ModelName, Name, above};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

/// A list price: MSRP of one unit for one year, in the smallest unit of the one currency (domain §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The price, 1 to 10⁹.
    pub price: u64,
    /// Counts the changes of this product's price, from 1.
    pub version: u64,
    /// Since when.
    pub since: Timestamp,
}

/// A device model of the catalog (domain G7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// The product type a device of this model consumes.
    pub product: ProductType,
    /// The units it consumes, 1 to 10⁹.
    pub units: u64,
}

/// What happened on the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum PlatformEvent {
    /// An organization was founded.
    OrganizationRegistered {
        /// Its id.
        organization: OrganizationId,
        /// Its name.
        name: Name,
    },
    /// The list price of a product type was set; keys already issued keep their weight (domain D8).
    PriceSet {
        /// The product type.
        product: ProductType,
        /// The price, 1 to 10⁹.
        price: u64,
    },
    /// A model was put into the catalog, or changed; devices already claimed keep their units.
    ModelPut {
        /// The model.
        model: Model,
    },
    /// A key was issued (domain K1).
    KeyIssued {
        /// The key.
        key: Box<IssuedKey>,
        /// The hash of its code.
        code_hash: CodeHash,
    },
    /// A claimed key was split (domain K7): its parts are keys with codes of their own.
    KeySplit {
        /// The key that was split; its code stays taken.
        key: KeyId,
        /// What it became.
        parts: Box<[IssuedPart; 2]>,
    },
    /// The vendor's bounds changed.
    LimitsSet {
        /// The bounds now in force.
        limits: Limits,
    },
    /// Enforcement of every organization was frozen (domain E6).
    EverythingFrozen {
        /// By whom.
        by: Actor,
    },
    /// It goes on.
    EverythingUnfrozen {
        /// By whom.
        by: Actor,
        /// No step that came due meanwhile is reached before this.
        until: Timestamp,
    },
}

impl PlatformEvent {
    event_names! {
        OrganizationRegistered => "organization-registered",
        PriceSet => "price-set",
        ModelPut => "model-put",
        KeyIssued => "key-issued",
        KeySplit => "key-split",
        LimitsSet => "limits-set",
        EverythingFrozen => "everything-frozen",
        EverythingUnfrozen => "everything-unfrozen",
    }
}

/// A part of a split key, as the platform knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedPart {
    /// The key; it inherits order number, term, creation and any wait (domain K7).
    pub key: IssuedKey,
    /// The hash of its code.
    pub code_hash: CodeHash,
}

/// An event of the platform and the instant it happened at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedPlatformEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: PlatformEvent,
}

/// Why the platform's log cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the platform's log names the same {0} twice, or what is not there")]
pub struct PlatformReplayError(pub &'static str);

/// What spans organizations. `Clone` costs a few pointers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    version: u64,
    as_of: Timestamp,
    limits: Limits,
    organizations: RedBlackTreeMapSync<OrganizationId, Name>,
    /// The names of organizations as they are compared.
    organization_names: RedBlackTreeSetSync<String>,
    prices: RedBlackTreeMapSync<ProductType, Price>,
    models: RedBlackTreeMapSync<ModelName, Model>,
    keys: RedBlackTreeMapSync<KeyId, IssuedKey>,
    codes: RedBlackTreeMapSync<CodeHash, KeyId>,
    #[serde(default)]
    freeze: Option<Freeze>,
}

impl Default for Platform {
    fn default() -> Self {
        Platform {
            version: 0,
            as_of: Timestamp::EPOCH,
            limits: Limits::default(),
            organizations: RedBlackTreeMapSync::new_sync(),
            organization_names: RedBlackTreeSetSync::new_sync(),
            prices: RedBlackTreeMapSync::new_sync(),
            models: RedBlackTreeMapSync::new_sync(),
            keys: RedBlackTreeMapSync::new_sync(),
            codes: RedBlackTreeMapSync::new_sync(),
            freeze: None,
        }
    }
}

impl Platform {
    /// How many events made it.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The instant of its last event.
    #[must_use]
    pub const fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// The vendor's bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The freeze of everything, ended or not; `None` if there never was one (domain E6).
    #[must_use]
    pub const fn freeze(&self) -> Option<&Freeze> {
        self.freeze.as_ref()
    }

    /// All organizations, by id.
    pub fn organizations(&self) -> impl Iterator<Item = (&OrganizationId, &Name)> + '_ {
        self.organizations.iter()
    }

    /// The name of an organization, if it exists.
    #[must_use]
    pub fn organization(&self, id: OrganizationId) -> Option<&Name> {
        self.organizations.get(&id)
    }

    /// Whether an organization has a name that nobody could tell from this one.
    #[must_use]
    pub fn is_organization_name_taken(&self, name: &Name) -> bool {
        self.organization_names.contains(&name.folded())
    }

    /// The price book.
    pub fn prices(&self) -> impl Iterator<Item = (&ProductType, &Price)> + '_ {
        self.prices.iter()
    }

    /// Prices of product types above `after`, in their order.
    pub fn prices_after(
        &self,
        after: Option<ProductType>,
    ) -> impl Iterator<Item = (&ProductType, &Price)> + '_ {
        self.prices.range(above(after))
    }

    /// The list price of a product type.
    #[must_use]
    pub fn price(&self, product: ProductType) -> Option<&Price> {
        self.prices.get(&product)
    }

    /// The catalog, by model name.
    pub fn models(&self) -> impl Iterator<Item = &Model> + '_ {
        self.models.values()
    }

    /// Models with names above `after`, by name.
    pub fn models_after(&self, after: Option<ModelName>) -> impl Iterator<Item = &Model> + '_ {
        self.models.range(above(after)).map(|(_, model)| model)
    }

    /// A model of the catalog.
    #[must_use]
    pub fn model(&self, name: &ModelName) -> Option<&Model> {
        self.models.get(name)
    }

    /// An issued key.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&IssuedKey> {
        self.keys.get(&id)
    }

    /// All issued keys, by id.
    pub fn keys(&self) -> impl Iterator<Item = &IssuedKey> + '_ {
        self.keys.values()
    }

    /// Issued keys with ids above `after`, by id.
    pub fn keys_after(&self, after: Option<KeyId>) -> impl Iterator<Item = &IssuedKey> + '_ {
        self.keys.range(above(after)).map(|(_, key)| key)
    }

    /// The key a code stands for.
    #[must_use]
    pub fn key_by_code_hash(&self, hash: &CodeHash) -> Option<&IssuedKey> {
        self.codes.get(hash).and_then(|id| self.keys.get(id))
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// If it names as new what already exists: the log is damaged.
    pub fn apply(&mut self, dated: &DatedPlatformEvent) -> Result<(), PlatformReplayError> {
        match &dated.event {
            PlatformEvent::OrganizationRegistered { organization, name } => {
                if self.organizations.contains_key(organization) {
                    return Err(PlatformReplayError("organization"));
                }
                self.organizations.insert_mut(*organization, name.clone());
                self.organization_names.insert_mut(name.folded());
            }
            PlatformEvent::PriceSet { product, price } => {
                let version = self.prices.get(product).map_or(0, |old| old.version).saturating_add(1);
                self.prices.insert_mut(*product, Price { price: *price, version, since: dated.at });
            }
            PlatformEvent::ModelPut { model } => self.models.insert_mut(model.name.clone(), model.clone()),
            PlatformEvent::KeyIssued { key, code_hash } => {
                self.enter(key, *code_hash)?;
            }
            PlatformEvent::KeySplit { parts, .. } => {
                for part in parts.iter() {
                    self.enter(&part.key, part.code_hash)?;
                }
            }
            PlatformEvent::LimitsSet { limits } => self.limits = *limits,
            PlatformEvent::EverythingFrozen { by } => {
                self.freeze = Some(Freeze::after(self.freeze.as_ref(), dated.at, by.clone()));
            }
            PlatformEvent::EverythingUnfrozen { by, until } => {
                let frozen = self.freeze.as_mut().ok_or(PlatformReplayError("freeze"))?;
                frozen.thaw = Some(Thaw { at: dated.at, by: by.clone(), until: *until });
            }
        }
        self.version = self.version.saturating_add(1);
        self.as_of = self.as_of.max(dated.at);
        Ok(())
    }

    fn enter(&mut self, key: &IssuedKey, code_hash: CodeHash) -> Result<(), PlatformReplayError> {
        if self.keys.contains_key(&key.id) || self.codes.contains_key(&code_hash) {
            return Err(PlatformReplayError("license key"));
        }
        self.keys.insert_mut(key.id, key.clone());
        self.codes.insert_mut(code_hash, key.id);
        Ok(())
    }
}
