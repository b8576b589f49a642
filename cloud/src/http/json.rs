//! JSON bodies, with what was said twice.
//!
//! **Problem.** Of a field given twice most readers keep the last, some the first; what a proxy checked is then not what
//! is done. **Method.** The text is read into a value as usual, and every field that was there already is noted by its
//! place. **Deliberately absent:** limits of depth and length; the parser and the layer before it have them.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Fields given twice that are noted; a body of nothing else would make a long answer.
const NOTED: usize = 20;

/// A JSON text as a value, and the places of the fields that were given more than once, such as `lines[1].quantity`.
///
/// # Errors
/// What is wrong with it as JSON.
pub(super) fn read(bytes: &[u8]) -> serde_json::Result<(Value, Vec<String>)> {
    let mut twice = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Reader { at: String::new(), twice: &mut twice }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, twice))
}

struct Reader<'a> {
    /// Where the value stands.
    at: String,
    twice: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Reader { at, twice } = self;
        let mut values = Vec::new();
        loop {
            let at = format!("{at}[{}]", values.len());
            match access.next_element_seed(Reader { at, twice: &mut *twice })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Reader { at, twice } = self;
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            if map.contains_key(&name) && twice.len() < NOTED && !twice.contains(&at) {
                twice.push(at.clone());
            }
            map.insert(name, access.next_value_seed(Reader { at, twice: &mut *twice })?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_any_reader_reads_and_what_was_said_twice_is_noted() {
        for text in
            ["null", "[1,-2,1.5,1e30,18446744073709551615,\"a\\u0062\",true,{}]", "{\"a\":[{\"b\":null}]}"]
        {
            let (value, twice) = read(text.as_bytes()).unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(twice, Vec::<String>::new(), "{text}");
        }
        let text = r#"{"a":1,"b":[{"c":1},{"c":1,"d":2,"c":2,"c":3}],"a":{"x":1,"x":1},"\u0061":2}"#;
        assert_eq!(read(text.as_bytes()).unwrap().1, ["b[1].c", "a", "a.x"]);
        for bad in ["", "{", "{} {}", "{\"a\" 1}", "\u{0}", &"[".repeat(100_000)] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:.9}");
        }
    }
}
