//! Secrets: written into the file, from several places, or from none. None of these words shows one.

use crate::config::tests::{CHECK, CLAIM, Case, HEAD, WEB};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an inline token and key",
        file: &[
            r#"[digitalocean]
token = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[heartbeat]
key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:2:9: `token` must not be in this file: everybody who may see the file would know it
    2 | token = "***********************************************************************"
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: put it into a file of its own and write `token.file = "/etc/haagent/do-token"`
haagent.toml:4:7: `key` must not be in this file: everybody who may see the file would know it
    4 | key = "****************************************************************"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: put it into a file of its own and write `key.file = "/etc/haagent/heartbeat.key"`
"#,
    },
    Case {
        name: "a token over several lines",
        file: &[
            r#"[digitalocean]
token = """
geheim
""" 
[heartbeat]
old_key = { inline = "geheim" }
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:2:9: `token` must not be in this file: everybody who may see the file would know it
    2 | token = "**
      |         ^^^
  mend: put it into a file of its own and write `token.file = "/etc/haagent/do-token"`
haagent.toml:6:13: unknown key `inline` in `old_key`
    6 | old_key = { inline = "******" }
      |             ^^^^^^
  mend: write `old_key.file`, `old_key.env` or `old_key.credential`
"#,
    },
    Case {
        name: "a misspelt token, unquoted",
        file: &[
            r#"[digitalocean]
tokn = geheim
[heartbeat]
key = "gehei
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:2:8: this value must be in quotes
    2 | tokn = ******
      |        ^^^^^^
  mend: a secret must not be in this file: write `.file = "/PATH"` for it
haagent.toml:4:13: this is no TOML: invalid basic string, expected `"`
    4 | key = "*****
      |             ^
  mend: end the text with the quote it begins with
"#,
    },
    Case {
        name: "secrets from several places, or none",
        file: &[
            r#"[digitalocean]
token = { file = "/a", env = "B" }
[heartbeat]
key = {}
old_key.fiel = "/a"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:2:9: `token` says several places
    2 | token = { file = "/a", env = "B" }
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: leave one
haagent.toml:4:7: `key` says no place
    4 | key = {}
      |       ^^
  mend: write one of `key.file`, `key.env` or `key.credential`
haagent.toml:5:9: unknown key `fiel` in `old_key`
    5 | old_key.fiel = "**"
      |         ^^^^
  mend: did you mean `old_key.file`?
"#,
    },
    Case {
        name: "sources that are no sources",
        file: &[
            r#"[digitalocean]
token.env = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[heartbeat]
key.file = "heartbeat.key"
old_key.credential = "/run/key"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:2:13: `env` must be the name of a variable, not its value
    2 | token.env = "dop_v1_****************************************************************"
      |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: write "DO_TOKEN"
haagent.toml:4:12: `file` is no absolute path
    4 | key.file = "*************"
      |            ^^^^^^^^^^^^^^^
  mend: write the path from the root: "/etc/haagent/heartbeat.key"
haagent.toml:5:22: `credential` must be a name, not a path or a value
    5 | old_key.credential = "/run/key"
      |                      ^^^^^^^^^^
  mend: write "do-token"
"#,
    },
    Case {
        name: "a key and none",
        file: &[
            r#"[digitalocean]
token.env = "DO_TOKEN"
[heartbeat]
key.file = "/a"
insecure = true
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: "haagent.toml:5:12: `insecure = true` beside a `key`: only one can be meant
    5 | insecure = true
      |            ^^^^
  mend: take one of them out
",
    },
    Case {
        name: "an old key and no new one",
        file: &[
            r#"[digitalocean]
token.env = "DO_TOKEN"
[heartbeat]
old_key.file = "/a"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:4:1: `old_key` without a `key`
    4 | old_key.file = "/a"
      | ^^^^^^^
  mend: write `key.file = "..."` with the new key
"#,
    },
    Case {
        name: "one place for both keys",
        file: &[
            HEAD,
            r#"old_key.file = "/etc/haagent/heartbeat.key"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:1: `old_key` is read from the same place as `key`
    5 | old_key.file = "/etc/haagent/heartbeat.key"
      | ^^^^^^^
  mend: copy the old key to a file of its own, or take `old_key` out
"#,
    },
];
