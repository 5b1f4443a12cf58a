//! The one place where configuration, secrets and certificates are read from disk: a regular
//! file, at most so many bytes, never waiting.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A folder, a pipe or the like.
    #[error("it is no regular file")]
    NotRegular,
    /// It would need more memory than it may.
    #[error("it is longer than {limit} bytes")]
    TooLong { limit: u64 },
}

/// The whole of a file of at most `limit` bytes, and what the system says about
/// it: of the file that was read, not of one that has taken its name since.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, Metadata), FileError> {
    // A named pipe would be waited for at open without O_NONBLOCK, and is refused below.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    // Room for all of it at once: a vector that grows would leave copies of a secret behind.
    let room = metadata.len().min(limit) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or_default()));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(FileError::TooLong { limit }) } else { Ok((bytes, metadata)) }
}
