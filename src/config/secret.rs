//! The API token and the heartbeat keys: where they are read from, and types
//! that cannot print them.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::file::{self, FileError};
use super::types::{Authentication, Config, SecretSource};

/// The bytes that a secret may have, blanks around it included. A token has 71, a key 65.
const LIMIT: u64 = 4096;
/// Where systemd puts the credentials of a unit (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret was not read. Never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable, or systemd's folder of credentials, is not there. That says
    /// nothing about the environment of the unit.
    #[error("{0} is not set here")]
    NotSet(SecretSource),
    /// The file cannot be read, or is no file that holds a secret.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Users of the host who are neither its owner nor in its group can use the file.
    #[error("{} is open to every user of this host (mode {mode:04o})", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(SecretSource),
    /// No token has such a letter, and no HTTP header may carry it.
    #[error("{place} holds a blank, a control character or a letter beyond ASCII (at byte {at})")]
    BadLetter {
        /// Where it was read from.
        place: SecretSource,
        /// From 1, after the blanks at the beginning.
        at: usize,
    },
    /// It was meant to be a key.
    #[error("{place} holds {found} characters that are no heartbeat key")]
    NoKey {
        /// Where it was read from.
        place: SecretSource,
        /// How many characters there are.
        found: usize,
    },
}

impl SecretError {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Self::NotSet(SecretSource::Credential(name)) => {
                format!("give the unit LoadCredential={name}:/PATH and start it through systemd")
            }
            Self::NotSet(_) => "set it in the environment of the agent".to_owned(),
            Self::Unreadable { path, .. } => {
                format!("put it there, on each node, readable for the agent's user: ls -l {}", path.display())
            }
            Self::TooOpen { path, .. } => format!("chmod o-rwx {}", path.display()),
            Self::Empty(_) => "put the secret into it".to_owned(),
            Self::BadLetter { .. } => "put the token into it and nothing else".to_owned(),
            Self::NoKey { .. } => "a key is 64 hex digits: haagent keygen FILE".to_owned(),
        }
    }
}

/// A text that cannot be printed. It is overwritten when dropped.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` in; it must not be kept elsewhere.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A key of the heartbeats' MAC. It cannot be printed and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct HeartbeatKey([u8; Self::LENGTH]);

impl HeartbeatKey {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// A key of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The key that 64 hex digits write; either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = Self([0; Self::LENGTH]);
        if text.len() != 2 * Self::LENGTH {
            return None;
        }
        for (byte, digits) in key.0.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(key)
    }

    /// The 64 hex digits of this key.
    #[must_use]
    pub fn to_hex(&self) -> Secret {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Secret(self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// The bytes, for the one place that computes with them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl Drop for HeartbeatKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for HeartbeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeartbeatKey(***)")
    }
}

/// All secrets of a configuration.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The API token.
    pub token: Secret,
    /// The heartbeat keys; none is `insecure = true`.
    pub keys: Option<HeartbeatKeys>,
}

/// The keys that are valid at present.
#[derive(Clone, Debug)]
pub struct HeartbeatKeys {
    /// Sent with, and accepted.
    pub key: HeartbeatKey,
    /// Accepted too.
    pub old_key: Option<HeartbeatKey>,
}

impl Secrets {
    /// Reads all secrets of `config` from where it says.
    ///
    /// # Errors
    /// Every secret that cannot be used, with the key of the configuration that names it.
    pub fn read(config: &Config) -> Result<Self, Vec<(&'static str, SecretError)>> {
        Self::read_with(config, &|name| std::env::var_os(name))
    }

    fn read_with(config: &Config, environment: &Environment<'_>) -> Result<Self, Vec<(&'static str, SecretError)>> {
        let mut errors = Vec::new();
        let token = kept("digitalocean.token", read_token(&config.digitalocean.token, environment), &mut errors);
        let keys = match &config.heartbeat.authentication {
            Authentication::Insecure => None,
            Authentication::Keyed { key, old_key } => {
                let key = kept("heartbeat.key", read_key(key, environment), &mut errors);
                let old_key = old_key
                    .as_ref()
                    .and_then(|source| kept("heartbeat.old_key", read_key(source, environment), &mut errors));
                key.map(|key| HeartbeatKeys { key, old_key })
            }
        };
        match token {
            Some(token) if errors.is_empty() => Ok(Self { token, keys }),
            _ => Err(errors),
        }
    }
}

fn kept<T>(
    setting: &'static str,
    result: Result<T, SecretError>,
    errors: &mut Vec<(&'static str, SecretError)>,
) -> Option<T> {
    result.map_err(|error| errors.push((setting, error))).ok()
}

type Environment<'e> = dyn Fn(&str) -> Option<OsString> + 'e;

/// A token: one word of visible ASCII.
fn read_token(source: &SecretSource, environment: &Environment<'_>) -> Result<Secret, SecretError> {
    let token = read_text(source, environment)?;
    match token.expose().bytes().position(|byte| !byte.is_ascii_graphic()) {
        Some(at) => Err(SecretError::BadLetter { place: source.clone(), at: at + 1 }),
        None => Ok(token),
    }
}

fn read_key(source: &SecretSource, environment: &Environment<'_>) -> Result<HeartbeatKey, SecretError> {
    let text = read_text(source, environment)?;
    HeartbeatKey::from_hex(text.expose())
        .ok_or_else(|| SecretError::NoKey { place: source.clone(), found: text.expose().chars().count() })
}

/// The text of a secret without the blanks and quotes around it, which editors
/// and `docker run -e` leave there. Not empty.
fn read_text(source: &SecretSource, environment: &Environment<'_>) -> Result<Secret, SecretError> {
    let bytes = match source {
        SecretSource::File(path) => read_private(path)?,
        SecretSource::Environment(name) => {
            let value = environment(name).ok_or_else(|| SecretError::NotSet(source.clone()))?;
            Zeroizing::new(value.into_encoded_bytes())
        }
        SecretSource::Credential(name) => {
            let folder = environment(CREDENTIALS_DIRECTORY).ok_or_else(|| SecretError::NotSet(source.clone()))?;
            read_private(&Path::new(&folder).join(name))?
        }
    };
    // What is not UTF-8 becomes a letter that neither a token nor a key may have.
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let inner = text.trim();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| inner.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(inner)
        .trim();
    if inner.is_empty() { Err(SecretError::Empty(source.clone())) } else { Ok(Secret::new(inner.to_owned())) }
}

/// A file that only its owner and group can use.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (bytes, metadata) = file::read(path, LIMIT)
        .map_err(|error: FileError| SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(SecretError::TooOpen { path: path.to_owned(), mode });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn private(folder: &tempfile::TempDir, text: impl AsRef<[u8]>) -> SecretSource {
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        SecretSource::File(path)
    }

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn blanks_and_quotes_around_a_token_are_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        for written in ["dop_v1_abc", "dop_v1_abc\n", "  dop_v1_abc \r\n", "\"dop_v1_abc\"\n", "'dop_v1_abc'"] {
            let token = read_token(&private(&folder, written), &nothing).unwrap();
            assert_eq!(token.expose(), "dop_v1_abc", "{written:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (written, says) in [
            (&b""[..], "is empty"),
            (b" \n\"\"\n", "is empty"),
            (b"geheim und mehr", "(at byte 7)"),
            (b"geheim\xff", "(at byte 7)"),
            (&[b'g'; 5000], "longer than 4096 bytes"),
        ] {
            let error = read_token(&private(&folder, written), &nothing).unwrap_err();
            let text = format!("{error} {error:?} {}", error.mend());
            assert!(text.contains(says) && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_the_chmod() {
        let folder = tempfile::tempdir().unwrap();
        let source = private(&folder, "dop_v1_abc");
        let SecretSource::File(path) = &source else { unreachable!() };
        for (mode, fine) in [(0o640, true), (0o400, true), (0o644, false), (0o642, false), (0o641, false)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            match read_token(&source, &nothing) {
                Ok(_) => assert!(fine, "{mode:o}"),
                Err(error) => {
                    assert!(!fine, "{mode:o}");
                    let shown = path.display();
                    assert_eq!(
                        error.to_string(),
                        format!("{shown} is open to every user of this host (mode {mode:04o})")
                    );
                    assert_eq!(error.mend(), format!("chmod o-rwx {shown}"));
                }
            }
        }
    }

    #[test]
    fn a_pipe_or_a_folder_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [&pipe, &folder.path().to_owned()] {
            let error = read_token(&SecretSource::File(path.clone()), &nothing).unwrap_err();
            assert!(error.to_string().ends_with("it is no regular file"), "{error}");
        }
    }

    #[test]
    fn environment_and_credentials_are_sources_too() {
        let folder = tempfile::tempdir().unwrap();
        private(&folder, "dop_v1_credential\n");
        let credentials = folder.path().as_os_str().to_owned();
        let environment = move |name: &str| match name {
            "DO_TOKEN" => Some(OsString::from("dop_v1_variable")),
            CREDENTIALS_DIRECTORY => Some(credentials.clone()),
            _ => None,
        };
        let variable = SecretSource::Environment("DO_TOKEN".to_owned());
        let credential = SecretSource::Credential("secret".to_owned());
        assert_eq!(read_token(&variable, &environment).unwrap().expose(), "dop_v1_variable");
        assert_eq!(read_token(&credential, &environment).unwrap().expose(), "dop_v1_credential");
        assert!(matches!(read_token(&variable, &nothing), Err(SecretError::NotSet(_))));
        assert!(matches!(read_token(&credential, &nothing), Err(SecretError::NotSet(_))));
    }

    #[test]
    fn a_key_is_64_hex_digits() {
        let folder = tempfile::tempdir().unwrap();
        let key = read_key(&private(&folder, format!("{HEX}\n")), &nothing).unwrap();
        assert_eq!(key.expose()[..3], [0x00, 0x11, 0x22]);
        assert_eq!(key.to_hex().expose(), HEX.to_lowercase());
        for written in ["abc", &HEX[1..], &format!("{HEX}0"), &HEX.replace('f', "g")] {
            assert!(matches!(read_key(&private(&folder, written), &nothing), Err(SecretError::NoKey { .. })));
        }
    }

    #[test]
    fn secrets_do_not_print_themselves() {
        let secrets = Secrets {
            token: Secret::new("dop_v1_abc".to_owned()),
            keys: HeartbeatKey::from_hex(HEX).map(|key| HeartbeatKeys { old_key: Some(key.clone()), key }),
        };
        let shown = format!("{secrets:?}");
        assert!(shown.contains("***") && !shown.contains("dop") && !shown.contains("17"), "{shown}");
    }
}
