//! Keys: 16 bytes as 32 hexadecimal digits, in the file or in a file of their own that others cannot read.

use std::{
    fs::File,
    io::Read as _,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use super::error::{ConfigError, Source};
use crate::wire::authentication::Key;

/// RFC 5944 §5.1: the default algorithm's keys have 128 bits.
const KEY_LENGTH: usize = 16;
/// Permission bits for others: a secret file has none of them.
const OTHERS: u32 = 0o007;

/// The text of a key. Not shown, not compared, wiped when dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct SecretText(Zeroizing<String>);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// The key of a section that begins at `section`: exactly one of `key` and `key-file`.
pub(super) fn key(
    source: &Source<'_>,
    section: &Range<usize>,
    inline: Option<Spanned<SecretText>>,
    file: Option<Spanned<PathBuf>>,
) -> Result<Key, ConfigError> {
    match (inline, file) {
        (None, None) => Err(source.error(section, "no key: add key-file = \"PATH\" or key = \"hex:…\"")),
        (Some(_), Some(file)) => Err(source.error(&file.span(), "both key and key-file are given: keep one of them")),
        (Some(inline), None) => {
            if source.mode & OTHERS != 0 {
                let message = format!(
                    "this file holds a key and others may read it (mode {:04o}): chmod o= {}, or move the key to a key-file",
                    source.mode & 0o7777,
                    source.file.display(),
                );
                return Err(source.error(&inline.span(), message));
            }
            parse(&inline.get_ref().0).map_err(|error| source.error(&inline.span(), format!("key {error}")))
        }
        (None, Some(file)) => {
            let path = source.file.parent().unwrap_or(Path::new("")).join(file.get_ref());
            read(&path).map_err(|error| source.error(&file.span(), format!("key-file {}: {error}", path.display())))
        }
    }
}

fn read(path: &Path) -> Result<Key, String> {
    const LONGEST: u64 = 1024;
    let unreadable = |error| format!("cannot be read ({error}): create it or correct the path");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a regular file: name a file that holds the key".to_owned());
    }
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(format!("others may read it (mode {:04o}): chmod o= {}", mode & 0o7777, path.display()));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    parse(text.trim())
}

fn parse(text: &str) -> Result<Key, String> {
    let digits = text.strip_prefix("hex:").unwrap_or(text);
    if let Some(position) = digits.bytes().position(|digit| !digit.is_ascii_hexdigit()) {
        return Err(format!(
            "is not hexadecimal (character {} after hex:): write hex: and {} digits",
            position + 1,
            2 * KEY_LENGTH,
        ));
    }
    if digits.len() != 2 * KEY_LENGTH {
        return Err(format!(
            "has {} hexadecimal digits: write {} ({KEY_LENGTH} bytes), such as `openssl rand -hex {KEY_LENGTH}` prints",
            digits.len(),
            2 * KEY_LENGTH,
        ));
    }
    Key::from_hex(digits).map_err(|error| error.to_string())
}
