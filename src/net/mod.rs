//! What every client of the agent has in common, whoever it asks: names with a memory, and how HTTP is spoken.

pub mod dns;
pub mod http;

#[cfg(test)]
pub(crate) mod testing;

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

/// An error and its causes in one line.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = clean(&source.to_string());
        // reqwest and hyper repeat the text of their cause.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_line_and_not_endless() {
        assert_eq!(clean("a\r\nb\u{1b}[31m\0"), "a  b [31m");
        assert_eq!(clean(&"x".repeat(10_000)).len(), SHOWN + 3);
    }
}
