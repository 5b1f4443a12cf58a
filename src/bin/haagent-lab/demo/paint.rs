//! Colours: only on a terminal, and not where `NO_COLOR` is set. A word always stands beside them.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Doubt,
    Bad,
    Strong,
    Plain,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    /// As standard output and the environment want it.
    pub(super) fn for_stdout() -> Self {
        Self { colour: wanted(io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref()) }
    }

    #[cfg(test)]
    pub(super) fn with(colour: bool) -> Self {
        Self { colour }
    }

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Doubt => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// <https://no-color.org>: present and not empty means no colour.
fn wanted(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_without_a_terminal_or_with_no_color_set() {
        assert!(wanted(true, None) && wanted(true, Some(OsStr::new(""))));
        assert!(!wanted(false, None) && !wanted(true, Some(OsStr::new("1"))));
    }

    #[test]
    fn without_colour_the_text_is_as_it_was() {
        for tone in [Tone::Good, Tone::Doubt, Tone::Bad, Tone::Strong, Tone::Plain] {
            assert_eq!(Paint::with(false).paint(tone, "word"), "word");
            assert!(Paint::with(true).paint(tone, "word").contains("word"));
        }
        assert_eq!(Paint::with(true).paint(Tone::Bad, "no"), "\x1b[31mno\x1b[0m");
    }
}
