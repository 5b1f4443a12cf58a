//! `src/proto` is pure: no socket, clock, thread, async, lock, randomness,
//! environment or log. What the compiler cannot forbid by module, this reads.
//!
//! Comments and test modules may name what they like.

use std::fs;
use std::path::{Path, PathBuf};

/// What no core may name, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("UdpSocket", "sockets"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("ToSocketAddrs", "name resolution"),
    ("std::os", "the operating system"),
    ("std::io", "input and output"),
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("env!", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("thread_local!", "threads"),
    ("Instant", "clocks"),
    ("SystemTime", "clocks"),
    ("UNIX_EPOCH", "clocks"),
    ("async", "async"),
    ("await", "async"),
    ("tokio", "async"),
    ("futures_util", "async"),
    ("Mutex", "locks"),
    ("RwLock", "locks"),
    ("Condvar", "locks"),
    ("OnceLock", "global state"),
    ("LazyLock", "global state"),
    ("OnceCell", "global state"),
    ("RefCell", "hidden state"),
    ("atomic", "shared state"),
    ("mpsc", "channels"),
    ("static mut", "global state"),
    ("rand", "randomness"),
    ("getrandom", "randomness"),
    ("fastrand", "randomness"),
    ("RandomState", "randomness"),
    ("HashMap", "an order that differs from run to run"),
    ("HashSet", "an order that differs from run to run"),
    ("tracing", "logs"),
    ("log", "logs"),
    ("println!", "output"),
    ("eprintln!", "output"),
    ("print!", "output"),
    ("dbg!", "output"),
    ("unsafe", "unsafe code"),
    ("extern", "foreign code"),
    ("libc", "the operating system"),
    ("nix", "the operating system"),
    ("crate::sys", "the shell"),
    ("crate::heart", "the shell"),
    ("crate::config", "the shell"),
    ("crate::cloud", "the shell"),
    ("crate::view", "the shell"),
    ("crate::agent", "the shell"),
    ("crate::control", "the shell"),
    ("crate::claims", "the shell"),
    ("crate::checks", "the shell"),
];

/// Of `std::net` a core may use the address types only.
const ADDRESSES: &[&str] = &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    word: String,
}

/// The text without comments, texts and test modules; lines stay where they are.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let bytes: Vec<char> = source.chars().collect();
    let mut at = 0;
    let starts = |at: usize, word: &str| word.chars().enumerate().all(|(i, c)| bytes.get(at + i) == Some(&c));
    while at < bytes.len() {
        if starts(at, "//") {
            while at < bytes.len() && bytes[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    depth += 1;
                    at += 2;
                } else if starts(at, "*/") {
                    depth -= 1;
                    at += 2;
                } else {
                    if bytes.get(at) == Some(&'\n') {
                        code.push('\n');
                    }
                    at += 1;
                }
                if depth == 0 || at >= bytes.len() {
                    break;
                }
            }
        } else if bytes[at] == '"' {
            at += 1;
            while at < bytes.len() && bytes[at] != '"' {
                if bytes[at] == '\n' {
                    code.push('\n');
                }
                at += if bytes[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
            code.push_str("\"\"");
        } else if starts(at, "'\"'") || starts(at, "'\\\"'") {
            at += if starts(at, "'\"'") { 3 } else { 4 };
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    without_test_modules(&code)
}

/// Blanks what stands behind `#[cfg(test)]`: a module, or one item.
fn without_test_modules(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let open = item.find('{').unwrap_or(item.len());
        let end = match item.find(';') {
            Some(semicolon) if semicolon < open => semicolon + 1,
            _ => {
                let mut depth = 0usize;
                item.char_indices()
                    .skip_while(|(at, _)| *at < open)
                    .find(|(_, c)| {
                        match c {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            _ => {}
                        }
                        depth == 0
                    })
                    .map_or(item.len(), |(at, _)| at + 1)
            }
        };
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, found)| {
        let before = line[..at].chars().next_back().is_some_and(is_word);
        let after = found.chars().next_back().is_some_and(is_word)
            && line[at + found.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

fn findings(source: &str) -> Vec<Finding> {
    let code = code_of(source);
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut note = |word: &str| found.push(Finding { line: index + 1, word: word.to_owned() });
        FORBIDDEN.iter().filter(|(word, _)| names(line, word)).for_each(|(word, _)| note(word));
        for (at, _) in line.match_indices("std::net") {
            let used = line[at + "std::net".len()..].trim_start_matches([':', ' ', '{']);
            let names = used.split([';', ')', '>', '(']).next().unwrap_or_default();
            for name in names.split([',', '}', ' ', ':']).filter(|name| !name.is_empty()) {
                if !ADDRESSES.contains(&name) && name.starts_with(|c: char| c.is_uppercase() || c == '*') {
                    note("std::net");
                }
            }
            if used.is_empty() || used.starts_with(';') {
                note("std::net");
            }
        }
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            // A module of tests beside the code, declared under `#[cfg(test)]`.
            && !path.file_stem().is_some_and(|name| name == "tests" || name == "proptests")
        {
            into.push(path);
        }
    }
}

#[test]
fn the_cores_are_pure() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto"), &mut files);
    assert!(files.len() > 5, "src/proto was not found");
    let mut impure = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("the file can be read");
        for Finding { line, word } in findings(&source) {
            let why = FORBIDDEN.iter().find(|(other, _)| *other == word).map_or("sockets", |(_, why)| why);
            impure.push(format!("{}:{line}: {word} ({why})", file.display()));
        }
    }
    assert!(impure.is_empty(), "src/proto must stay pure:\n{}", impure.join("\n"));
}

#[test]
fn each_forbidden_word_would_be_noticed() {
    for (word, _) in FORBIDDEN {
        let bad = format!("use x;\nfn f() {{ let x = {word} ; }}\n");
        assert_eq!(findings(&bad).first(), Some(&Finding { line: 2, word: (*word).to_owned() }), "{word}");
    }
    for bad in [
        "use std::net::UdpSocket;",
        "use std::net::{Ipv4Addr, TcpStream};",
        "use std::net::*;",
        "use std::net;",
        "let x = std::net::TcpStream::connect(a);",
        "use std::time::Instant;",
        "let now = std::time::SystemTime::now();",
        "async fn f() {}",
        "#[cfg(test)]\nmod tests { fn f() {} }\nuse std::fs;",
        "#[cfg(test)]\nmod tests;\nuse tokio::sync;",
        "let text = \"//\"; println!(\"x\");",
    ] {
        assert!(!findings(bad).is_empty(), "{bad}");
    }
}

#[test]
fn what_is_allowed_is_not_noticed() {
    for good in [
        "use std::net::Ipv4Addr;",
        "use std::net::{IpAddr, Ipv4Addr};",
        "fn f(a: std::net::Ipv4Addr) {}",
        "// tokio and Instant::now are for the shell\nuse std::fmt;",
        "/* unsafe /* println! */ */ fn f() {}",
        "let text = \"no tokio, no Instant\";",
        "#[cfg(test)]\nmod tests { use std::env; fn f() { println!(\"{}\", 1); } }\nfn g() {}",
        "#[cfg(test)]\nmod tests;\nfn g() {}",
        "fn catalog(operand: u8, instantly: bool) {}",
        "let quote = '\"'; // tokio",
    ] {
        assert_eq!(findings(good), [], "{good}");
    }
}
