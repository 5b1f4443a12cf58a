//! `[group.NAME.hooks]`: what is read, and every word that is said of what cannot be.

use std::path::PathBuf;
use std::time::Duration;

use super::{loaded, parse, plain};
use crate::config::types::{Hooks, Program};

fn with(hooks: &str) -> String {
    format!("{}{hooks}", plain())
}

/// Without the places, which the other mistakes show.
fn told(hooks: &str) -> Vec<String> {
    let problems = parse("haagent.toml", with(hooks).as_bytes()).expect_err(hooks).to_string();
    let words = problems.lines().filter(|line| !line.contains(" | "));
    words.map(|line| line.split_once(": ").map_or(line, |(_, words)| words).to_owned()).collect()
}

#[test]
fn hooks_are_argument_lists() {
    let text = "[group.web.hooks]\npromote = [\"/p\", \"a b\", \"\"]\non_fault = [\"/f\"]\ntimeout = \"5s\"\n";
    let hooks = &loaded(&with(text)).config.groups[0].hooks;
    let program = |path, arguments: &[&str]| {
        Some(Program { path: PathBuf::from(path), arguments: arguments.iter().map(ToString::to_string).collect() })
    };
    let expected = Hooks {
        promote: program("/p", &["a b", ""]),
        on_master: None,
        on_backup: None,
        on_fault: program("/f", &[]),
        timeout: Duration::from_secs(5),
    };
    assert_eq!(*hooks, expected);
    assert_eq!(hooks.programs().map(|(key, _)| key).collect::<Vec<_>>(), ["promote", "on_fault"]);
    assert_eq!(loaded(&plain()).config.groups[0].hooks, Hooks::default());
}

#[test]
fn hooks_that_are_not_used_change_no_hash_and_those_that_are_do() {
    let hash = |hooks: &str| loaded(&with(hooks)).config.groups[0].settings_hash();
    assert_eq!(hash(""), hash("[group.web.hooks]\ntimeout = \"9s\"\n"));
    assert_ne!(hash(""), hash("[group.web.hooks]\non_fault = [\"/f\"]\n"));
}

#[test]
fn mistakes_in_hooks_are_told_in_these_words() {
    for (hooks, words) in [
        (
            "[group.web.hooks]\npromote = \"/p x\"\n",
            [
                "`promote` must be a list, the program and its arguments: no shell reads it",
                "write `promote = [\"/p\", \"x\"]`",
            ],
        ),
        (
            "[group.web.hooks]\npromote = \"/p 'a b' > /dev/null\"\n",
            [
                "`promote` must be a list, the program and its arguments: no shell reads it",
                "write `promote = [\"/usr/local/lib/haagent/promote\"]`",
            ],
        ),
        (
            "[group.web.hooks]\non_master = { unit = \"x.service\" }\n",
            [
                "`on_master = { unit = ... }` is not in this version yet",
                "write `on_master = [\"/usr/local/lib/haagent/on_master\"]`",
            ],
        ),
        (
            "[group.web.hooks]\non_master = 3\n",
            [
                "`on_master` must be a list, the program and its arguments, not a whole number",
                "write `on_master = [\"/usr/local/lib/haagent/on_master\"]`",
            ],
        ),
        (
            "[group.web.hooks]\non_backup = []\n",
            ["`on_backup` names no program", "write `on_backup = [\"/usr/local/lib/haagent/on_backup\"]`"],
        ),
        (
            "[group.web.hooks]\non_backup = [\"backup.sh\"]\n",
            [
                "\"backup.sh\" in `on_backup` is no absolute path: nothing is searched for",
                "write the path from the root: \"/...\"",
            ],
        ),
        (
            "[group.web.hooks]\non_backup = [\"/b\", \"a\\u0000\"]\n",
            [
                "a word of `on_backup` has a zero byte in it, or more than 4096 bytes",
                "write a script, and name it here",
            ],
        ),
        (
            "[group.web.hooks]\non_claim_failing = [\"/x\"]\n",
            ["`on_claim_failing` is not in this version yet", "take it out"],
        ),
        (
            "[group.web.hooks]\nnotify_master = [\"/x\"]\n",
            ["unknown key `notify_master` in [group.web.hooks]", "did you mean `on_master`?"],
        ),
        (
            "[[group.web.hooks]]\npromote = [\"/p\"]\n",
            ["[group.web.hooks] must have single brackets: a group has one such table", "write `[group.web.hooks]`"],
        ),
        (
            "[group.web.hooks]\npromote = [\"/p\"]\ntimeout = \"1m\"\n",
            [
                "`timeout` of the hooks (1m) must be shorter than `claim_timeout` (1m): one slow promotion would end a claim",
                "make `timeout` shorter, or `claim_timeout` longer",
            ],
        ),
    ] {
        assert_eq!(told(hooks), words, "{hooks}");
    }
    assert!(
        loaded(&with("[group.web.hooks]\non_master = [\"/m\"]\ntimeout = \"1h\"\n")).warnings.to_string().is_empty()
    );
}
