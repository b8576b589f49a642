//! `coterm-agent verify-token`: the agent's one verification path, for people and scripts.
//!
//! Every document a device takes from the network can be put through it by hand: `--as` says what it poses as. What is
//! held already is given beside it, because half of the refusals are about that.

use super::print_json;
use crate::cli::{Document, VerifyToken};
use crate::{DONE, FAILED, USAGE, files};
use coterm_shared::enforcement::{DeviceClass, Inputs, LicenseState, ModeCap, TimeSource, TrustedTime, step};
use coterm_shared::token::{
    Accepted, Claims, Expected, Held, Keyring, KeyringStep, Role, Root, TokenRefusal, TrustRefusal,
    reopen_stored, verify_token as verify,
};
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::Path;

/// Why there is no verdict of acceptance.
enum No {
    /// Refused: what to print.
    Refused(Value),
    /// Nothing could be judged: what to say about the command line or a file.
    Unasked(String),
}

pub(crate) fn verify_token(arguments: &VerifyToken) -> u8 {
    match judge(arguments) {
        Ok(accepted) => match print_json(&accepted) {
            DONE => DONE,
            _ => FAILED,
        },
        Err(No::Refused(refused)) => {
            print_json(&refused);
            FAILED
        }
        Err(No::Unasked(sentence)) => {
            eprintln!("{sentence}");
            USAGE
        }
    }
}

fn refused(document: &str, code: &str, sentence: &dyn Display) -> No {
    No::Refused(
        json!({ "result": "refused", "document": document, "code": code, "message": sentence.to_string() }),
    )
}

fn distrusted(document: &'static str) -> impl Fn(TrustRefusal) -> No {
    move |refusal| refused(document, refusal.code(), &refusal)
}

fn read(path: &Path) -> Result<Vec<u8>, No> {
    files::read(path).map_err(|error| No::Unasked(error.to_string()))
}

fn judge(arguments: &VerifyToken) -> Result<Value, No> {
    let root = read(&arguments.root)?;
    let keyring = arguments.keyring.as_deref().map(read).transpose()?;
    let held = arguments.held_token.as_deref().map(read).transpose()?;
    let file = read(&arguments.file)?;
    let root = Root::pinned(&root).map_err(distrusted("root"))?;
    let document = arguments.document;
    let keyring = match &keyring {
        Some(bytes) => {
            let beside = if document == Document::Keyring { "held-keyring" } else { "keyring" };
            Some(Keyring::verify(bytes, &root, None).map_err(distrusted(beside))?)
        }
        None => None,
    };
    match document {
        Document::Token => token(arguments, &root, keyring.as_ref(), held.as_deref(), &file),
        Document::Keyring => Keyring::verify(&file, &root, keyring.as_ref())
            .map(|keyring| accepted_keyring(&keyring))
            .map_err(distrusted("keyring")),
        Document::Root => root.update(&file).map(|next| accepted_root(&next)).map_err(distrusted("root")),
    }
}

fn token(
    arguments: &VerifyToken,
    root: &Root,
    keyring: Option<&Keyring>,
    held: Option<&[u8]>,
    file: &[u8],
) -> Result<Value, No> {
    let (Some(keyring), Some(device), Some(organization)) =
        (keyring, arguments.device.as_ref(), arguments.organization)
    else {
        let sentence = "a token is verified for a device: give --keyring, --device and --organization";
        return Err(No::Unasked(sentence.to_owned()));
    };
    let expected = Expected {
        trust_domain: arguments.trust_domain.clone().unwrap_or_else(|| root.trust_domain().clone()),
        device: device.clone(),
        organization,
    };
    let refuse = |refusal: TokenRefusal| refused("token", refusal.code(), &refusal);
    if let Some(held) = held {
        let held = reopen_stored(held, keyring, &expected)
            .map_err(|refusal| refused("held-token", refusal.code(), &refusal))?
            .held();
        return match verify(file, keyring, &expected, Some(&held), None).map_err(refuse)? {
            Accepted::Newer(token) => Ok(accepted("newer", token.claims(), arguments)),
            Accepted::Duplicate(token) => Ok(accepted("duplicate", token.claims(), arguments)),
        };
    }
    // Without the bytes held, an equal version can only be taken for another token; below, for the same.
    let held = arguments.held.map(|version| Held { version, digest: [0; 32] });
    match verify(file, keyring, &expected, held.as_ref(), None) {
        Ok(Accepted::Newer(token)) => Ok(accepted("newer", token.claims(), arguments)),
        Ok(Accepted::Duplicate(token)) => Ok(accepted("duplicate", token.claims(), arguments)),
        Err(TokenRefusal::Equivocation) => match verify(file, keyring, &expected, None, None) {
            Ok(verified) => Ok(accepted("duplicate", verified.token().claims(), arguments)),
            Err(refusal) => Err(refuse(refusal)),
        },
        Err(refusal) => Err(refuse(refusal)),
    }
}

fn accepted_keyring(keyring: &Keyring) -> Value {
    let relation = match keyring.step() {
        KeyringStep::First => "first",
        KeyringStep::Unchanged => "unchanged",
        KeyringStep::Newer => "newer",
        KeyringStep::EpochRaised => "epoch-raised",
        KeyringStep::Restarted => "restarted",
    };
    json!({
        "result": "accepted",
        "document": "keyring",
        "relation": relation,
        "trust_domain": keyring.trust_domain(),
        "version": keyring.version(),
        "issued_at": keyring.issued_at(),
        "epoch": keyring.min_epoch(),
        "keys": keyring.keys().iter().map(|key| json!({
            "kid": key.key.kid().to_string(),
            "not_before_at": key.not_before_at,
            "not_after_at": key.not_after_at,
            "use": key.key_use.number(),
            "organization": key.organization,
        })).collect::<Vec<_>>(),
    })
}

fn accepted_root(root: &Root) -> Value {
    let role = |role: &Role| {
        let keys: Vec<String> = role.keys().iter().map(|key| key.kid().to_string()).collect();
        json!({ "threshold": role.threshold(), "keys": keys })
    };
    json!({
        "result": "accepted",
        "document": "root",
        "relation": "next",
        "trust_domain": root.trust_domain(),
        "version": root.version(),
        "root": role(&root.document().root),
        "keyring": role(&root.document().keyring),
    })
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
        "document": "token",
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
