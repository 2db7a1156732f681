//! Keys, 16 bytes as 32 hexadecimal digits, and passwords, any text: in the file or in a file of their own that others
//! cannot read.

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

/// A secret and where in the file it is.
type Placed<T> = (T, Range<usize>);

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
    match secret(source, "key", inline, file, parse)? {
        Some((key, _)) => Ok(key),
        None => Err(source.error(section, "no key: add key-file = \"PATH\" or key = \"hex:…\"")),
    }
}

/// A key that is given as `name` or in the file `name-file`, and where; `None` if neither is there.
pub(super) fn named_key(
    source: &Source<'_>,
    name: &str,
    inline: Option<Spanned<SecretText>>,
    file: Option<Spanned<PathBuf>>,
) -> Result<Option<Placed<Key>>, ConfigError> {
    secret(source, name, inline, file, parse)
}

/// A text that is given as `name` or in the file `name-file`, and where; `None` if neither is there. Line ends and spaces
/// around the contents of a file do not belong to it.
pub(super) fn text(
    source: &Source<'_>,
    name: &str,
    inline: Option<Spanned<SecretText>>,
    file: Option<Spanned<PathBuf>>,
) -> Result<Option<Placed<Vec<u8>>>, ConfigError> {
    let bytes = |text: &str| match text {
        "" => Err("is empty: write at least one character".to_owned()),
        text => Ok(text.as_bytes().to_vec()),
    };
    secret(source, name, inline, file, bytes)
}

fn secret<T>(
    source: &Source<'_>,
    name: &str,
    inline: Option<Spanned<SecretText>>,
    file: Option<Spanned<PathBuf>>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Placed<T>>, ConfigError> {
    match (inline, file) {
        (None, None) => Ok(None),
        (Some(_), Some(file)) => {
            let message = format!("both {name} and {name}-file are given: keep one of them");
            Err(source.error(&file.span(), message))
        }
        (Some(inline), None) => {
            let at = inline.span();
            if source.mode & OTHERS != 0 {
                let message = format!(
                    "this file holds a {name} and others may read it (mode {:04o}): chmod o= {}, or move the {name} to a \
                     {name}-file",
                    source.mode & 0o7777,
                    source.file.display(),
                );
                return Err(source.error(&at, message));
            }
            let secret = parse(&inline.get_ref().0).map_err(|error| source.error(&at, format!("{name} {error}")))?;
            Ok(Some((secret, at)))
        }
        (None, Some(file)) => {
            let at = file.span();
            let path = source.file.parent().unwrap_or(Path::new("")).join(file.get_ref());
            let secret = read(&path, name).and_then(|text| parse(text.trim()));
            let secret =
                secret.map_err(|error| source.error(&at, format!("{name}-file {}: {error}", path.display())))?;
            Ok(Some((secret, at)))
        }
    }
}

fn read(path: &Path, name: &str) -> Result<Zeroizing<String>, String> {
    const LONGEST: u64 = 1024;
    let unreadable = |error| format!("cannot be read ({error}): create it or correct the path");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("is not a regular file: name a file that holds the {name}"));
    }
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(format!("others may read it (mode {:04o}): chmod o= {}", mode & 0o7777, path.display()));
    }
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
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
