//! `coterm-agent verify-token`: the agent's one verification path, for people and scripts.

use super::print_json;
use crate::cli::VerifyToken;
use crate::{DONE, FAILED, USAGE, files};
use coterm_shared::enforcement::{DeviceClass, Inputs, LicenseState, ModeCap, TimeSource, TrustedTime, step};
use coterm_shared::token::{
    Accepted, Claims, Expected, Held, Keyring, Root, TokenRefusal, verify_token as verify,
};
use serde_json::{Value, json};
use std::fmt::Display;

pub(crate) fn verify_token(arguments: &VerifyToken) -> u8 {
    let read = |path| files::read(path).inspect_err(|error| eprintln!("{error}")).ok();
    let (Some(root), Some(keyring), Some(token)) =
        (read(&arguments.root), read(&arguments.keyring), read(&arguments.token))
    else {
        return USAGE;
    };
    match judge(arguments, &root, &keyring, &token) {
        Ok(accepted) => match print_json(&accepted) {
            DONE => DONE,
            _ => FAILED,
        },
        Err(refused) => {
            print_json(&refused);
            FAILED
        }
    }
}

fn refused(document: &str, code: &str, sentence: &dyn Display) -> Value {
    json!({ "result": "refused", "document": document, "code": code, "message": sentence.to_string() })
}

fn judge(arguments: &VerifyToken, root: &[u8], keyring: &[u8], token: &[u8]) -> Result<Value, Value> {
    let root = Root::pinned(root).map_err(|refusal| refused("root", refusal.code(), &refusal))?;
    let keyring = Keyring::verify(keyring, &root, None)
        .map_err(|refusal| refused("keyring", refusal.code(), &refusal))?;
    let expected = Expected {
        trust_domain: arguments.trust_domain.clone().unwrap_or_else(|| root.trust_domain().clone()),
        device: arguments.device.clone(),
        organization: arguments.organization,
    };
    // Without the bytes held, an equal version can only be taken for another token; below, for the same.
    let held = arguments.held.map(|version| Held { version, digest: [0; 32] });
    match verify(token, &keyring, &expected, held.as_ref(), None) {
        Ok(Accepted::Newer(token)) => Ok(accepted("newer", token.claims(), arguments)),
        Ok(Accepted::Duplicate(token)) => Ok(accepted("duplicate", token.claims(), arguments)),
        Err(TokenRefusal::Equivocation) => match verify(token, &keyring, &expected, None, None) {
            Ok(verified) => Ok(accepted("duplicate", verified.token().claims(), arguments)),
            Err(refusal) => Err(refused("token", refusal.code(), &refusal)),
        },
        Err(refusal) => Err(refused("token", refusal.code(), &refusal)),
    }
}

fn accepted(relation: &str, claims: &Claims, arguments: &VerifyToken) -> Value {
    let at = arguments.at.unwrap_or(claims.issued_at);
    let license = LicenseState::from(claims);
    let decision = step(&Inputs {
        license: Some(&license),
        time: TrustedTime::certain(at, TimeSource::Token),
        // A class without a cap: what the token itself says.
        cap: ModeCap::of(DeviceClass::Camera, None),
    });
    json!({
        "result": "accepted",
        "relation": relation,
        "claims": {
            "trust_domain": claims.trust_domain,
            "device": claims.device,
            "lease_ends_at": claims.lease_ends_at,
            "issued_at": claims.issued_at,
            "nonce": claims.nonce,
            "organization": claims.organization,
            "site": claims.site,
            "group": claims.group,
            "state": claims.state,
            "findings": claims.findings,
            "schedule": claims.schedule,
            "offline_lock_at": claims.offline_lock_at,
            "version": claims.version,
            "coterm_at": claims.coterm_at,
        },
        "at": at,
        "state": decision.state,
        "mode": decision.mode,
        "reasons": decision.reason.codes(),
        "why": decision.reason.sentences(),
        "next_change": decision.next_change,
    })
}
