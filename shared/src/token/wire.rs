//! Serde for maps with integer keys and for byte strings, which derive cannot write.
//!
//! [`int_map!`] turns one table of `key => field: Type` into a struct, its encoder and its decoder, so a number is
//! written down once in the code; a test compares the tables with the CDDL.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A byte string of exactly `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> de::Visitor<'_> for Visitor<N> {
            type Value = Fixed<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a byte string of {N} bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Fixed<N>, E> {
                bytes.try_into().map(Fixed).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// A byte string of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// The number in front of a table's row, for the test that compares code and CDDL.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: i64,
    pub(super) optional: bool,
}

/// A struct that is a CBOR map with integer keys. Rows stand in the order of the encoding (RFC 8949 §4.2.1): `req`
/// ones are always there, `opt` ones are of type `Option` and left out when `None`.
macro_rules! int_map {
    ($(#[$meta:meta])* $name:ident { $($kind:ident $key:literal => $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        struct $name {
            $($field: $type,)+
        }

        #[cfg(test)]
        impl $name {
            const ROWS: &'static [$crate::token::wire::Row] =
                &[$($crate::token::wire::Row { key: $key, optional: int_map!(@optional $kind) },)+];
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let pairs = 0 $(+ int_map!(@count $kind self.$field))+;
                let mut map = serializer.serialize_map(Some(pairs))?;
                $(int_map!(@write $kind map $key self.$field);)+
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("a map with the integer keys of its format")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $(let mut $field: Option<int_map!(@slot $kind $type)> = None;)+
                        while let Some(key) = map.next_key::<i64>()? {
                            match key {
                                $($key => $field = Some(map.next_value()?),)+
                                _ => return Err(serde::de::Error::custom("unknown key")),
                            }
                        }
                        Ok($name { $($field: int_map!(@take $kind $field),)+ })
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
    };
    (@optional req) => { false };
    (@optional opt) => { true };
    (@count req $value:expr) => { 1 };
    (@count opt $value:expr) => { usize::from($value.is_some()) };
    (@write req $map:ident $key:literal $value:expr) => { $map.serialize_entry(&($key as i64), &$value)? };
    (@write opt $map:ident $key:literal $value:expr) => {
        if let Some(value) = &$value {
            $map.serialize_entry(&($key as i64), value)?;
        }
    };
    (@slot req $type:ty) => { $type };
    (@slot opt $type:ty) => { <$type as IntoIterator>::Item };
    (@take req $field:ident) => { $field.ok_or_else(|| serde::de::Error::missing_field(stringify!($field)))? };
    (@take opt $field:ident) => { $field };
}
pub(super) use int_map;
