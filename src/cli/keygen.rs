//! `haagent keygen [FILE]`: a new heartbeat key.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::secret::HeartbeatKey;

/// The owner writes, its group (the agent's) reads.
const MODE: u32 = 0o640;

/// Writes a new key, 64 hex digits and a newline, to `file` with mode 0640, or to
/// `out`. A file that is there stays as it is.
///
/// 0, or 1 and the reason on `err`.
pub fn keygen(file: Option<&Path>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut bytes = Zeroizing::new([0; HeartbeatKey::LENGTH]);
    if let Err(error) = getrandom::fill(bytes.as_mut()) {
        let _ = writeln!(err, "haagent keygen: the system gives no random bytes: {error}");
        return 1;
    }
    let key = HeartbeatKey::new(*bytes).to_hex();
    let Some(path) = file else {
        return u8::from(writeln!(out, "{}", key.expose()).and_then(|()| out.flush()).is_err());
    };
    let shown = path.display();
    match write_new(path, key.expose()) {
        Ok(()) => {
            let _ = writeln!(
                err,
                "{shown}: a new key; copy it to the other nodes; an agent that is not root reads it by its group: chgrp haagent {shown}"
            );
            0
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let _ = writeln!(
                err,
                "{shown}: it is there already and is left as it is\n  mend: take another name, or move it away first"
            );
            1
        }
        Err(error) => {
            let _ = writeln!(err, "{shown}: the key cannot be written: {error}");
            1
        }
    }
}

/// Creates `path` with the line, or leaves nothing behind.
fn write_new(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    let written = file
        .write_all(line.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        // The mode at creation is less what the umask takes away.
        .and_then(|()| file.set_permissions(Permissions::from_mode(MODE)))
        .and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // Half a key must not be taken for one; that it cannot be removed changes nothing about the error.
        let _ = fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn run(file: Option<&Path>) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = keygen(file, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_key_is_a_line_of_64_digits_and_each_is_another() {
        let (code, first, err) = run(None);
        assert_eq!((code, err.as_str()), (0, ""));
        let digits = first.strip_suffix('\n').unwrap();
        assert!(HeartbeatKey::from_hex(digits).is_some(), "{digits}");
        assert_ne!(first, run(None).1);
    }

    #[test]
    fn a_file_gets_mode_0640_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heartbeat.key");
        let (code, out, err) = run(Some(&path));
        assert_eq!((code, out.as_str()), (0, ""));
        let key = fs::read_to_string(&path).unwrap();
        assert!(!err.contains(key.trim()));
        assert_eq!((key.len(), fs::metadata(&path).unwrap().mode() & 0o7777), (65, 0o640));

        let (code, _, err) = run(Some(&path));
        assert_eq!(code, 1);
        assert!(err.contains("is there already"), "{err}");
        assert_eq!(fs::read_to_string(&path).unwrap(), key);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (code, _, err) = run(Some(&folder.path().join("no/heartbeat.key")));
        assert_eq!(code, 1);
        assert!(err.contains("cannot be written"), "{err}");
    }
}
