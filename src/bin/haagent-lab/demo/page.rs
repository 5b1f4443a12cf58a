//! What is printed: 80 columns, as soon as it is known.

use std::io::{self, Write};

use super::paint::{Paint, Tone};

/// The width of everything.
pub(super) const WIDTH: usize = 80;
/// Before everything that is no heading.
pub(super) const INDENT: usize = 3;

/// Prints to standard output.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) paint: Paint,
}

impl Page {
    /// Begins a part.
    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        self.lines(&[String::new(), self.paint.paint(Tone::Strong, text), String::new()])
    }

    /// Sentences, wrapped.
    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        let indent = " ".repeat(INDENT);
        let lines: Vec<String> = wrapped(text, WIDTH - INDENT).iter().map(|line| format!("{indent}{line}")).collect();
        self.lines(&lines)
    }

    /// A word that counts, and beside it what it is about.
    pub(super) fn item(&self, tone: Tone, word: &str, column: usize, text: &str) -> io::Result<()> {
        self.lines(&item(self.paint, tone, word, column, text))
    }

    /// A command and its output, as a person would see it at that host.
    pub(super) fn command(&self, host: &str, command: &str, output: &str) -> io::Result<()> {
        self.lines(&[self.paint.paint(Tone::Strong, &format!("{host}$ {command}"))])?;
        self.lines(&output.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    pub(super) fn blank(&self) -> io::Result<()> {
        self.lines(&[String::new()])
    }

    /// Lines as they are.
    pub(super) fn lines(&self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

/// The word in a column of its own, the text beside it.
fn item(paint: Paint, tone: Tone, word: &str, column: usize, text: &str) -> Vec<String> {
    let indent = INDENT + column;
    let gap = " ".repeat(column.saturating_sub(word.chars().count()));
    let head = format!("{}{}{gap}", " ".repeat(INDENT), paint.paint(tone, word));
    let lines = wrapped(text, WIDTH - indent);
    let rest = lines.iter().skip(1).map(|line| format!("{}{line}", " ".repeat(indent)));
    std::iter::once(format!("{head}{}", lines.first().map_or("", String::as_str))).chain(rest).collect()
}

/// The text in lines of at most `width` columns, cut between words; a word that is longer is cut too.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            push(&mut lines, &word);
            lines.push(String::new());
            word = rest;
        }
        if used > 0 {
            push(&mut lines, &[' ']);
            used += 1;
        }
        push(&mut lines, &word);
        used += word.len();
    }
    lines
}

fn push(lines: &mut [String], word: &[char]) {
    if let Some(line) = lines.last_mut() {
        line.extend(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two", 6), ["one", "two"]);
        assert_eq!(wrapped("", 10), [""]);
    }

    #[test]
    fn a_word_that_is_too_long_is_cut_too() {
        assert_eq!(wrapped("at /a/very/long/path now", 6), ["at", "/a/ver", "y/long", "/path", "now"]);
    }

    #[test]
    fn an_item_hangs_beside_its_word_and_fits() {
        let text = "so many words that they cannot all stand in one line of eighty columns, not even nearly";
        let lines = item(Paint::with(false), Tone::Good, "VERIFIED", 10, text);
        assert!(lines.len() == 2 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("   VERIFIED  so many") && lines[1].starts_with("             "), "{lines:?}");
    }
}
