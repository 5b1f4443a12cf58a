//! What systemd is told (`sd_notify(3)`): ready, what is going on, stopping, alive.
//!
//! Nothing here waits. Where nobody asked to be told, nothing is sent.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use super::clock;

/// What could not be told, and why.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// NOTIFY_SOCKET names no socket.
    #[error("NOTIFY_SOCKET={address:?} is no address of a unix socket")]
    Address { address: String, source: io::Error },
    /// No socket to send from.
    #[error("cannot open a socket to tell systemd")]
    Socket(#[source] io::Error),
    /// The message was not taken. If systemd's queue is full it is lost: send the next one.
    #[error("cannot tell systemd {message:?}")]
    Send { message: String, source: io::Error },
}

/// The way to systemd.
#[derive(Debug)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// To whom NOTIFY_SOCKET names; to nobody if it is not set.
    ///
    /// # Errors
    /// The variable names no socket, or this process may not open one.
    pub fn from_env() -> Result<Self, NotifyError> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(address) if !address.is_empty() => Self::to(&address),
            Some(_) | None => Ok(Self { to: None }),
        }
    }

    /// To this address: a path, or a name in the abstract namespace after an `@`.
    fn to(address: &OsStr) -> Result<Self, NotifyError> {
        let parsed = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(address),
        };
        let parsed = parsed
            .map_err(|source| NotifyError::Address { address: address.to_string_lossy().into_owned(), source })?;
        let socket = UnixDatagram::unbound().map_err(NotifyError::Socket)?;
        socket.set_nonblocking(true).map_err(NotifyError::Socket)?;
        Ok(Self { to: Some((socket, parsed)) })
    }

    /// The agent has read its first truth. Also when the API or Docker is not there yet: `status` says so.
    ///
    /// # Errors
    /// The message was not taken.
    pub fn ready(&self, status: impl fmt::Display) -> Result<(), NotifyError> {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)))
    }

    /// A reload begins; [`Self::ready`] ends it, however it went. systemd before 253 takes no
    /// notice of the time (`sd_notify(3)`).
    ///
    /// # Errors
    /// The message was not taken.
    pub fn reloading(&self) -> Result<(), NotifyError> {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_micros()))
    }

    /// What `systemctl status` shows.
    ///
    /// # Errors
    /// The message was not taken.
    pub fn status(&self, status: impl fmt::Display) -> Result<(), NotifyError> {
        self.send(&format!("STATUS={}", one_line(status)))
    }

    /// The agent begins to stop. Said before it resigns.
    ///
    /// # Errors
    /// The message was not taken.
    pub fn stopping(&self) -> Result<(), NotifyError> {
        self.send("STOPPING=1")
    }

    /// A sign of life. It does not allocate unless it fails.
    ///
    /// # Errors
    /// The message was not taken.
    pub fn watchdog(&self) -> Result<(), NotifyError> {
        self.send("WATCHDOG=1")
    }

    fn send(&self, message: &str) -> Result<(), NotifyError> {
        match &self.to {
            Some((socket, address)) => match socket.send_to_addr(message.as_bytes(), address) {
                Ok(_) => Ok(()),
                Err(source) => Err(NotifyError::Send { message: message.to_owned(), source }),
            },
            None => Ok(()),
        }
    }
}

/// How often systemd wants a sign of life at the latest (`sd_watchdog_enabled(3)`); feed twice as often.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
    let micros = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|micros| *micros > 0)?;
    ours.then(|| Duration::from_micros(micros))
}

/// A line break would begin another assignment.
fn one_line(text: impl fmt::Display) -> String {
    text.to_string().replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        (dir, systemd, notifier)
    }

    fn received(systemd: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_status_cannot_smuggle_in_another_message() {
        let (_dir, systemd, notifier) = bound();
        notifier.ready("web: backup\nSTOPPING=1").unwrap();
        assert_eq!(received(&systemd), "READY=1\nSTATUS=web: backup STOPPING=1");
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let (_dir, systemd, notifier) = bound();
        notifier.reloading().unwrap();
        let message = received(&systemd);
        let began: u64 = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(began > 0 && began <= clock::monotonic_micros());
    }

    #[test]
    fn names_without_a_file_work_too() {
        let name = format!("@haagent-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::to(OsStr::new(&name)).unwrap().watchdog().unwrap();
        assert_eq!(received(&systemd), "WATCHDOG=1");
    }

    #[test]
    fn a_systemd_that_does_not_read_is_not_waited_for() {
        let (_dir, _systemd, notifier) = bound();
        let refused = (0..100_000).find_map(|_| notifier.watchdog().err()).expect("the queue has an end");
        assert!(matches!(refused, NotifyError::Send { source, .. } if source.kind() == io::ErrorKind::WouldBlock));
    }

    #[test]
    fn an_address_that_no_socket_can_have_is_refused() {
        assert!(matches!(Notifier::to(OsStr::new(&"x".repeat(200))), Err(NotifyError::Address { .. })));
    }
}
