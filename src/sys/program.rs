//! Whether a program of the operator may be run: it is there, it can be executed,
//! and nobody but root and the agent's user can put another one in its place.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};

/// The links that are followed on the way to a program, as the kernel does (path_resolution(7)).
const LINKS: u32 = 40;

/// Permission bits with which others than the owner may write (inode(7)).
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The permission bit of a folder in which nobody may rename or remove what is another's, /tmp for one (inode(7)).
const STICKY: u32 = 0o1000;

/// Why a program is not run. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be looked at: it is missing, or a folder above it is closed.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A folder, a socket or the like.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// The agent's user may not execute it.
    #[error("{} is not executable for the user {user}", path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Who asked.
        user: u32,
    },
    /// Anybody of a group, or anybody at all, could replace it.
    #[error("{} can be written to by others (mode {mode:04o}): whoever can do that decides what the agent runs", path.display())]
    Open {
        /// The program, or a folder above it.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, who could replace it.
    #[error("{} belongs to the user {owner}, who decides what the agent (user {user}) runs", path.display())]
    Owner {
        /// The program, or a folder above it.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asked.
        user: u32,
    },
    /// A link that leads to itself, or to too many others.
    #[error("{}: more than {LINKS} links on the way", .0.display())]
    Links(PathBuf),
}

impl ProgramError {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!("put the program there: ls -ld {}", path.display()),
            Self::NoFile(_) | Self::Links(_) => "name the program itself".to_owned(),
            Self::NotExecutable { path, .. } => format!("chmod 755 {}", path.display()),
            Self::Open { path, mode } if mode & STICKY != 0 => {
                format!("{} is everybody's: move the program to /usr/local/lib/haagent, say", path.display())
            }
            Self::Open { path, .. } => format!("chmod go-w {}", path.display()),
            Self::Owner { path, .. } => format!("chown root {}", path.display()),
        }
    }
}

/// Looks at `program`, at every folder above it, and at every link on the way.
///
/// # Errors
/// It cannot be run, or others than root and this process's user can replace it.
pub fn vet(program: &Path) -> Result<(), ProgramError> {
    let user = Uid::effective();
    let mut at = PathBuf::from("/");
    let mut shared = owned(&at, &look(&at)?, user)?;
    let mut names = names(program);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            at.pop();
            shared = owned(&at, &look(&at)?, user)?;
            continue;
        }
        let next = at.join(name);
        let found = look(&next)?;
        // In a sticky folder nobody replaces another's folder or link, but everybody adds what is missing: a
        // link of his own, or a hard link to some program of root's.
        if let Some(mode) = shared
            && (found.is_file() || !is_ours(&found, user))
        {
            return Err(ProgramError::Open { path: at, mode });
        }
        if found.is_symlink() {
            // Who may replace the link itself is told by its folder; a link has no mode of its own.
            links += 1;
            if links > LINKS {
                return Err(ProgramError::Links(program.to_owned()));
            }
            let target = fs::read_link(&next).map_err(|error| unreadable(&next, &error))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                shared = owned(&at, &look(&at)?, user)?;
            }
            for name in self::names(&target).into_iter().rev() {
                names.push_front(name);
            }
            continue;
        }
        shared = owned(&next, &found, user)?;
        at = next;
    }
    if !look(&at)?.is_file() {
        return Err(ProgramError::NoFile(at));
    }
    access(&at, AccessFlags::X_OK).map_err(|_| ProgramError::NotExecutable { path: at, user: user.as_raw() })
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}

fn look(path: &Path) -> Result<Metadata, ProgramError> {
    fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> ProgramError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    ProgramError::Unreadable { path: path.to_owned(), reason }
}

fn is_ours(found: &Metadata, user: Uid) -> bool {
    found.uid() == 0 || found.uid() == user.as_raw()
}

/// Refuses what others may change; the mode of a folder that they may only add to.
fn owned(path: &Path, found: &Metadata, user: Uid) -> Result<Option<u32>, ProgramError> {
    let mode = found.mode() & 0o7777;
    if !is_ours(found, user) {
        return Err(ProgramError::Owner { path: path.to_owned(), owner: found.uid(), user: user.as_raw() });
    }
    match (mode & WRITABLE_BY_OTHERS != 0, found.is_dir() && mode & STICKY != 0) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(mode)),
        (true, false) => Err(ProgramError::Open { path: path.to_owned(), mode }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder in which programs may be run: this user's own, in one that is sticky at the most.
    pub(crate) fn safe_folder() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("hooks-").tempdir().unwrap()
    }

    /// An executable script.
    pub(crate) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        // Written under another name first: a script that is open for writing cannot be run (ETXTBSY).
        fs::write(path.with_extension("new"), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        mode(&path, 0o755);
        path
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_that_only_its_owner_may_replace_is_run() {
        let folder = safe_folder();
        assert_eq!(vet(&script(folder.path(), "hook", "true")), Ok(()));
    }

    #[test]
    fn what_others_may_write_to_is_refused_with_the_chmod_that_mends_it() {
        let folder = safe_folder();
        let above = folder.path().join("above");
        fs::create_dir_all(above.join("below")).unwrap();
        let hook = script(&above.join("below"), "hook", "true");
        for (path, open, shut) in [(&hook, 0o775, 0o755), (&hook, 0o757, 0o755), (&above, 0o770, 0o700)] {
            mode(path, open);
            let error = vet(&hook).unwrap_err();
            assert_eq!(error, ProgramError::Open { path: path.clone(), mode: open });
            assert_eq!(error.mend(), format!("chmod go-w {}", path.display()));
            mode(path, shut);
            assert_eq!(vet(&hook), Ok(()));
        }
    }

    #[test]
    fn in_a_sticky_folder_a_folder_of_ones_own_is_safe_and_a_file_is_not() {
        let folder = safe_folder();
        let shared = folder.path().join("shared");
        fs::create_dir_all(shared.join("own")).unwrap();
        let [inside, direct] = [shared.join("own"), shared.clone()].map(|folder| script(&folder, "hook", "true"));
        symlink("own/hook", shared.join("link")).unwrap();
        mode(&shared, 0o1777);
        assert_eq!((vet(&inside), vet(&shared.join("link"))), (Ok(()), Ok(())));
        let error = vet(&direct).unwrap_err();
        assert_eq!(error, ProgramError::Open { path: shared.clone(), mode: 0o1777 });
        assert!(error.mend().contains("is everybody's"), "{}", error.mend());
        mode(&shared.join("own"), 0o777);
        assert_eq!(vet(&inside), Err(ProgramError::Open { path: shared.join("own"), mode: 0o777 }));
        mode(&shared.join("own"), 0o755);
        mode(&shared, 0o777);
        assert_eq!(vet(&inside), Err(ProgramError::Open { path: shared, mode: 0o777 }), "not sticky");
    }

    #[test]
    fn a_link_is_as_safe_as_all_that_it_leads_through() {
        let folder = safe_folder();
        let [open, shut] = ["open", "shut"].map(|name| folder.path().join(name));
        fs::create_dir(&open).unwrap();
        fs::create_dir(&shut).unwrap();
        let hook = script(&shut, "hook", "true");
        symlink("../shut/hook", open.join("link")).unwrap();
        assert_eq!(vet(&open.join("link")), Ok(()));
        assert_eq!(vet(&open.join("../shut/./hook")), Ok(()));
        mode(&open, 0o777);
        symlink(open.join("link"), shut.join("way-round")).unwrap();
        assert_eq!(vet(&hook), Ok(()));
        assert_eq!(vet(&shut.join("way-round")), Err(ProgramError::Open { path: open.clone(), mode: 0o777 }));
        symlink("itself", shut.join("itself")).unwrap();
        assert_eq!(vet(&shut.join("itself")), Err(ProgramError::Links(shut.join("itself"))));
    }

    #[test]
    fn what_is_missing_no_file_or_not_executable_is_told() {
        let folder = safe_folder();
        let hook = script(folder.path(), "hook", "true");
        mode(&hook, 0o644);
        assert!(matches!(vet(&hook), Err(ProgramError::NotExecutable { .. })));
        assert_eq!(vet(folder.path()), Err(ProgramError::NoFile(folder.path().to_owned())));
        let missing = vet(&folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().ends_with("/none: there is no such file"), "{missing}");
    }
}
