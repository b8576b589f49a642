//! Finds secrets where none may be: every way of writing each one down, in everything programs said and showed.

use std::path::{Path, PathBuf};

/// A secret, and what it is.
#[derive(Clone, Debug)]
struct Secret {
    what: String,
    forms: Vec<Vec<u8>>,
}

/// Everything that must not be seen.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<Secret>);

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// A form shorter than this is found by chance.
const SHORTEST: usize = 8;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let number =
            chunk.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| char::from(DIGITS[number >> (18 - 6 * at) & 63]))
    });
    digits.collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: char| match c {
        'A'..='Z' => c as u32 - 65,
        'a'..='z' => c as u32 - 71,
        '0'..='9' => c as u32 + 4,
        '+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.chars().filter(|c| !c.is_whitespace() && *c != '=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let number = chunk.iter().fold(0_u32, |sum, digit| sum << 6 | digit) << (6 * (4 - chunk.len()));
        (1..chunk.len()).map(move |at| u8::try_from(number >> (24 - 8 * at) & 255).expect("a byte"))
    });
    bytes.collect()
}

impl Secrets {
    /// Some bytes: raw, in hexadecimal of both cases, in base64 at each of its three alignments, and as Rust prints them.
    pub fn bytes(&mut self, what: &str, bytes: &[u8]) {
        let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let mut forms = vec![bytes.to_vec(), hex(bytes).into_bytes(), hex(bytes).to_uppercase().into_bytes()];
        forms.push(decimal.join(", ").into_bytes());
        for skipped in 0..3 {
            // What comes before decides the alignment; digits that mix with neighbours are left out.
            let inner = &bytes[skipped..];
            let text = base64(&inner[..inner.len() - inner.len() % 3]);
            forms.push(text.replace('+', "-").replace('/', "_").into_bytes());
            forms.push(text.into_bytes());
        }
        self.add(what, forms);
    }

    /// A text, and the same as bytes.
    pub fn text(&mut self, what: &str, text: &str) {
        self.bytes(what, text.as_bytes());
        let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        self.add(
            what,
            vec![
                bare.clone().into_bytes(),
                bare.to_lowercase().into_bytes(),
                text.to_lowercase().into_bytes(),
            ],
        );
    }

    fn add(&mut self, what: &str, forms: Vec<Vec<u8>>) {
        let forms = forms.into_iter().filter(|form| form.len() >= SHORTEST).collect();
        self.0.push(Secret { what: what.to_owned(), forms });
    }

    /// Every private key in the files of a directory, whole and only the number that makes it private. Returns the files.
    ///
    /// # Panics
    /// A key is of a kind this does not know.
    pub fn keys_below(&mut self, directory: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for file in files_below(directory) {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let Some((_, rest)) = text.split_once(PEM_BEGIN) else { continue };
            let (body, _) = rest.split_once(PEM_END).expect("the end of a key");
            let der = unbase64(body);
            let what = file.display().to_string();
            // PKCS #8: Ed25519 has 32 bytes at 16, P-256 at 36.
            let at = if der.windows(3).any(|oid| oid == [0x2b, 0x65, 0x70]) { 16 } else { 36 };
            self.bytes(&what, &der[at..at + 32]);
            for line in body.lines().filter(|line| line.len() >= 32) {
                self.add(&what, vec![line.as_bytes().to_vec()]);
            }
            found.push(file);
        }
        found
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is found in this, in words; nothing if it is clean.
    #[must_use]
    pub fn found_in(&self, place: &str, said: &[u8]) -> Vec<String> {
        let seen = |form: &Vec<u8>| said.windows(form.len()).any(|window| window == form.as_slice());
        self.0
            .iter()
            .filter(|secret| secret.forms.iter().any(seen))
            .map(|secret| format!("{} is in {place}", secret.what))
            .collect()
    }
}

/// Every regular file below a directory, sorted.
#[must_use]
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// What other users of the machine could see of every process whose command line or program names this directory, or one of ours.
#[must_use]
pub fn command_lines() -> Vec<(String, Vec<u8>)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|entry| {
        let pid =
            entry.file_name().into_string().ok().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((format!("the command line of process {pid}"), line))
    });
    lines.filter(|(_, line)| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let secret: Vec<u8> = (100..132).collect();
        let mut secrets = Secrets::default();
        secrets.bytes("it", &secret);
        for before in ["", "x", "xy"] {
            let whole = [before.as_bytes(), &secret, b"after"].concat();
            for said in [
                whole.clone(),
                hex(&whole).into_bytes(),
                hex(&whole).to_uppercase().into_bytes(),
                base64(&whole).into_bytes(),
                format!("{whole:?}").into_bytes(),
            ] {
                assert_eq!(secrets.found_in("this", &said), ["it is in this"], "{before} {said:?}");
            }
        }
        assert!(secrets.found_in("this", b"something else entirely").is_empty());
        assert_eq!(unbase64(&base64(&secret)), secret);
        assert_eq!(unbase64("TWE="), b"Ma");
    }
}
