//! The text of a configuration file: where a byte stands, and what may be shown of it.
//!
//! Whatever is quoted in a message comes from a copy in which secrets are
//! already masked, so that no path from here to a terminal or journal knows them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of the file.
pub(super) type Span = Range<usize>;

/// What a quoted line shows at most, in characters: a line may be as long as the file.
const EXCERPT: usize = 160;
/// What a clipped line shows before the place that is meant.
const BEFORE_CARET: usize = 40;
/// What a quoted value shows at most, in characters.
const VALUE: usize = 60;
/// The shortest run of hex digits that is taken for (a piece of) a key: half a key.
const HEX_RUN: usize = 32;

/// A place in the file, with its line as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, secrets masked, clipped, without control characters.
    pub excerpt: String,
    /// What of the excerpt is meant, in characters.
    pub caret: Range<usize>,
}

/// A file's text with its lines and masks.
#[derive(Debug)]
pub(super) struct Source {
    /// As long as the text, byte for byte, secrets replaced by `*`.
    masked: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    /// `document` is what could be read of `text`; it may be in pieces if the text is no TOML.
    pub(super) fn new(text: &str, document: &DeTable<'_>) -> Self {
        let mut secret = secrets_by_key(document);
        secret.extend(secrets_by_word(text));
        secret.extend(secrets_by_look(text));
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { masked: mask(text, secret), lines }
    }

    /// The line of a byte, from 0.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The text of a span, secrets masked.
    pub(super) fn masked(&self, span: &Span) -> &str {
        self.masked.get(span.clone()).unwrap_or("")
    }

    /// Where `span` begins.
    pub(super) fn place(&self, span: &Span) -> Place {
        let at = floor_boundary(&self.masked, span.start);
        let line = self.line_of(at);
        let begin = self.lines.get(line).copied().unwrap_or(0);
        let end = self.lines.get(line + 1).map_or(self.masked.len(), |next| next - 1);
        let text = self.masked.get(begin..end).unwrap_or("").trim_end_matches('\r');
        let count = |from: usize, to: usize| self.masked.get(from..to).map_or(0, |part| part.chars().count());
        let column = count(begin, at.min(begin + text.len()));
        let width = count(at, floor_boundary(&self.masked, span.end.min(begin + text.len()))).max(1);

        let length = text.chars().count();
        let skipped = if length > EXCERPT { column.saturating_sub(BEFORE_CARET) } else { 0 };
        let mut excerpt: String = text.chars().skip(skipped).take(EXCERPT).map(visible).collect();
        let mut caret = column - skipped;
        if skipped > 0 {
            excerpt.insert_str(0, "... ");
            caret += 4;
        }
        if length - skipped > EXCERPT {
            excerpt.push_str(" ...");
        }
        let room = excerpt.chars().count().saturating_sub(caret).max(1);
        Place { line: line + 1, column: column + 1, excerpt, caret: caret..caret + width.min(room) }
    }
}

/// The last boundary of a character not after `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A letter as a terminal may be given it: nothing that moves the cursor or turns the text round.
fn visible(letter: char) -> char {
    match letter {
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => '\u{fffd}',
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

/// A value as a message may quote it: in quotes, escaped, clipped, never a secret.
pub(super) fn quoted(value: &str) -> String {
    let shown = mask_secrets(value);
    let mut clipped: String = shown.chars().take(VALUE).collect();
    if clipped.len() < shown.len() {
        clipped.push_str("...");
    }
    format!("{clipped:?}")
}

/// `text` with all that looks like a token or a key masked.
#[must_use]
pub fn mask_secrets(text: &str) -> String {
    mask(text, secrets_by_look(text))
}

fn mask(text: &str, mut secret: Vec<Span>) -> String {
    secret.sort_by_key(|span| span.start);
    let mut spans = secret.into_iter().peekable();
    let mut hidden_to = 0;
    let mut masked = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        while let Some(span) = spans.next_if(|span| span.start <= at) {
            hidden_to = hidden_to.max(span.end);
        }
        if at < hidden_to && letter != '\n' {
            (0..letter.len_utf8()).for_each(|_| masked.push('*'));
        } else {
            masked.push(letter);
        }
    }
    masked
}

/// Whether the value of a key of this name is a secret; slips of the pen included.
pub(super) fn is_secret_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let near = |name: &str, slips| word.len() <= 16 && strsim::osa_distance(&word, name) <= slips;
    near("token", 2)
        || near("key", 1)
        || near("old_key", 2)
        || ["token", "secret", "passw"].iter().any(|part| word.contains(part))
}

/// The values of secret keys, as the parser read them.
fn secrets_by_key(document: &DeTable<'_>) -> Vec<Span> {
    type Value<'d> = (&'d Spanned<DeValue<'d>>, bool);
    fn values<'d>(table: &'d DeTable<'d>, inherited: bool) -> impl Iterator<Item = Value<'d>> {
        table.iter().map(move |(key, value)| {
            let key: &str = key.get_ref();
            // The names of a source (`token.file`) are no secret; whatever else stands in their place is.
            let source = match key {
                "file" => value.get_ref().as_str().is_none_or(|path| path.starts_with('/')),
                _ => matches!(key, "env" | "credential"),
            };
            (value, (inherited && !source) || is_secret_word(key))
        })
    }

    let mut found = Vec::new();
    let mut waiting: Vec<Value<'_>> = values(document, false).collect();
    while let Some((value, secret)) = waiting.pop() {
        match value.get_ref() {
            DeValue::Table(table) => waiting.extend(values(table, secret)),
            DeValue::Array(items) => waiting.extend(items.iter().map(|item| (item, secret))),
            DeValue::String(_) if secret => {
                // The outer quotes stay: they show that something is there.
                let span = value.span();
                found.push(span.start + 1..span.end.saturating_sub(1).max(span.start + 1));
            }
            _ if secret => found.push(value.span()),
            _ => {}
        }
    }
    found
}

/// What follows `token =` and its like, whether or not the file is TOML.
fn secrets_by_word(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let bytes = text.as_bytes();
    let mut at = 0;
    // Where the inline table of a secret key ends.
    let mut table_to = 0;
    while let Some(equals) = bytes[at..].iter().position(|byte| *byte == b'=').map(|found| at + found) {
        at = equals + 1;
        let name_end = trim_end(bytes, equals, |byte| matches!(byte, b' ' | b'\t' | b'"' | b'\''));
        let name_start = trim_end(bytes, name_end, is_word);
        let name = text.get(name_start..name_end).unwrap_or("");
        let inherited = equals < table_to && !matches!(name, "file" | "env" | "credential");
        if !inherited && !is_secret_word(name) {
            continue;
        }
        let blank = bytes[at..].iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
        let start = at + blank;
        if bytes.get(start) == Some(&b'{') {
            // Its inner keys are looked at in their turn.
            if start >= table_to {
                let end = |mark| bytes[start..].iter().position(|byte| *byte == mark).map(|end| start + end);
                table_to = end(b'}').or_else(|| end(b'\n')).unwrap_or(text.len());
            }
            continue;
        }
        let line_end = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| start + end);
        let line = text.get(start..line_end).unwrap_or("");
        let long = ["\"\"\"", "'''"].into_iter().find(|mark| line.starts_with(mark));
        let (from, to) = match (long, line.chars().next()) {
            (Some(mark), _) => {
                let inner = start + mark.len();
                (inner, text.get(inner..).and_then(|rest| rest.find(mark)).map_or(text.len(), |end| inner + end))
            }
            (None, Some(quote @ ('"' | '\''))) => match line.rfind(quote) {
                Some(close) if close > 0 => (start + 1, start + close),
                _ => (start + 1, line_end),
            },
            (None, _) => (start, line_end),
        };
        found.push(from..to);
        at = to.max(at);
    }
    found
}

/// `end` moved back over bytes that `is` says belong to the tail.
fn trim_end(bytes: &[u8], end: usize, is: impl Fn(u8) -> bool) -> usize {
    end - bytes[..end].iter().rev().take_while(|byte| is(**byte)).count()
}

/// What looks like a token of the provider (`dop_v1_...`, `doo_v1_...`) or like a key (hex digits).
fn secrets_by_look(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if word == 0 {
            at += 1;
            continue;
        }
        let letters = &bytes[at..at + word];
        let prefix = letters
            .windows(7)
            .position(|window| window[..2].eq_ignore_ascii_case(b"do") && window[3..].eq_ignore_ascii_case(b"_v1_"));
        if let Some(prefix) = prefix {
            found.push(at + prefix + 7..at + word);
        } else {
            let mut run = 0;
            for (offset, byte) in letters.iter().chain(b"_").enumerate() {
                if byte.is_ascii_hexdigit() {
                    run += 1;
                    continue;
                }
                if run >= HEX_RUN {
                    found.push(at + offset - run..at + offset);
                }
                run = 0;
            }
        }
        at += word;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let (document, _) = DeTable::parse_recoverable(text);
        Source::new(text, document.get_ref()).masked
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let hex = "0123456789abcdef".repeat(4);
        for (written, expected) in [
            ("token = \"geheim\"", "token = \"******\"".to_owned()),
            ("digitalocean.token = 'geheim' # so", "digitalocean.token = '******' # so".to_owned()),
            ("token = geheim and more", "token = ***************".to_owned()),
            ("token = \"geheim", "token = \"******".to_owned()),
            ("tokne = \"geheim\"", "tokne = \"******\"".to_owned()),
            ("\"old_key\"=\"geheim\"", "\"old_key\"=\"******\"".to_owned()),
            ("key = \"\"\"\ngeheim\ntoo\"\"\"\na = 1", "key = \"**\n******\n*****\"\na = 1".to_owned()),
            ("key = \"\"\"\ngeheim\ntoo\na = 1", "key = \"**\n******\n***\n*****".to_owned()),
            ("key = [\n\"geheim\"\n]", "key = *\n\"******\"\n]".to_owned()),
            ("key = { value = \"geheim\" }", "key = { value = \"******\" }".to_owned()),
            ("key.file = \"geheim\"", "key.file = \"******\"".to_owned()),
            ("key.file = \"/etc/k\"", "key.file = \"/etc/k\"".to_owned()),
            ("key = { file = \"/etc/k\" }", "key = { file = \"/etc/k\" }".to_owned()),
            ("peers = [\"dop_v1_abc\"]", "peers = [\"dop_v1_***\"]".to_owned()),
            ("# DOO_V1_abc", "# DOO_V1_***".to_owned()),
            (&format!("name = \"{hex}\""), format!("name = \"{}\"", "*".repeat(64))),
            ("token = 12345", "token = *****".to_owned()),
            ("name = \"web-1\"", "name = \"web-1\"".to_owned()),
        ] {
            assert_eq!(shown(written), expected, "{written}");
        }
    }

    #[test]
    fn a_place_counts_characters_and_shows_one_line() {
        let text = "ä = 1\r\n\tname = \"ü\u{1b}[2J\" # x\n";
        let (document, _) = DeTable::parse_recoverable("");
        let source = Source::new(text, document.get_ref());
        let start = text.find("\"ü").unwrap();
        let place = source.place(&(start..start + 8));
        assert_eq!((place.line, place.column, place.caret), (2, 9, 8..15));
        assert_eq!(place.excerpt, " name = \"ü\u{fffd}[2J\" # x");
        assert_eq!(source.place(&(900..901)).line, 3, "past the end is the last line");
    }

    #[test]
    fn a_long_line_is_clipped_around_the_place() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let (document, _) = DeTable::parse_recoverable("");
        let place = Source::new(&text, document.get_ref()).place(&(1000..2001));
        assert_eq!(place.column, 1001);
        assert_eq!(place.excerpt.chars().nth(place.caret.start), Some('X'));
        assert!(place.excerpt.chars().count() < 200 && place.caret.end <= place.excerpt.chars().count());
    }
}
