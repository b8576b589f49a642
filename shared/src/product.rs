//! Product types: what is licensed and counted.
//!
//! A product type is a small number, so that a token can name it in one or two bytes; the well-known ones have names.
//! Numbers are a registry: never reused, never renumbered. A number without a name prints as `product-N`, so an older
//! program can show what a newer one counts.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A product type, 1 to 65,535.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductType(u16);

const NAMES: [(u16, &str); 9] = [
    (1, "camera"),
    (2, "door"),
    (3, "environmental-sensor"),
    (4, "viewing-station"),
    (5, "alarm-console"),
    (6, "intercom"),
    (7, "alarm-sensor"),
    (8, "speaker"),
    (9, "gateway"),
];

impl ProductType {
    /// A camera.
    pub const CAMERA: ProductType = ProductType(1);
    /// A door of an access controller.
    pub const DOOR: ProductType = ProductType(2);
    /// An environmental sensor.
    pub const ENVIRONMENTAL_SENSOR: ProductType = ProductType(3);
    /// A viewing station.
    pub const VIEWING_STATION: ProductType = ProductType(4);
    /// An alarm console.
    pub const ALARM_CONSOLE: ProductType = ProductType(5);
    /// An intercom.
    pub const INTERCOM: ProductType = ProductType(6);
    /// An alarm sensor (door contact, motion, panic button).
    pub const ALARM_SENSOR: ProductType = ProductType(7);

    /// The product type with this registry number; 0 is no product.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<ProductType> {
        if number == 0 { None } else { Some(ProductType(number)) }
    }

    /// Its number in the registry, as a token carries it.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Why a text is not a product type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a product type: write a name such as `camera` or `door`, or `product-N` with N from 1 to 65535")]
pub struct ProductTypeError;

impl fmt::Display for ProductType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "product-{}", self.0),
        }
    }
}

impl fmt::Debug for ProductType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProductType {
    type Err = ProductTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((number, _)) = NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(ProductType(*number));
        }
        let digits = text.strip_prefix("product-").ok_or(ProductTypeError)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let number = digits.parse().ok().filter(|_| plain).ok_or(ProductTypeError)?;
        // A named product has one spelling.
        if NAMES.iter().any(|(named, _)| *named == number) {
            return Err(ProductTypeError);
        }
        ProductType::from_number(number).ok_or(ProductTypeError)
    }
}

impl Serialize for ProductType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProductType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for text in ["camera", "door", "product-10", "product-65535"] {
            assert_eq!(text.parse::<ProductType>().unwrap().to_string(), text);
        }
        for bad in ["", "Camera", "product-1", "product-0", "product-010", "product-65536", "product-+9"] {
            assert!(bad.parse::<ProductType>().is_err(), "{bad}");
        }
    }
}
