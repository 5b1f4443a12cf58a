//! What a program printed, within a bound.

use std::collections::VecDeque;

/// The bytes kept of the beginning.
const HEAD: usize = 8 * 1024;
/// The bytes kept of the end: the last word is the most telling.
const TAIL: usize = 4 * 1024;
/// The lines told of the beginning, and of the end.
const LINES: (usize, usize) = (30, 10);
/// The characters told of one line.
const WIDTH: usize = 300;

/// The beginning and the end of what a program printed, both of its pipes as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    /// More of it.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.dropped += u64::try_from(surplus).unwrap_or(u64::MAX);
    }

    /// The lines that are told: visible letters, at most 300 of them in each of at most 41
    /// lines. Empty ones are left out, and where something is missing one line says so.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (first, last) = LINES;
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let (mut head, mut tail) = if self.dropped == 0 {
            // One text: the cut between the two parts may lie within a line.
            (shown(&[&self.head[..], &tail].concat()), Vec::new())
        } else {
            (shown(&self.head), shown(&tail))
        };
        if tail.is_empty() && head.len() > first + last {
            tail = head.split_off(first);
        }
        let mut left_out = head.len().saturating_sub(first);
        head.truncate(first);
        let surplus =
            if left_out > 0 || self.dropped > 0 || tail.len() > last { tail.len().saturating_sub(last) } else { 0 };
        left_out += surplus;
        tail.drain(..surplus);
        if left_out > 0 || self.dropped > 0 {
            head.push(format!("({left_out} lines and {} bytes are not shown)", self.dropped));
        }
        head.append(&mut tail);
        head
    }

    /// The last line that has something in it.
    #[must_use]
    pub fn last_line(&self) -> Option<String> {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        shown(&tail).pop().or_else(|| shown(&self.head).pop())
    }
}

/// The lines of a text that have something in them, fit for a terminal and a journal.
fn shown(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    text.split(['\n', '\r']).map(visible).filter(|line| !line.is_empty()).collect()
}

/// One line: nothing that could repaint a terminal or reorder what stands around it, no blanks around it, not too long.
fn visible(line: &str) -> String {
    let mut letters = line.trim().chars().filter(|letter| !letter.is_control() && !reorders(*letter));
    let mut line: String = letters.by_ref().take(WIDTH).collect();
    if letters.next().is_some() {
        line.push_str(" ...");
    }
    line
}

/// Marks of the direction of text, and of lines.
const fn reorders(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Output {
        let mut output = Output::default();
        for piece in text.as_bytes().chunks(1_000) {
            output.add(piece);
        }
        output
    }

    #[test]
    fn a_few_lines_are_told_as_they_are_without_what_could_repaint_a_terminal() {
        let output = of("one\n\n  two\x1b[31m\r\nthr\u{0}e\u{202e}e");
        assert_eq!(output.lines(), ["one", "two[31m", "three"]);
        assert_eq!(output.last_line().as_deref(), Some("three"));
        assert_eq!((of("").lines(), of("\n \n").last_line()), (Vec::new(), None));
    }

    #[test]
    fn of_many_lines_the_first_and_the_last_are_told() {
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        let lines = of(&text).lines();
        assert_eq!(lines.len(), 41);
        assert_eq!((lines[29].as_str(), lines[30].as_str()), ("line 30", "(60 lines and 0 bytes are not shown)"));
        assert_eq!((lines[31].as_str(), lines[40].as_str()), ("line 91", "line 100"));
    }

    #[test]
    fn a_flood_is_counted_and_bounded_and_its_last_word_kept() {
        let output = of(&format!("first\n{}\nlast", "x".repeat(1 << 20)));
        assert!(output.head.len() == HEAD && output.tail.len() == TAIL);
        assert_eq!(output.last_line().as_deref(), Some("last"));
        let lines = output.lines();
        assert_eq!((lines[0].as_str(), lines.last().unwrap().as_str()), ("first", "last"));
        assert!(lines.iter().any(|line| line.ends_with("bytes are not shown)")), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH + 4));
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut output = Output::default();
        output.add(&[0xff, 0xfe, b'a', b'\n', 0xc3]);
        assert_eq!(output.lines(), ["\u{fffd}\u{fffd}a", "\u{fffd}"]);
    }
}
