//! A CBOR writer that can lie.
//!
//! Written apart from `token::codec`, so that the hostile set does not come out of the encoder it is meant to judge.
//! A [`Tree`] is an honest document; [`Tree::lies`] is every dishonest one next to it: each field, and each kind of
//! lie about a field, with what the rules say about it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A CBOR item, honestly encoded (RFC 8949 §4.2.1).
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Uint(u64, Kind),
    Bytes(Vec<u8>, Kind),
    Text(String, Kind),
    Null(Kind),
    List(Vec<Tree>),
    /// Keys, whether they may be left out, and values, in the order of the encoding.
    Map(Vec<(i64, bool, Tree)>),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// What a place is for, as far as lies about it differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any 64-bit number.
    Number,
    /// Seconds up to the year 9999.
    Instant,
    /// The same, or null.
    OptionalInstant,
    /// 1, or another format.
    Profile,
    /// A number up to here, and this many at least.
    Range(u64, u64),
    /// Bytes of exactly the length they have.
    Fixed,
    /// 8 to 64 bytes.
    Nonce,
    /// 1 to 64 characters; this one is not allowed.
    Name(char),
}

/// What a lie is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// The item is not deterministic CBOR.
    Encoding,
    /// It is, and means nothing here.
    Content,
    /// It is of a format to come.
    Profile,
}

/// An encoded document that is wrong in one place.
pub(super) struct Lying {
    pub(super) name: String,
    pub(super) lie: Lie,
    pub(super) bytes: Vec<u8>,
}

/// The head of an item: `major` 0 to 7 and the shortest argument.
pub(super) fn head(major: u8, argument: u64) -> Vec<u8> {
    let wide = argument.to_be_bytes();
    match argument {
        0..=23 => [major << 5 | wide[7]].to_vec(),
        24..=0xff => [major << 5 | 24, wide[7]].to_vec(),
        0x100..=0xffff => [&[major << 5 | 25], &wide[6..]].concat(),
        0x1_0000..=0xffff_ffff => [&[major << 5 | 26], &wide[4..]].concat(),
        _ => [&[major << 5 | 27], &wide[..]].concat(),
    }
}

/// The same, one size wider than necessary; `None` if there is no wider one.
pub(super) fn wide_head(major: u8, argument: u64) -> Option<Vec<u8>> {
    let wide = argument.to_be_bytes();
    Some(match argument {
        0..=23 => [major << 5 | 24, wide[7]].to_vec(),
        24..=0xff => [&[major << 5 | 25], &wide[6..]].concat(),
        0x100..=0xffff => [&[major << 5 | 26], &wide[4..]].concat(),
        0x1_0000..=0xffff_ffff => [&[major << 5 | 27], &wide[..]].concat(),
        _ => return None,
    })
}

pub(super) fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len() as u64), content.to_vec()].concat()
}

pub(super) fn text(content: &str) -> Vec<u8> {
    [head(3, content.len() as u64), content.as_bytes().to_vec()].concat()
}

pub(super) fn int(value: i64) -> Vec<u8> {
    if value < 0 { head(1, value.unsigned_abs() - 1) } else { head(0, value.unsigned_abs()) }
}

pub(super) fn map(pairs: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let pairs_in = pairs.iter().flat_map(|(key, value)| [int(*key), value.clone()]).collect::<Vec<_>>();
    [head(5, pairs.len() as u64), pairs_in.concat()].concat()
}

pub(super) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// What nests deeper than token §2 allows is no encoding of anything, whatever else it says.
fn or_too_deep(lie: Lie, document: &[u8]) -> Lie {
    fn skip(rest: &mut &[u8]) -> u8 {
        let (first, tail) = rest.split_first().unwrap();
        let (major, size) = (first >> 5, first & 0x1f);
        let width = if size < 24 { 0 } else { 1 << (size - 24) };
        let argument = tail[..width].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let argument = if size < 24 { usize::from(size) } else { argument };
        *rest = &tail[width..];
        match major {
            2 | 3 => *rest = &rest[argument..],
            4 => return 1 + (0..argument).map(|_| skip(rest)).max().unwrap_or(0),
            5 => return 1 + (0..2 * argument).map(|_| skip(rest)).max().unwrap_or(0),
            _ => {}
        }
        0
    }
    match lie {
        Lie::Content if skip(&mut &document[..]) > 4 => Lie::Encoding,
        Lie::Content | Lie::Encoding | Lie::Profile => lie,
    }
}

impl Tree {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Tree::Uint(value, _) => head(0, *value),
            Tree::Bytes(value, _) => bytes(value),
            Tree::Text(value, _) => text(value),
            Tree::Null(_) => [0xf6].to_vec(),
            Tree::List(items) => list(&items.iter().map(Tree::encode).collect::<Vec<_>>()),
            Tree::Map(pairs) => {
                map(&pairs.iter().map(|(key, _, value)| (*key, value.encode())).collect::<Vec<_>>())
            }
            Tree::Raw(bytes) => bytes.clone(),
        }
    }

    /// The value under a path of map keys and list places.
    pub(super) fn at(&mut self, path: &[i64]) -> &mut Tree {
        let Some((first, rest)) = path.split_first() else { return self };
        match self {
            Tree::List(items) => items[usize::try_from(*first).unwrap()].at(rest),
            Tree::Map(pairs) => pairs.iter_mut().find(|(key, _, _)| key == first).unwrap().2.at(rest),
            Tree::Uint(..) | Tree::Bytes(..) | Tree::Text(..) | Tree::Null(_) | Tree::Raw(_) => {
                panic!("nothing is under {path:?}")
            }
        }
    }

    /// The same with another value under a path.
    pub(super) fn with(&self, path: &[i64], value: Tree) -> Tree {
        let mut changed = self.clone();
        *changed.at(path) = value;
        changed
    }

    /// The same without a pair of a map.
    pub(super) fn without(&self, path: &[i64], key: i64) -> Tree {
        let mut changed = self.clone();
        let Tree::Map(pairs) = changed.at(path) else { panic!("no map is under {path:?}") };
        pairs.retain(|(own, _, _)| *own != key);
        changed
    }

    /// Every lie about every place of this document, and about the document as a whole.
    pub(super) fn lies(&self) -> Vec<Lying> {
        let whole = self.encode();
        let mut lies = [
            ("nothing", Lie::Encoding, Vec::new()),
            ("a byte more", Lie::Encoding, [&whole[..], &[0]].concat()),
            ("a second document behind", Lie::Encoding, [&whole[..], &whole[..]].concat()),
            ("its last byte missing", Lie::Encoding, whole[..whole.len() - 1].to_vec()),
            ("its second half missing", Lie::Encoding, whole[..whole.len() / 2].to_vec()),
            ("an empty map", Lie::Content, [0xa0].to_vec()),
            ("a byte string of it", Lie::Content, bytes(&whole)),
        ]
        .map(|(name, lie, bytes)| Lying { name: format!("whole: {name}"), lie, bytes })
        .into_iter()
        .collect::<Vec<_>>();
        self.visit(&mut Vec::new(), &mut |path, place| {
            let name = path.iter().map(ToString::to_string).collect::<Vec<_>>().join("/");
            let name = if name.is_empty() { "whole".to_string() } else { name };
            for (what, lie, bytes) in place.lies_of_value() {
                let bytes = self.with(path, Tree::Raw(bytes)).encode();
                lies.push(Lying { name: format!("{name}: {what}"), lie: or_too_deep(lie, &bytes), bytes });
            }
            if let Tree::Map(pairs) = place {
                for (what, lie, bytes) in lies_of_pairs(pairs) {
                    let bytes = self.with(path, Tree::Raw(bytes)).encode();
                    lies.push(Lying { name: format!("{name}: {what}"), lie, bytes });
                }
            }
        });
        lies
    }

    fn visit(&self, path: &mut Vec<i64>, look: &mut dyn FnMut(&[i64], &Tree)) {
        look(path, self);
        let children: Vec<(i64, &Tree)> = match self {
            Tree::List(items) => (0..).zip(items).collect(),
            Tree::Map(pairs) => pairs.iter().map(|(key, _, value)| (*key, value)).collect(),
            Tree::Uint(..) | Tree::Bytes(..) | Tree::Text(..) | Tree::Null(_) | Tree::Raw(_) => return,
        };
        for (key, child) in children {
            path.push(key);
            child.visit(path, look);
            path.pop();
        }
    }

    /// What may stand in the place of this value, and must not.
    fn lies_of_value(&self) -> Vec<(&'static str, Lie, Vec<u8>)> {
        let good = self.encode();
        let mut lies: Vec<(&'static str, Lie, Vec<u8>)> = [
            ("tagged", [&[0xc1], &good[..]].concat()),
            ("self-described", [&[0xd9, 0xd9, 0xf7], &good[..]].concat()),
            ("a float", [&[0xfb], &1.8e9_f64.to_be_bytes()[..]].concat()),
            ("half a float", [0xf9, 0x3c, 0x00].to_vec()),
            ("true", [0xf5].to_vec()),
            ("undefined", [0xf7].to_vec()),
            ("a simple value", [0xf8, 0xff].to_vec()),
            ("a bignum", [0xc2, 0x41, 0x01].to_vec()),
            ("a reserved head", [0x1c].to_vec()),
            ("a break", [0xff].to_vec()),
        ]
        .map(|(name, bytes)| (name, Lie::Encoding, bytes))
        .to_vec();
        let mut other = |name, lie, bytes| lies.push((name, lie, bytes));
        let major = good[0] >> 5;
        let argument = match self {
            Tree::Uint(value, _) => Some(*value),
            Tree::Bytes(value, _) => Some(value.len() as u64),
            Tree::Text(value, _) => Some(value.len() as u64),
            Tree::List(items) => Some(items.len() as u64),
            Tree::Map(pairs) => Some(pairs.len() as u64),
            Tree::Null(_) | Tree::Raw(_) => None,
        };
        if let Some(argument) = argument {
            let body = &good[head(major, argument).len()..];
            if let Some(wide) = wide_head(major, argument) {
                other("in a longer form", Lie::Encoding, [&wide, body].concat());
            }
            if major >= 2 {
                let chunk = if major <= 3 { &good[..] } else { body };
                let indefinite = [&[major << 5 | 31], chunk, &[0xff]].concat();
                other("of indefinite length", Lie::Encoding, indefinite);
                let endless = [&head(major, u64::MAX), body].concat();
                other("of endless length", Lie::Encoding, endless);
                other("longer than what is left", Lie::Encoding, [&head(major, 60_000), body].concat());
            }
        }
        if !matches!(self, Tree::Null(_) | Tree::Uint(_, Kind::OptionalInstant)) {
            other("null", Lie::Content, [0xf6].to_vec());
        }
        if !matches!(self, Tree::Uint(..) | Tree::Null(Kind::OptionalInstant)) {
            other("a number", Lie::Content, head(0, 1));
        }
        // An empty list is a good list where a list may be empty; the trees say so by their length.
        if !matches!(self, Tree::List(_)) {
            other("a list", Lie::Content, [0x80].to_vec());
            other("itself in a list", Lie::Content, list(core::slice::from_ref(&good)));
        }
        if !matches!(self, Tree::Map(_)) {
            other("a map", Lie::Content, [0xa0].to_vec());
        }
        other("negative", Lie::Content, [0x20].to_vec());
        other("as negative as can be", Lie::Content, head(1, u64::MAX));
        match self {
            Tree::Bytes(value, kind) => {
                other("as text", Lie::Content, text(&"x".repeat(value.len())));
                other(
                    "as a list of bytes",
                    Lie::Content,
                    list(&value.iter().map(|b| head(0, u64::from(*b))).collect::<Vec<_>>()),
                );
                other("empty", Lie::Content, [0x40].to_vec());
                let (shorter, longer) =
                    if *kind == Kind::Nonce { (7, 65) } else { (value.len() - 1, value.len() + 1) };
                other("too short", Lie::Content, bytes(&[0xa5].repeat(shorter)));
                other("too long", Lie::Content, bytes(&[0xa5].repeat(longer)));
            }
            Tree::Text(value, Kind::Name(wrong)) => {
                other("as bytes", Lie::Content, bytes(value.as_bytes()));
                other("empty", Lie::Content, [0x60].to_vec());
                other("too long", Lie::Content, text(&"x".repeat(65)));
                other("with a character it must not have", Lie::Content, text(&format!("{value}{wrong}")));
                other("with a zero byte behind", Lie::Content, text(&format!("{value}\0")));
                other(
                    "with a letter that only looks so",
                    Lie::Content,
                    text(&format!("{}\u{435}", &value[1..])),
                );
                other("not UTF-8", Lie::Encoding, [head(3, 2), [0xc3, 0x28].to_vec()].concat());
                other("in overlong UTF-8", Lie::Encoding, [head(3, 2), [0xc1, 0xa1].to_vec()].concat());
            }
            Tree::Uint(value, kind) => {
                other("as text", Lie::Content, text(&value.to_string()));
                other("as bytes", Lie::Content, bytes(&value.to_be_bytes()));
                match kind {
                    Kind::Instant | Kind::OptionalInstant => {
                        other("after the year 9999", Lie::Content, head(0, 253_402_300_800));
                        other("at the end of the numbers", Lie::Content, head(0, u64::MAX));
                    }
                    Kind::Profile => {
                        other("0", Lie::Profile, head(0, 0));
                        other("2", Lie::Profile, head(0, 2));
                        other("of the far future", Lie::Profile, head(0, u64::MAX));
                    }
                    Kind::Range(least, most) => {
                        if *least > 0 {
                            other("too small", Lie::Content, head(0, least - 1));
                        }
                        if *most < u64::MAX {
                            other("too large", Lie::Content, head(0, most + 1));
                            other("far too large", Lie::Content, head(0, most + 65_536));
                        }
                    }
                    Kind::Number | Kind::Fixed | Kind::Nonce | Kind::Name(_) => {}
                }
            }
            Tree::List(items) => {
                let encoded: Vec<Vec<u8>> = items.iter().map(Tree::encode).collect();
                other(
                    "with null behind",
                    Lie::Content,
                    list(&[encoded.clone(), [[0xf6].to_vec()].to_vec()].concat()),
                );
                other("in a list", Lie::Content, list(core::slice::from_ref(&good)));
                let short = [head(4, encoded.len() as u64), encoded[1..].concat()].concat();
                other("one item short of its count", Lie::Encoding, short);
                other("as a map", Lie::Content, map(&[(0, [0xf6].to_vec())]));
            }
            Tree::Map(pairs) => {
                let values: Vec<Vec<u8>> = pairs.iter().map(|(_, _, value)| value.encode()).collect();
                other("as a list of its values", Lie::Content, list(&values));
                other("in a list", Lie::Content, list(core::slice::from_ref(&good)));
            }
            Tree::Text(..) | Tree::Null(_) | Tree::Raw(_) => {}
        }
        lies
    }
}

/// What may be wrong with the pairs of a map.
fn lies_of_pairs(pairs: &[(i64, bool, Tree)]) -> Vec<(String, Lie, Vec<u8>)> {
    let encoded: Vec<(Vec<u8>, Vec<u8>)> =
        pairs.iter().map(|(key, _, value)| (int(*key), value.encode())).collect();
    let write = |pairs: &[(Vec<u8>, Vec<u8>)]| {
        let body: Vec<u8> = pairs.iter().flat_map(|(key, value)| [&key[..], value].concat()).collect();
        [head(5, pairs.len() as u64), body].concat()
    };
    let mut lies = Vec::new();
    for (place, (key, optional, _)) in pairs.iter().enumerate() {
        let (own_key, own_value) = encoded[place].clone();
        let mut lie = |what: &str, lie, pairs: &[(Vec<u8>, Vec<u8>)]| {
            lies.push((format!("{key} {what}"), lie, write(pairs)));
        };
        let mut changed = encoded.clone();
        changed.remove(place);
        if !optional {
            lie("is missing", Lie::Content, &changed);
        }
        // Under other keys that are in order at the end: text sorts behind every number.
        for (what, other) in
            [("under its name as text", text(&key.to_string())), ("under its name as bytes", bytes(&own_key))]
        {
            let mut moved = [&changed[..], &[(other, own_value.clone())]].concat();
            moved.sort();
            lie(what, Lie::Content, &moved);
        }
        changed = encoded.clone();
        changed.insert(place, encoded[place].clone());
        lie("twice", Lie::Encoding, &changed);
        changed[place].1 = [0xf6].to_vec();
        lie("twice, null first", Lie::Encoding, &changed);
        changed = encoded.clone();
        if place > 0 {
            changed.swap(place, place - 1);
            lie("before its neighbor", Lie::Encoding, &changed);
            changed = encoded.clone();
        }
        let major = own_key[0] >> 5;
        changed[place].0 =
            wide_head(major, if *key < 0 { key.unsigned_abs() - 1 } else { key.unsigned_abs() }).unwrap();
        lie("under a longer key", Lie::Encoding, &changed);
    }
    for (what, key) in
        [("an unknown pair", 23), ("an unknown negative pair", -2), ("an unknown pair in front", 0)]
    {
        let mut changed = [&encoded[..], &[(int(key), [0x01].to_vec())]].concat();
        changed.sort();
        lies.push((what.to_string(), Lie::Content, write(&changed)));
    }
    let good = write(&encoded);
    let count = good[0];
    let counted = |count: u8| [&[count], &good[1..]].concat();
    lies.push(("one pair more by its count".to_string(), Lie::Encoding, counted(count + 1)));
    lies.push(("one pair fewer by its count".to_string(), Lie::Encoding, counted(count - 1)));
    lies
}
