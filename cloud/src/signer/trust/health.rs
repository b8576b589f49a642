//! What there is, how long it lasts, and what is wrong with it: for people, for programs, and for alarms.

use super::super::TrustError;
use super::super::vault::KeyRole;
use super::TrustPolicy;
use super::chain::{Chain, Found};
use super::plan;
use super::store::TrustStore;
use crate::alarms::{AlarmCode, Condition};
use crate::signer::vault::Vault;
use coterm_shared::time::{DAY_SECS, Seconds, Timestamp};
use coterm_shared::token::{PublicKey, Role, TokenKey, signatures};
use serde::Serialize;
use std::path::Path;

/// The chain of trust at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The deployment.
    pub trust_domain: String,
    /// The instant of this look.
    pub now: Timestamp,
    /// The version of the newest root.
    pub root_version: u64,
    /// Who may make the next root.
    pub root_role: RoleStatus,
    /// Who may make keyrings.
    pub keyring_role: RoleStatus,
    /// Keys of earlier roots whose private halves are still here: devices at such a root would follow what they sign.
    pub earlier_root_keys_here: Vec<String>,
    /// The version of the keyring.
    pub keyring_version: u64,
    /// When it was made.
    pub keyring_issued_at: Timestamp,
    /// The root it was made under; behind `root_version` until one is made under that.
    pub keyring_root_version: u64,
    /// Who signed it, by key id.
    pub keyring_signed_by: Vec<String>,
    /// The epoch tokens must have.
    pub epoch: u64,
    /// The token keys, in the order of their ends.
    pub token_keys: Vec<KeyStatus>,
    /// Keys of the keyring for other uses (enrolment answers) or of one organization, in the order of their ends.
    pub other_keys: Vec<KeyStatus>,
    /// What keeps a key from being looked for, one sentence each.
    pub faults: Vec<String>,
}

/// A role of the newest root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleStatus {
    /// How many keys must sign.
    pub threshold: u8,
    /// Its keys: id, and whether the private half is within reach here.
    pub keys: Vec<(String, bool)>,
}

impl RoleStatus {
    /// How many of its keys are within reach here.
    #[must_use]
    pub fn here(&self) -> usize {
        self.keys.iter().filter(|(_, here)| *here).count()
    }

    /// Whether documents of this role can be signed here.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.here() >= usize::from(self.threshold)
    }
}

/// A token key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// Its id.
    pub kid: String,
    /// Its number in the registry of uses: 1 signs license states, 2 answers of enrolment.
    pub key_use: u16,
    /// The first instant of issue it may sign.
    pub not_before_at: Timestamp,
    /// The last.
    pub not_after_at: Timestamp,
    /// Whole days to that, 0 once it has ended.
    pub days_left: u64,
    /// Whether it signs now.
    pub signs: bool,
    /// Whether its private half is within reach here.
    pub here: bool,
}

impl TrustStore {
    /// A look at everything, also at the private keys.
    pub(super) fn status(&self, chain: &Chain, now: Timestamp) -> Status {
        let mut faults = Vec::new();
        let mut here = |kind, key: &PublicKey| match self.vault.find(kind, key) {
            Ok(found) => found.is_some(),
            Err(error) => {
                let fault = error.to_string();
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                false
            }
        };
        let mut role = |kind, role: &Role| RoleStatus {
            threshold: role.threshold(),
            keys: role.keys().iter().map(|key| (key.kid().to_string(), here(kind, key))).collect(),
        };
        let root = chain.newest().document();
        let (root_role, keyring_role) =
            (role(KeyRole::Root, &root.root), role(KeyRole::Keyring, &root.keyring));
        let earlier = chain.roots().flat_map(|earlier| earlier.document().root.keys());
        let mut earlier_root_keys_here: Vec<String> = earlier
            .filter(|key| !root.root.keys().contains(key) && here(KeyRole::Root, key))
            .map(|key| key.kid().to_string())
            .collect();
        earlier_root_keys_here.dedup();
        let keyring = &chain.keyring;
        let active = plan::choose(keyring, self.policy.lease, now).map(|key| key.key.kid());
        let mut shown = |key: &TokenKey| KeyStatus {
            kid: key.key.kid().to_string(),
            key_use: key.key_use.number(),
            not_before_at: key.not_before_at,
            not_after_at: key.not_after_at,
            days_left: key.not_after_at.since(now).0 / DAY_SECS,
            signs: Some(key.key.kid()) == active,
            here: here(KeyRole::Token, &key.key),
        };
        let mut keys: Vec<&TokenKey> = keyring.keys().iter().collect();
        keys.sort_by_key(|key| key.not_after_at);
        let (ours, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| plan::is_ours(key));
        let token_keys = ours.into_iter().map(&mut shown).collect();
        let other_keys = others.into_iter().map(&mut shown).collect();
        let signed_by = signatures(keyring.bytes()).unwrap_or_default();
        Status {
            trust_domain: root.trust_domain.to_string(),
            now,
            root_version: root.version,
            root_role,
            keyring_role,
            earlier_root_keys_here,
            keyring_version: keyring.version(),
            keyring_issued_at: keyring.issued_at(),
            keyring_root_version: chain.under.version(),
            keyring_signed_by: signed_by.iter().map(|(kid, _)| kid.to_string()).collect(),
            epoch: keyring.min_epoch(),
            token_keys,
            other_keys,
            faults,
        }
    }
}

impl Status {
    /// A look at the chain of trust in `data_dir` without making or changing anything; `None` if there is none yet.
    ///
    /// # Errors
    /// What is there does not fit together.
    pub fn of(
        data_dir: &Path,
        policy: TrustPolicy,
        vault: Vault,
        now: Timestamp,
    ) -> Result<Option<Status>, TrustError> {
        let store = TrustStore::new(data_dir, policy, vault);
        match store.read()? {
            Found::Chain(chain) => {
                store.refuse_foreign_files(&chain)?;
                Ok(Some(store.status(&chain, now)))
            }
            Found::Nothing | Found::RootAlone(_) => Ok(None),
        }
    }

    /// Whether a condition needs somebody to act, or is the way an installation was set up: an exit code that is never
    /// 0 is one nobody looks at. The hint to move a root key offline stands on every fresh installation; keyring keys
    /// are kept elsewhere on purpose where there are several, and a single one that is not here is missing.
    #[must_use]
    pub fn is_fault(&self, condition: &Condition) -> bool {
        if condition.code == AlarmCode::RootKeyOnline {
            !condition.subject.is_empty()
        } else {
            condition.code != AlarmCode::KeyringNotRenewable || self.keyring_role.keys.len() == 1
        }
    }

    /// What operators have to know of it, under this lease (token §3).
    #[must_use]
    pub fn conditions(&self, lease: Seconds) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let mut add =
            |code, subject: &str, sentence| conditions.push(Condition::new(code, subject, sentence));
        let last = self.token_keys.last();
        if last.is_none_or(|key| key.not_after_at <= self.now.saturating_add(lease)) {
            let (kid, end) = last.map_or(("none", String::from("now")), |key| {
                (key.kid.as_str(), key.not_after_at.to_string())
            });
            add(AlarmCode::TokenKeyEnds, kid, format!("the last token key, {kid}, ends {end}"));
        }
        if let Some(key) = self.token_keys.iter().find(|key| key.signs && !key.here) {
            let why = self.faults.first().map_or("its private half is in no place here", String::as_str);
            add(AlarmCode::SignerUnavailable, "", format!("token key {} cannot be used: {why}", key.kid));
        }
        if !self.keyring_role.is_online() {
            let RoleStatus { threshold, .. } = self.keyring_role;
            let here = self.keyring_role.here();
            let sentence =
                format!("{here} of the {threshold} keyring key(s) that must sign are within reach");
            add(AlarmCode::KeyringNotRenewable, "", sentence);
        }
        if self.keyring_root_version < self.root_version {
            let (root, keyring) = (self.root_version, self.keyring_root_version);
            let sentence = format!("the root is version {root}, the keyring is made under root {keyring}");
            add(AlarmCode::KeyringBehindRoot, "", sentence);
        }
        if self.root_role.is_online() {
            let keys: Vec<&str> =
                self.root_role.keys.iter().filter(|(_, here)| *here).map(|(kid, _)| kid.as_str()).collect();
            let sentence = format!("the private half of root key {} is here", keys.join(", "));
            add(AlarmCode::RootKeyOnline, "", sentence);
        }
        if !self.earlier_root_keys_here.is_empty() {
            let keys = self.earlier_root_keys_here.join(", ");
            let sentence = format!(
                "the private half of {keys}, a key of an earlier root, is still here: devices at that root would \
                 follow what it signs, so delete its file"
            );
            add(AlarmCode::RootKeyOnline, "earlier roots", sentence);
        }
        conditions
    }
}
