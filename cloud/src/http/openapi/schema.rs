//! JSON Schema (2020-12, as OpenAPI 3.1 has it) in a few words.

use serde_json::{Map, Value, json};

/// A text.
pub(in crate::http) fn text() -> Value {
    json!({ "type": "string" })
}

/// One of these texts.
pub(in crate::http) fn either(texts: &[&str]) -> Value {
    json!({ "type": "string", "enum": texts })
}

/// An instant: RFC 3339, in UTC.
pub(in crate::http) fn instant() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// A whole number from 0.
pub(in crate::http) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A whole number in these bounds.
pub(in crate::http) fn from_to(min: u64, max: u64) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

/// A duration in whole seconds.
pub(in crate::http) fn secs() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "seconds" })
}

/// True or false.
pub(in crate::http) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// An id with this prefix.
pub(in crate::http) fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}_[0-9a-f]{{32}}$") })
}

/// Exact: a reduced fraction of whole numbers, or a whole number.
pub(super) fn fraction() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(/[0-9]+)?$" })
}

/// Units by product type.
pub(super) fn units() -> Value {
    json!({ "type": "object", "additionalProperties": count(), "description": "units by product type" })
}

/// Any JSON.
pub(super) fn anything() -> Value {
    json!({})
}

/// A component by its name.
pub(in crate::http) fn to(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

/// This, or null.
pub(in crate::http) fn maybe(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A list of these.
pub(in crate::http) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// A list of so many of these.
pub(in crate::http) fn some(items: Value, min: u64, max: u64) -> Value {
    json!({ "type": "array", "items": items, "minItems": min, "maxItems": max })
}

/// With a description.
pub(in crate::http) fn said(mut schema: Value, description: &str) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert(String::from("description"), json!(description));
    }
    schema
}

/// An object with these fields; those whose names end with `?` may be absent. More fields may come with later versions.
pub(in crate::http) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in fields {
        let plain = name.trim_end_matches('?');
        if plain == name {
            required.push(name);
        }
        properties.insert(plain.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object to send that has at least one of these fields.
pub(in crate::http) fn any_of(mut body: Value, names: &[&str]) -> Value {
    let options: Vec<Value> = names.iter().map(|name| json!({ "required": [name] })).collect();
    if let Some(fields) = body.as_object_mut() {
        fields.insert(String::from("anyOf"), json!(options));
    }
    body
}

/// An object to send: nothing but these fields, and where a field may be absent it may be null as well.
pub(in crate::http) fn body<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let nullable =
        fields.map(|(name, schema)| (name, if name.ends_with('?') { maybe(schema) } else { schema }));
    let mut schema = object(nullable);
    if let Some(fields) = schema.as_object_mut() {
        fields.insert(String::from("additionalProperties"), json!(false));
    }
    schema
}
