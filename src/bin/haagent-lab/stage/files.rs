//! The files of a stage.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::StageError;

/// A temporary folder; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes one for this process, called `name`.
    pub(crate) fn new(name: &str) -> Result<Self, StageError> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        make_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder that nobody else can read.
pub(super) fn make_folder(path: &Path) -> Result<(), StageError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|source| StageError::File { what: "make the folder", path: path.to_owned(), source })
}

/// Writes a file that nobody else can read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), StageError> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .map_err(|source| StageError::File { what: "write", path: path.to_owned(), source })
}
