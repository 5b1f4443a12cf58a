//! What is generated from the command definition, in the hands of those it is for: bash and man.

use std::path::{Path, PathBuf};

use super::{haagent, program};

/// What bash offers for the last of `words`.
fn offered(words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("haagent");
    std::fs::write(&file, haagent(&["completions", "bash"], folder.path()).stdout).unwrap();
    let last = words.len();
    let (current, before) = (words[last - 1], if last > 1 { words[last - 2] } else { "haagent" });
    let lines = format!(
        "source {}; COMP_WORDS=(haagent {}); COMP_CWORD={last}; _haagent haagent '{current}' {before}; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file.display(),
        words.join(" ")
    );
    let ran = program("bash").args(["--norc", "-c", &lines]).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(offered(&["dra"]), ["drain"]);
    assert_eq!(offered(&["config", "ch"]), ["check"]);
    assert_eq!(offered(&["failover", "--dry"]), ["--dry-run"]);
    assert_eq!(offered(&["wait", "--for", "he"]), ["healthy", "held"]);
}

/// What man(1) complains of, asked as Debian's lintian asks it.
fn complaints(page: &Path) -> String {
    let mut man = program("man");
    man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(page);
    let said = man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80").output().unwrap();
    let nothing = if said.stdout.is_empty() { "nothing was rendered" } else { "" };
    String::from_utf8_lossy(&said.stderr).into_owned() + nothing
}

/// Where man(1) is not installed, only `src/cli/man/tests.rs` judges.
#[test]
fn man_has_nothing_to_say_of_any_page() {
    let folder = tempfile::tempdir().unwrap();
    let written = haagent(&["man", "share/man"], folder.path());
    assert!(written.status.success() && written.stderr.is_empty(), "{written:?}");
    let pages: Vec<PathBuf> =
        String::from_utf8(written.stdout).unwrap().lines().map(|line| folder.path().join(line)).collect();
    assert!(pages.len() > 15 && pages.iter().any(|page| page.ends_with("share/man/man5/haagent.toml.5")), "{pages:?}");
    if program("man").arg("--version").output().is_err() {
        return;
    }
    for page in &pages {
        assert_eq!(complaints(page), "", "{}", page.display());
    }
    // It would notice.
    let text = std::fs::read_to_string(&pages[0]).unwrap();
    std::fs::write(&pages[0], text + ".NOMACRO\n").unwrap();
    assert!(complaints(&pages[0]).contains("NOMACRO"));
}
