//! The section `authority.pkcs11`: the token that holds the signing key of a plugged-in authority.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_runtime::Reader;

use super::AuthoritySource;

/// Least and most time that a token may be given for a signature.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Most sessions, each with a thread.
const SESSIONS_MAX: u64 = 64;

/// The settings of the section but the module, which turns it on.
const OTHERS: [&str; 7] = [
    "authority.pkcs11.token_label",
    "authority.pkcs11.token_serial",
    "authority.pkcs11.key_label",
    "authority.pkcs11.key_id",
    "authority.pkcs11.pin_file",
    "authority.pkcs11.sessions",
    "authority.pkcs11.timeout",
];

/// A token, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The module, a shared library.
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenName,
    /// What the key is called there.
    pub key_label: Option<String>,
    /// Its `CKA_ID`.
    pub key_id: Option<Vec<u8>>,
    /// The file with the user's PIN; read when the token asks for it.
    pub pin_file: PathBuf,
    /// How many signatures are asked of it at once.
    pub sessions: usize,
    /// How long one may take.
    pub timeout: Duration,
}

/// What a token is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenName {
    /// Its label.
    Label(String),
    /// Its serial number.
    Serial(String),
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label `{label}`"),
            Self::Serial(serial) => write!(f, "serial number `{serial}`"),
        }
    }
}

/// Reads the section; the inner `None` says that the key is in a file.
pub(super) fn pkcs11(
    reader: &mut Reader,
    source: &AuthoritySource,
    secret: Option<&str>,
) -> Option<Option<Pkcs11Config>> {
    let are_set = OTHERS.map(|key| reader.is_set(key));
    let module: Option<PathBuf> = reader.optional("authority.pkcs11.module");
    let label: Option<String> = reader.optional("authority.pkcs11.token_label");
    let serial: Option<String> = reader.optional("authority.pkcs11.token_serial");
    let key_label: Option<String> = reader.optional("authority.pkcs11.key_label");
    let key_id = key_id(reader);
    let pin_file: Option<PathBuf> = reader.optional("authority.pkcs11.pin_file");
    let sessions: Option<u64> = reader.or("authority.pkcs11.sessions", "4");
    let timeout: Option<Duration> = reader.or("authority.pkcs11.timeout", "5s");
    if sessions.is_some_and(|sessions| !(1..=SESSIONS_MAX).contains(&sessions)) {
        reader.refuse("authority.pkcs11.sessions", format!("must be from 1 to {SESSIONS_MAX}"));
    }
    if timeout.is_some_and(|timeout| !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout)) {
        reader.refuse("authority.pkcs11.timeout", "must be from 100ms to 1m");
    }
    let Some(module) = module else {
        for (key, _) in OTHERS.into_iter().zip(are_set).filter(|(_, is_set)| *is_set) {
            reader.refuse(key, "needs `authority.pkcs11.module`");
        }
        return Some(None);
    };
    check_surroundings(reader, &module, source, secret);
    let token = token(reader, label, serial);
    check_pin_file(reader, pin_file.as_deref());
    let sessions = usize::try_from(sessions?).ok()?;
    Some(Some(Pkcs11Config {
        module,
        token: token?,
        key_label,
        key_id: key_id?,
        pin_file: pin_file?,
        sessions,
        timeout: timeout?,
    }))
}

/// A token is named in one way.
fn token(reader: &mut Reader, label: Option<String>, serial: Option<String>) -> Option<TokenName> {
    match (label, serial) {
        (Some(label), None) => Some(TokenName::Label(label)),
        (None, Some(serial)) => Some(TokenName::Serial(serial)),
        (Some(_), Some(_)) => {
            reader.refuse("authority.pkcs11.token_serial", "does not go with `authority.pkcs11.token_label`");
            None
        }
        (None, None) => {
            let message = "needs `authority.pkcs11.token_label` or `authority.pkcs11.token_serial`";
            reader.refuse("authority.pkcs11.module", message);
            None
        }
    }
}

fn check_pin_file(reader: &mut Reader, path: Option<&Path>) {
    match path.map(check_pin_mode) {
        None => reader.refuse("authority.pkcs11.module", "needs `authority.pkcs11.pin_file`"),
        Some(Err(message)) => reader.refuse("authority.pkcs11.pin_file", message),
        Some(Ok(())) => {}
    }
}

/// The inner `None` says that it does not matter.
fn key_id(reader: &mut Reader) -> Option<Option<Vec<u8>>> {
    let Some(text): Option<String> = reader.optional("authority.pkcs11.key_id") else { return Some(None) };
    let id = unhex(&text);
    if id.is_none() {
        reader.refuse("authority.pkcs11.key_id", "must be pairs of hexadecimal digits, such as `0a1b`");
    }
    id.map(Some)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn check_surroundings(reader: &mut Reader, module: &Path, source: &AuthoritySource, secret: Option<&str>) {
    let key = "authority.pkcs11.module";
    if !cfg!(feature = "pkcs11") {
        reader.refuse(key, "this program was built without the feature `pkcs11`");
    }
    if !module.is_file() {
        reader.refuse(key, format!("`{}` is not a file", module.display()));
    }
    if !matches!(source, AuthoritySource::PluggedIn { .. }) {
        reader.refuse(key, "needs `authority.plugged_in_dir`, where the certificates of its key stand");
    }
    if secret.is_some() {
        reader.refuse(key, "does not go with `authority.secret`: each replica keeps its own `authority.state_dir`");
    }
}

/// Whether nobody but owner and group may read the file with the PIN at `path`.
///
/// # Errors
/// What is wrong, for the operator.
pub(crate) fn check_pin_mode(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot look at `{}`: {error}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("`{}` may be read or written by everybody (mode {mode:o}): make it 600", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::unhex;

    #[test]
    fn a_key_id_is_pairs_of_digits() {
        assert_eq!(unhex("0aFF"), Some(vec![0x0a, 0xff]));
        for text in ["", "a", "0g", "0x0a", "0a 1b", "\u{0664}\u{0664}"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
