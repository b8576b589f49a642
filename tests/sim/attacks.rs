//! Who reaches the broker and has no license to give: junk, what is not meant for a device, and what others signed.

use crate::device::truth;
use crate::faults::Fault;
use crate::plan::SECOND;
use crate::rng::Rng;
use crate::trust::{KEY_LASTS, Key, domain};
use crate::world::{Event, World};
use coterm_cloud::signer::Signer;
use coterm_shared::enforcement::{EnforcementState, Schedule};
use coterm_shared::id::SiteId;
use coterm_shared::protocol::Topic;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Claims, TokenVersion, TrustDomain, Unsigned};
use std::sync::Arc;

impl World {
    /// Somebody on the network says something to a device that nobody licensed.
    pub fn attack(&mut self, fault: Fault, device: usize, dice: &mut Rng) -> bool {
        let of = &self.devices[device];
        let Some((session, root)) = of.session.as_ref().map(|session| (session.id, session.root)) else {
            return false;
        };
        let own = Topic::Token(self.devices[device].id.clone());
        let now = Timestamp::from_secs_clamped(truth(self.now));
        let last = self.devices[device].seen.last().cloned();
        let (topic, payload): (Topic, Vec<u8>) = match fault {
            Fault::Junk => {
                let bytes = (0..dice.range(0, 600)).map(|_| dice.next() as u8).collect();
                (if dice.chance(500) { own } else { Topic::Keyring }, bytes)
            }
            Fault::Flipped => {
                let Some(last) = last else { return false };
                let mut bytes = last.to_vec();
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
                (own, bytes)
            }
            Fault::Replayed => {
                let seen = &self.devices[device].seen;
                // The last one is the newest.
                let Some((_, old)) = seen.split_last().filter(|(_, old)| !old.is_empty()) else {
                    return false;
                };
                (own, dice.pick(old).to_vec())
            }
            Fault::Strayed => {
                let others = self.devices.iter().filter(|other| other.id != self.devices[device].id);
                let tokens: Vec<_> = others.filter_map(|other| other.seen.last().cloned()).collect();
                if tokens.is_empty() {
                    return false;
                }
                (own, dice.pick(&tokens).to_vec())
            }
            Fault::Superseded => {
                let newest = self.keys.0.lock().expect("whole").documents();
                let root_now = newest.roots.last().map(|(_, root)| &**root);
                let is_old = |bytes: &&Vec<u8>| **bytes != *newest.keyring && root_now != Some(&***bytes);
                let old: Vec<&Vec<u8>> = self.documents.iter().filter(is_old).collect();
                if old.is_empty() {
                    return false;
                }
                let topic = if dice.chance(700) { Topic::Keyring } else { Topic::Root(root) };
                (topic, (*dice.pick(&old)).clone())
            }
            Fault::Foreign => {
                let domain = "other.coterm.test".parse().expect("a name");
                let key = self.keys.0.lock().expect("whole").signing_key();
                (own, self.forged(device, domain, &key, now))
            }
            Fault::Stranger => (own, self.forged(device, domain(), &Key::of(7), now)),
            Fault::Unlisted => {
                let office = self.keys.0.lock().expect("whole");
                // Whoever has not heard of the newest keyring may believe it.
                let current = self.devices[device].known.keyring.version == office.keyring().version();
                let Some(key) = office.revoked_key().filter(|_| current) else { return false };
                drop(office);
                (own, self.forged(device, domain(), &key, now))
            }
            Fault::Outlived => {
                let key = self.keys.0.lock().expect("whole").signing_key();
                let days = Seconds::days(70);
                let (before, after) =
                    (now.saturating_sub(days), now.saturating_add(KEY_LASTS).saturating_add(days));
                (own, self.forged(device, domain(), &key, if dice.chance(500) { before } else { after }))
            }
            _ => return false,
        };
        let (topic, payload) = (topic.to_string(), Arc::from(payload));
        self.after(SECOND, Event::Deliver { device, session, topic, payload });
        true
    }

    /// Licensed for ever, by this key for this deployment.
    fn forged(&self, device: usize, trust_domain: TrustDomain, key: &Key, issued_at: Timestamp) -> Vec<u8> {
        let of = &self.devices[device];
        let claims = Claims {
            trust_domain,
            device: of.id.clone(),
            lease_ends_at: issued_at.saturating_add(Seconds::days(30)),
            issued_at,
            nonce: None,
            organization: of.organization,
            site: SiteId::from_bytes([2; 16]),
            group: None,
            state: EnforcementState::Licensed,
            findings: Vec::new(),
            schedule: Schedule::NEVER,
            offline_lock_at: issued_at.saturating_add(Seconds::days(300)),
            version: TokenVersion {
                epoch: of.known.keyring.epoch.max(1),
                seq: (issued_at.as_secs() + 3_600) * 1_000,
            },
            coterm_at: None,
        };
        let unsigned = Unsigned::token(&claims, key.kid()).expect("claims a token can carry");
        let signature = key.sign(unsigned.to_be_signed()).expect("a key that signs");
        unsigned.attach(signature)
    }
}
