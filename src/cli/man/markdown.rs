//! The Markdown that docs/configuration.md is written in, as a manual page: headings,
//! paragraphs, lists, tables, blocks of code, and `code`. No more is understood, and no more is needed.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// Writes a document to the page. Its title, the one heading of the first level, is left out.
pub(super) fn render(text: &str, page: &mut Roff) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            page.control("SH", [heading.replace('`', "").as_str()]);
        } else if let Some(heading) = line.strip_prefix("### ") {
            page.control("SS", [heading.replace('`', "").as_str()]);
        } else if line.starts_with("```") {
            page.control("PP", []).control("EX", []);
            for line in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                page.text([roman(line)]);
            }
            page.control("EE", []);
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            table(&rows, page);
        } else if !line.is_empty() && !line.starts_with("# ") {
            let mut paragraph = line.to_owned();
            while let Some(more) = lines.next_if(|line| goes_on(line)) {
                paragraph += &format!(" {}", more.trim_start());
            }
            match item(&paragraph) {
                Some(("-", text)) => page.control("IP", ["\\(bu", "2"]).text(inline(text)),
                Some((number, text)) => page.control("IP", [number, "4"]).text(inline(text)),
                None => page.control("PP", []).text(inline(&paragraph)),
            };
        }
    }
}

/// Whether a line belongs to the paragraph before it.
fn goes_on(line: &str) -> bool {
    !line.is_empty() && item(line).is_none() && !["|", "#", "```"].iter().any(|begins| line.starts_with(begins))
}

/// The mark of an item of a list, `-` or `1.`, and its text.
fn item(line: &str) -> Option<(&str, &str)> {
    let (mark, text) = line.split_once(' ')?;
    let number = mark.strip_suffix('.').is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()));
    (mark == "-" || number).then_some((mark, text))
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// Each row is an entry: what it is about, the default in brackets, and the rest below.
fn table(rows: &[Vec<&str>], page: &mut Roff) {
    let [header, _, rows @ ..] = rows else { return };
    let with_default = header.get(1) == Some(&"default");
    for row in rows {
        let Some((name, rest)) = row.split_first() else { continue };
        let mut tag = inline(name);
        let mut rest = rest;
        if let Some((default, meaning)) = rest.split_first().filter(|_| with_default) {
            tag.push(roman("  ["));
            tag.extend(inline(default).into_iter().map(|part| match part {
                Inline::Bold(text) => roman(text),
                other => other,
            }));
            tag.push(roman("]"));
            rest = meaning;
        }
        page.control("TP", []).text(tag).text(inline(&sentence(&rest.join(". "))));
    }
}

/// A cell begins small and ends without a stop.
fn sentence(cell: &str) -> String {
    let mut letters = cell.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if cell.ends_with(['.', ':', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// `code` and **what is strong** in bold; of a link its text.
fn inline(text: &str) -> Vec<Inline> {
    let mut parts = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            parts.push(bold(part));
            continue;
        }
        let strong = part.split("**").enumerate().filter(|(_, words)| !words.is_empty());
        parts.extend(strong.map(|(at, words)| {
            let words = without_links(words);
            if at % 2 == 1 { bold(words) } else { roman(words) }
        }));
    }
    parts
}

fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, label, after)) = first_link(rest) {
        plain += before;
        plain += label;
        rest = after;
    }
    plain + rest
}

/// What is before the first `[label](target)`, its label, and what is after it.
fn first_link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (label, rest) = rest.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    Some((before, label, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let mut page = Roff::new();
        render(text, &mut page);
        page.to_roff()
    }

    #[test]
    fn each_construct_has_its_macro() {
        let page = "# Title\n\n**Some** `code` and [a link](x.md),\n`on` two lines.\n\n## `[node]`\n\n| key | default | meaning |\n| --- | --- | --- |\n| `a`, `b` | `\"x\"` | of one request |\n\n```toml\n.key = 1\n```\n";
        assert_eq!(
            rendered(page),
            ".PP\n\\fBSome\\fR \\fBcode\\fR and a link, \\fBon\\fR two lines.\n\
             .SH [node]\n\
             .TP\n\\fBa\\fR, \\fBb\\fR  [\"x\"]\nOf one request.\n\
             .PP\n.EX\n\\&.key = 1\n.EE\n"
        );
    }

    #[test]
    fn each_item_of_a_list_is_a_paragraph() {
        let list = "These:\n- one,\n  on two lines\n- `two`\n";
        assert_eq!(rendered(list), ".PP\nThese:\n.IP \\(bu 2\none, on two lines\n.IP \\(bu 2\n\\fBtwo\\fR\n");
        assert_eq!(rendered("1. first\n2. second\n"), ".IP 1. 4\nfirst\n.IP 2. 4\nsecond\n");
    }

    #[test]
    fn a_table_without_defaults_is_a_list_too() {
        let page = "| variable | value |\n| --- | --- |\n| `HAAGENT_GROUP` | the group |\n";
        assert_eq!(rendered(page), ".TP\n\\fBHAAGENT_GROUP\\fR\nThe group.\n");
    }
}
