//! Whether the parameters of a query are texts: what is encoded wrong would be read as another text, and not found.

/// The names of the parameters that are not percent-encoded UTF-8, as they stand in the query.
pub(super) fn garbled(query: &str) -> Vec<String> {
    let parts = query.split('&').filter(|part| !is_text(part));
    parts.map(|part| part.split('=').next().unwrap_or_default().to_owned()).collect()
}

fn is_text(part: &str) -> bool {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                (Some(_) | None, _) => return false,
            },
            plain => plain,
        });
    }
    String::from_utf8(decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_escapes_of_whole_characters_are_texts() {
        assert_eq!(garbled("a=%C3%A9&b=+x&c=%25&d&e=%EF%BF%BD&"), Vec::<String>::new());
        assert_eq!(garbled("a=1&b=%C3&c=%&d=%4&e=%zz&%ff=1"), ["b", "c", "d", "e", "%ff"]);
    }
}
