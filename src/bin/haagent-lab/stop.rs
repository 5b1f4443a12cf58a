//! When the lab ends: by a signal, or with whoever started it.

use std::io::{self, Read};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for SIGTERM, SIGINT, SIGHUP (the terminal is closed) or, if asked to, for the end of standard input. A test that holds
/// the other end of that pipe cannot leave the lab behind, however it ends itself.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(crate) async fn wait(until_stdin_closes: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (closed, stdin_closed) = oneshot::channel();
    if until_stdin_closes {
        // A thread of its own: the read blocks and cannot be cancelled; the process ends over it.
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let mut stdin = io::stdin().lock();
            while stdin.read(&mut buffer).is_ok_and(|read| read > 0) {}
            let _ = closed.send(());
        });
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        _ = stdin_closed, if until_stdin_closes => {}
    }
    Ok(())
}
