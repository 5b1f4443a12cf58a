//! What every client of the agent has in common, whoever it asks: names with a memory, and how HTTP is spoken.

pub mod dns;
pub mod http;

#[cfg(test)]
pub(crate) mod testing;

use std::error::Error;
use std::io;

/// How much of a text from outside is shown.
const SHOWN: usize = 300;

/// A text from outside, fit for one line of a log: no control characters, not endless.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String =
        text.chars().take(SHOWN).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.chars().nth(SHOWN).is_some() {
        cleaned.push_str("...");
    }
    cleaned.trim().to_owned()
}

/// An error and its causes in one line. What the HTTP library has to say is one cause in plain words
/// ([`plain`]); all of it is in the log's debug lines.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let library = cause.is::<reqwest::Error>();
        let words = if library { plain(cause) } else { clean(&cause.to_string()) };
        if !text.ends_with(&words) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&words);
        }
        if library {
            let all: Vec<String> = causes(cause).map(|cause| clean(&cause.to_string())).collect();
            tracing::debug!("{text}; in full: {}", all.join(": "));
            break;
        }
    }
    text
}

/// Why an exchange failed, for people: the system's own word for it, else the innermost cause.
pub(crate) fn plain(error: &(dyn Error + 'static)) -> String {
    let known = causes(error).find_map(|cause| in_words(cause.downcast_ref::<io::Error>()?.kind()));
    let timed_out = || error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout);
    match known {
        Some(words) => words.to_owned(),
        None if timed_out() => TIMED_OUT.to_owned(),
        None => causes(error).last().map(|cause| clean(&cause.to_string())).unwrap_or_default(),
    }
}

const TIMED_OUT: &str = "timed out";

fn in_words(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "connection reset",
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "connection closed without an answer",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::TimedOut => TIMED_OUT,
        // What this host lacks, or what a library wraps: their own words say more.
        _ => return None,
    })
}

/// An error, its cause, and so on.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn what_the_system_says_of_a_connection_is_told_in_plain_words_and_all_else_by_its_innermost_cause() {
        for (cause, words) in [
            (io::Error::from_raw_os_error(libc::ECONNREFUSED), "connection refused"),
            (io::Error::from_raw_os_error(libc::ECONNRESET), "connection reset"),
            (io::Error::from_raw_os_error(libc::ETIMEDOUT), "timed out"),
            (io::Error::from(io::ErrorKind::UnexpectedEof), "connection closed without an answer"),
            (io::Error::other("invalid peer certificate: Expired"), "invalid peer certificate: Expired"),
        ] {
            assert_eq!(plain(&Wrapped(cause)), words);
        }
    }

    #[test]
    fn a_text_from_outside_is_one_line_and_not_endless() {
        assert_eq!(clean("a\r\nb\u{1b}[31m\0"), "a  b [31m");
        assert_eq!(clean(&"x".repeat(10_000)).len(), SHOWN + 3);
    }
}
