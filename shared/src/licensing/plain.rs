//! Texts that are what they look like.
//!
//! **Problem.** A name with a zero-width space beside the same name without it, one that turns the reading direction of the
//! line it is shown in, or one accented letter written in two ways: two things look like one, or one like another.
//! **Method.** Unicode's general categories and its list of characters that are ignored in display say what is not seen;
//! its form NFC gives every letter one spelling. **Deliberately absent:** letters of different scripts that look alike.

use alloc::format;
use alloc::string::String;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A text with one spelling for every letter (NFC), plain spaces, and no white space around it.
#[must_use]
pub fn plain(text: &str) -> String {
    // ASCII has one spelling and one space; the tables of Unicode cost ten times the copy.
    if text.is_ascii() {
        return text.trim().into();
    }
    in_unicode(text)
}

fn in_unicode(text: &str) -> String {
    let is_space = |c: char| c.general_category() == GeneralCategory::SpaceSeparator;
    let spaced = text.trim().nfc().map(|c| if is_space(c) { ' ' } else { c });
    spaced.collect()
}

/// Names the first character of a text that cannot be seen or turns the direction of what follows, as `U+200B`.
#[must_use]
pub fn hidden_in(text: &str) -> Option<String> {
    text.chars().find(|c| is_hidden(*c)).map(|c| format!("U+{:04X}, a {}", u32::from(c), kind(c)))
}

/// Whether a character cannot be seen: control, format, line and paragraph separators, and what is ignored in display.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    // Of ASCII the control characters alone; the tables of Unicode need not be asked.
    c.is_control() || (!c.is_ascii() && (is_format(c) || is_line_break(c) || is_ignored(c)))
}

fn kind(c: char) -> &'static str {
    if c.is_control() {
        "control character"
    } else if is_line_break(c) {
        "line or paragraph separator"
    } else if is_format(c) {
        "format character that is not seen"
    } else {
        "character that is not seen"
    }
}

fn is_format(c: char) -> bool {
    c.general_category() == GeneralCategory::Format
}

fn is_line_break(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator)
}

/// The letters and marks among the characters with the property `Default_Ignorable_Code_Point` of Unicode
/// (DerivedCoreProperties.txt of the Unicode Character Database): they are no format characters, and yet not seen.
const fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{034f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2065}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licensing::{Name, OrderNumber};

    #[test]
    fn what_is_not_seen_is_refused_and_named() {
        for (hidden, point) in [
            ('\n', "U+000A"),
            ('\u{7f}', "U+007F"),
            ('\u{85}', "U+0085"),
            ('\u{ad}', "U+00AD"),
            ('\u{34f}', "U+034F"),
            ('\u{61c}', "U+061C"),
            ('\u{180e}', "U+180E"),
            ('\u{200b}', "U+200B"),
            ('\u{200d}', "U+200D"),
            ('\u{200f}', "U+200F"),
            ('\u{2028}', "U+2028"),
            ('\u{2029}', "U+2029"),
            ('\u{202e}', "U+202E"),
            ('\u{2060}', "U+2060"),
            ('\u{2066}', "U+2066"),
            ('\u{3164}', "U+3164"),
            ('\u{fe0f}', "U+FE0F"),
            ('\u{feff}', "U+FEFF"),
            ('\u{e0041}', "U+E0041"),
        ] {
            let text = format!("No{hidden}rth");
            let refusal = Name::parse(&text).unwrap_err();
            assert_eq!(refusal.code.as_str(), "NAME_INVALID");
            assert!(refusal.message.contains(point), "{}", refusal.message);
            assert!(OrderNumber::parse(&text).unwrap_err().message.contains(point));
            // A log that was written before the rule holds such names, unless they were refused then already.
            let stored = serde_json::from_str::<Name>(&serde_json::to_string(&text).unwrap());
            assert_eq!(stored.is_ok(), !hidden.is_control(), "{point}");
        }
        assert!(Name::parse("\u{200b}").is_err(), "a name that is nothing but unseen");
    }

    #[test]
    fn ascii_is_by_itself_what_unicode_makes_of_it() {
        for c in (0..=0x7f_u8).map(char::from) {
            let text = format!(" a{c}b{c}");
            assert_eq!(plain(&text), in_unicode(&text));
            assert!(!is_format(c) && !is_line_break(c) && !is_ignored(c));
        }
    }

    #[test]
    fn the_same_letters_are_the_same_name_however_they_were_typed() {
        let [composed, apart] = ["Caf\u{e9} Z\u{fc}rich", "Cafe\u{301}\u{a0}ZU\u{308}RICH"]
            .map(|text| Name::parse(text).unwrap());
        assert_eq!(composed.folded(), apart.folded());
        assert_eq!(apart.as_str(), "Caf\u{e9} Z\u{dc}RICH", "kept in one spelling");
        let old: Name = serde_json::from_str("\"Cafe\u{301} Zu\u{308}rich\"").unwrap();
        assert_eq!(
            old.as_str(),
            "Cafe\u{301} Zu\u{308}rich",
            "what an older log holds is shown as it was typed"
        );
        assert_eq!(old.folded(), composed.folded(), "and compared like all others");
        // Korean, Arabic, Hindi, Japanese and signs are names like any other.
        for name in [
            "\u{d55c}\u{ad6d}",
            "\u{645}\u{633}\u{62a}\u{648}\u{62f}\u{639}",
            "\u{917}\u{94b}\u{926}\u{93e}\u{92e}",
            "\u{6771}\u{4eac}",
            "A & B (\u{2116} 7)",
            "\u{1f3e0}",
        ] {
            assert_eq!(Name::parse(name).unwrap().as_str(), name);
        }
    }
}
