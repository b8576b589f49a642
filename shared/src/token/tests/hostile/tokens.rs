//! Tokens that are whole and well formed, and still not to be believed: wrong keys, wrong addressees, wrong times,
//! wrong versions, and every lie about every claim behind a good signature.

use super::cbor::{Kind, Lie, Tree, bytes, int, map, text};
use super::deployment::*;
use super::{Case, Set};
use crate::token::TOKEN_TYPE;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// 2106-02-07, where 32 bits end.
const END_OF_32_BITS: u64 = 4_294_967_295;

pub(super) fn add(set: &mut Set) {
    lies_about_claims(set);
    keys(set);
    addressees(set);
    instants(set);
    versions(set);
}

fn lies_about_claims(set: &mut Set) {
    for lying in claims().lies() {
        let code = match lying.lie {
            Lie::Encoding => "CLAIMS_ENCODING",
            Lie::Content => "CLAIMS_MALFORMED",
            Lie::Profile => "PROFILE_VERSION",
        };
        let bytes = signed(&header(31), &lying.bytes, 31);
        set.add(Case::token(lying.attack(), code, format!("claims: {}", lying.name), bytes));
    }
    let findings = |count: usize| {
        let one = Tree::List([Tree::Uint(1, Kind::Number)].to_vec());
        claims().with(&[LICENSE, 6], Tree::List([&one; 65].map(Clone::clone)[..count].to_vec()))
    };
    set.add(Case::token(
        "malformed_content",
        "CLAIMS_MALFORMED",
        "claims: 65 findings".into(),
        token(&findings(65), 31),
    ));
    for (name, finding) in [
        ("of no parts", Vec::new()),
        ("with a product too many", [1, 1].to_vec()),
        ("over capacity of nothing", [2].to_vec()),
        ("over capacity without a shortfall", [2, 1].to_vec()),
        ("over capacity with a part too many", [2, 1, 1000, 1].to_vec()),
        ("trial ended with a shortfall", [4, 1, 1000].to_vec()),
    ] {
        let finding = Tree::List(finding.into_iter().map(number).collect());
        let bytes = token(&claims().with(&[LICENSE, 6, 0], finding), 31);
        set.add(Case::token(
            "malformed_content",
            "CLAIMS_MALFORMED",
            format!("claims: a finding {name}"),
            bytes,
        ));
    }
}

fn keys(set: &mut Set) {
    let later = claims_at(ISSUED + 60);
    for (name, seed) in [
        ("the attacker's", 99),
        ("a root key", 11),
        ("a keyring key", 21),
        ("of zeros", 0),
        ("of another deployment", 77),
    ] {
        set.add(Case::token("unknown_key", "UNKNOWN_KEY", format!("key: {name}"), token(&later, seed)));
    }
    let protected = |id: &[u8]| map(&[(1, int(-19)), (4, bytes(id)), (16, text(TOKEN_TYPE))]);
    for (name, id) in [
        ("id of zeros", [0; 8]),
        ("id of ones", [0xff; 8]),
        ("id backwards", {
            let mut id = kid(31);
            id.reverse();
            id
        }),
        ("id of the key in place of its thumbprint", public(31)[..8].try_into().unwrap()),
        ("id one off", {
            let mut id = kid(31);
            id[7] ^= 1;
            id
        }),
    ] {
        set.add(Case::token(
            "unknown_key",
            "UNKNOWN_KEY",
            format!("key: {name}"),
            signed(&protected(&id), &later.encode(), 31),
        ));
    }
    // Keys 34 and 35 were in keyrings before the one held: 34 until a rotation, 35 until it was stolen.
    for seed in [34, 35] {
        for (name, at) in [
            ("before", ISSUED - 5 * DAY),
            ("long before", ISSUED - 300 * DAY),
            ("after", ISSUED + 60),
            ("long after", ISSUED + 19 * DAY),
        ] {
            set.add(Case::token(
                "revoked_key",
                "UNKNOWN_KEY",
                format!("key {seed}, revoked, {name} it was"),
                token(&claims_at(at), seed),
            ));
        }
    }
    for (name, seed, code, attack) in [
        ("lent to another organization", 32, "KEY_ORGANIZATION", "cross_organization_replay"),
        ("of another use", 33, "KEY_USE", "type_confusion"),
    ] {
        set.add(Case::token(attack, code, format!("key: {name}"), token(&later, seed)));
        let theirs = later.with(&[LICENSE, 2], fixed(&[9; 16]));
        set.add(Case::token(
            attack,
            code,
            format!("key: {name}, for that organization"),
            token(&theirs, seed),
        ));
    }
}

fn addressees(set: &mut Set) {
    let later = claims_at(ISSUED + 60);
    let mut add = |attack, code, name: &str, claims: Tree| {
        set.add(Case::token(attack, code, name.into(), token(&claims, 31)))
    };
    for name in [
        "dev-next-door",
        "dev_0190163d8694739b912b7ac7e1d8a5f2",
        "dev_0190163d8694739b912b7ac7e1d8a5f",
        "dev_0190163d8694739b912b7ac7e1d8a5f11",
        "DEV_0190163d8694739b912b7ac7e1d8a5f1",
        "dev-0190163d8694739b912b7ac7e1d8a5f1",
        "0190163d8694739b912b7ac7e1d8a5f1",
        "x",
        "all",
        "_",
        "dev_00000000000000000000000000000000",
    ] {
        add("cross_device_replay", "WRONG_DEVICE", &format!("for {name}"), later.with(&[3], device(name)));
    }
    let neighbor = later.with(&[3], device("dev-next-door"));
    add(
        "cross_device_replay",
        "WRONG_DEVICE",
        "a neighbor's token, newer than ours",
        neighbor.with(&[LICENSE, 10], number(SEQ + DAY * 1000)),
    );
    add(
        "cross_site_replay",
        "WRONG_DEVICE",
        "a neighbor's at another site",
        neighbor.with(&[LICENSE, 3], fixed(&[8; 16])),
    );
    add("cross_site_replay", "WRONG_DEVICE", "a neighbor's at the same site", neighbor.clone());
    add(
        "cross_site_replay",
        "ROLLBACK",
        "ours, from the site before the move",
        claims_at(ISSUED - DAY).with(&[LICENSE, 3], fixed(&[8; 16])),
    );
    add(
        "cross_site_replay",
        "ROLLBACK",
        "ours, from the group before the move",
        claims_at(ISSUED - DAY).with(&[LICENSE, 4], fixed(&[8; 16])),
    );
    for (name, id) in [
        ("another", [9; 16]),
        ("one bit off", {
            let mut id = [1; 16];
            id[15] = 0;
            id
        }),
        ("none", [0; 16]),
        ("our site's id", [2; 16]),
    ] {
        let theirs = later.with(&[LICENSE, 2], fixed(&id));
        add(
            "cross_organization_replay",
            "WRONG_ORGANIZATION",
            &format!("of organization: {name}"),
            theirs.clone(),
        );
        let older = claims_at(ISSUED - DAY).with(&[LICENSE, 2], fixed(&id));
        add(
            "cross_organization_replay",
            "WRONG_ORGANIZATION",
            &format!("of organization: {name}, older"),
            older,
        );
    }
    for name in [
        "other.example.com",
        "licenses.example.org",
        "licenses.example.co",
        "licences.example.com",
        "licenses.example.com.",
        "xlicenses.example.com",
        "-",
        "test",
    ] {
        add(
            "cross_deployment_replay",
            "WRONG_ISSUER",
            &format!("of deployment {name}"),
            later.with(&[1], domain(name)),
        );
    }
    let elsewhere = later.with(&[1], domain("other.example.com")).with(&[3], device("dev-next-door"));
    add(
        "cross_deployment_replay",
        "WRONG_ISSUER",
        "of another deployment, device and organization",
        elsewhere.with(&[LICENSE, 2], fixed(&[9; 16])),
    );
}

fn instants(set: &mut Set) {
    let mut add = |attack, code, name: String, claims: Tree| {
        set.add(Case::token(attack, code, name, token(&claims, 31)))
    };
    let (from, to) = (ISSUED - 10 * DAY, ISSUED + 20 * DAY);
    for (name, at) in [
        ("a second", to + 1),
        ("a day", to + DAY),
        ("a year", to + 365 * DAY),
        ("a century", to + 36_500 * DAY),
    ] {
        add("expired_key", "OUTSIDE_KEY_WINDOW", format!("issued {name} after its key ended"), claims_at(at));
    }
    for (name, at) in [("a second", from - 1), ("a day", from - DAY), ("a year", from - 365 * DAY)] {
        add(
            "expired_key",
            "OUTSIDE_KEY_WINDOW",
            format!("issued {name} before its key began"),
            claims_at(at),
        );
    }
    for (name, at) in [
        ("1970", 0),
        ("1970, a day in", DAY),
        ("1980", 315_532_800),
        ("2000", 946_684_800),
        ("2038", 2_147_483_648),
        ("2106", END_OF_32_BITS + 1),
        ("9998", 253_339_228_800),
    ] {
        add("wrong_clock", "OUTSIDE_KEY_WINDOW", format!("issued in {name} by its clock"), claims_at(at));
        let name = format!("issued in {name} by its clock, with a sequence of today");
        add(
            "wrong_clock",
            "OUTSIDE_KEY_WINDOW",
            name,
            claims_at(at).with(&[LICENSE, 10], number(SEQ + 60_000)),
        );
    }
    let near = DAY * 1000;
    for (name, attack, seq) in [
        ("zero", "wrong_clock", 0),
        ("one", "wrong_clock", 1),
        ("a day and a millisecond behind", "wrong_clock", SEQ - near - 1),
        ("a month behind", "wrong_clock", SEQ - 30 * near),
        ("in seconds instead of milliseconds", "wrong_clock", ISSUED),
        ("in microseconds", "fast_forward", SEQ * 1000),
        ("a day and a millisecond ahead", "fast_forward", SEQ + near + 1),
        ("a month ahead", "fast_forward", SEQ + 30 * near),
        ("a century ahead", "fast_forward", SEQ + 36_500 * near),
        ("at the end of 32 bits", "wrong_clock", END_OF_32_BITS),
        ("at the end of 63 bits", "fast_forward", u64::MAX >> 1),
        ("at the end of 64 bits", "fast_forward", u64::MAX),
    ] {
        add(
            attack,
            "SEQUENCE_OFF_TIME",
            format!("a sequence {name}"),
            claims().with(&[LICENSE, 10], number(seq)),
        );
    }
    let null = || Tree::Null(Kind::OptionalInstant);
    let schedule = |steps: [Option<u64>; 3]| {
        let steps = steps.map(|step| step.map_or_else(null, maybe));
        claims_at(ISSUED + 60).with(&[LICENSE, 7], Tree::List(steps.to_vec()))
    };
    let (a, b, c) = (ISSUED - DAY, ISSUED + DAY, ISSUED + 2 * DAY);
    for (name, steps) in [
        ("lock before grace", [Some(b), Some(a), Some(c)]),
        ("stop before lock", [Some(a), Some(c), Some(b)]),
        ("stop before grace", [Some(b), Some(c), Some(a)]),
        ("backwards", [Some(c), Some(b), Some(a)]),
        ("lock without grace", [None, Some(b), Some(c)]),
        ("stop without lock", [Some(a), None, Some(c)]),
        ("only a stop", [None, None, Some(c)]),
        ("only a lock", [None, Some(b), None]),
        ("grace at the end of time", [Some(253_402_300_799), Some(b), Some(c)]),
        ("stop in 1970", [Some(a), Some(b), Some(0)]),
    ] {
        add("malformed_content", "TIMES_UNORDERED", format!("a schedule with {name}"), schedule(steps));
    }
    let later = claims_at(ISSUED + 60);
    for (name, path, at) in [
        ("a lease of nothing", &[4][..], ISSUED + 60),
        ("a lease that ended before", &[4], ISSUED + 59),
        ("a lease of 1970", &[4], 0),
        ("an offline lock before its issue", &[LICENSE, 8], ISSUED + 59),
        ("an offline lock in 1970", &[LICENSE, 8], 0),
        ("an issue after its lease", &[6], ISSUED + 8 * DAY),
        ("an issue at the end of time", &[6], 253_402_300_799),
    ] {
        add("wrong_clock", "TIMES_UNORDERED", name.into(), later.with(path, instant(at)));
    }
}

fn versions(set: &mut Set) {
    let mut add = |attack, code, name: String, claims: Tree| {
        set.add(Case::token(attack, code, name, token(&claims, 31)))
    };
    for (name, by) in
        [("a millisecond", 1), ("a second", 1_000), ("an hour", 3_600_000), ("a day", DAY * 1000)]
    {
        add(
            "rollback",
            "ROLLBACK",
            format!("a sequence {name} older"),
            claims().with(&[LICENSE, 10], number(SEQ - by)),
        );
        // What a cloud issues that works on a backup: honest instants, old sequence.
        let stale = claims_at(ISSUED + 60).with(&[LICENSE, 10], number(SEQ - by));
        add(
            "restored_cloud_database",
            if by < DAY * 1000 { "ROLLBACK" } else { "SEQUENCE_OFF_TIME" },
            format!("issued now with a sequence {name} old"),
            stale,
        );
    }
    for (name, by) in [("a second", 1), ("an hour", 3_600), ("a day", DAY), ("nine days", 9 * DAY)] {
        add("rollback", "ROLLBACK", format!("honest, issued {name} earlier"), claims_at(ISSUED - by));
        let licensed =
            claims_at(ISSUED - by).with(&[LICENSE, 5], number(0)).with(&[LICENSE, 6], Tree::List(Vec::new()));
        let never = Tree::List([(); 3].map(|()| Tree::Null(Kind::OptionalInstant)).to_vec());
        add(
            "rollback",
            "ROLLBACK",
            format!("licensed for ever, issued {name} earlier"),
            licensed.with(&[LICENSE, 7], never),
        );
        // Withholding the new and repeating the old is all a freeze can do.
        add(
            "freeze",
            "ROLLBACK",
            format!("repeated, of {name} before, without a nonce"),
            claims_at(ISSUED - by).without(&[], 10),
        );
        let another = claims_at(ISSUED - by).with(&[10], Tree::Bytes([0x11; 16].to_vec(), Kind::Nonce));
        add("freeze", "ROLLBACK", format!("repeated, of {name} before, with another nonce"), another);
    }
    for (name, epoch, code) in [
        ("zero", 0, "EPOCH_REVOKED"),
        ("two", 2, "EPOCH_UNKNOWN"),
        ("a thousand", 1_000, "EPOCH_UNKNOWN"),
        ("at the end of 32 bits", END_OF_32_BITS, "EPOCH_UNKNOWN"),
        ("at the end of 64 bits", u64::MAX, "EPOCH_UNKNOWN"),
    ] {
        add(
            "fast_forward",
            code,
            format!("epoch {name}"),
            claims_at(ISSUED + 60).with(&[LICENSE, 9], number(epoch)),
        );
        add(
            "fast_forward",
            code,
            format!("epoch {name}, a day ahead"),
            claims().with(&[LICENSE, 9], number(epoch)).with(&[LICENSE, 10], number(SEQ + DAY * 1000)),
        );
    }
    let never = Tree::List([(); 3].map(|()| Tree::Null(Kind::OptionalInstant)).to_vec());
    for (name, other) in [
        ("another lease", claims().with(&[4], instant(ISSUED + 8 * DAY))),
        ("another instant of issue", claims().with(&[6], instant(ISSUED + 1))),
        ("another nonce", claims().with(&[10], fixed(&[0x5a; 16]))),
        ("no nonce", claims().without(&[], 10)),
        ("another site", claims().with(&[LICENSE, 3], fixed(&[9; 16]))),
        ("another group", claims().with(&[LICENSE, 4], fixed(&[9; 16]))),
        ("no group", claims().without(&[LICENSE], 4)),
        ("another state", claims().with(&[LICENSE, 5], number(0))),
        ("no findings", claims().with(&[LICENSE, 6], Tree::List(Vec::new()))),
        ("no schedule", claims().with(&[LICENSE, 7], never)),
        ("another offline lock", claims().with(&[LICENSE, 8], instant(ISSUED + 41 * DAY))),
        ("no co-termination", claims().with(&[LICENSE, 11], Tree::Null(Kind::OptionalInstant))),
    ] {
        add("equivocation", "EQUIVOCATION", format!("the version held, with {name}"), other);
    }
    for state in [0, 2, 3] {
        let other = claims().without(&[LICENSE], 4).with(&[LICENSE, 5], number(state));
        add(
            "two_clouds_at_once",
            "EQUIVOCATION",
            format!("the version held, state {state}, unassigned"),
            other,
        );
        let behind =
            claims_at(ISSUED + 60).with(&[LICENSE, 5], number(state)).with(&[LICENSE, 10], number(SEQ - 1));
        add("two_clouds_at_once", "ROLLBACK", format!("a replica one behind, state {state}"), behind);
    }
}
