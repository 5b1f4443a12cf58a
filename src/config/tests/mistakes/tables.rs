//! Tables and keys: misspelt, misplaced, missing, of another shape, and what is no TOML.

use crate::config::tests::{CHECK, CLAIM, Case, HEAD, WEB};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "single brackets around a check",
        file: &[
            HEAD,
            WEB,
            r#"[group.web.check]
docker.running = 10
docker.label = "app=web"
"#,
            CLAIM,
        ],
        told: "haagent.toml:7:1: [group.web.check] must have double brackets: a group may have several
    7 | [group.web.check]
      | ^^^^^^^^^^^^^^^^^
  mend: write `[[group.web.check]]`
",
    },
    Case {
        name: "plural of a table's name",
        file: &[
            HEAD,
            WEB,
            "[[group.web.checks]]
docker.running = 10
",
            CLAIM,
        ],
        told: "haagent.toml:7:13: unknown key `checks` in [group.web]
    7 | [[group.web.checks]]
      |             ^^^^^^
  mend: did you mean `[[group.web.check]]`?
",
    },
    Case {
        name: "a group without a name",
        file: &[
            HEAD,
            r#"[[group]]
peers = ["10.114.0.4", "10.114.0.5"]
"#,
        ],
        told: "haagent.toml:5:3: [[group]] has no name
    5 | [[group]]
      |   ^^^^^
  mend: write `[group.NAME]`: single brackets, and a name
",
    },
    Case {
        name: "a group's key after its claim",
        file: &[
            HEAD,
            WEB,
            CHECK,
            CLAIM,
            "preempt = true
",
        ],
        told: "haagent.toml:12:1: `preempt` belongs in [group.web], not [[group.web.claim]]
   12 | preempt = true
      | ^^^^^^^
  mend: move it up under [group.web], before the first [[group.web...]] (line 7)
",
    },
    Case {
        name: "an empty file",
        file: &[],
        told: r#"haagent.toml: there is no group
  mend: add a table [group.NAME], NAME being yours to choose
haagent.toml: there is no heartbeat key
  mend: haagent keygen /etc/haagent/heartbeat.key, and under [heartbeat] `key.file = "/etc/haagent/heartbeat.key"`
haagent.toml: there is no API token
  mend: under [digitalocean] write `token.file = "/etc/haagent/do-token"`
"#,
    },
    Case {
        name: "a check and a claim of no kind",
        file: &[
            HEAD,
            WEB,
            r#"[[group.web.check]]
name = "x"
[[group.web.claim]]
"#,
        ],
        told: r#"haagent.toml:7:1: [[group.web.check]] does not say what to check
    7 | [[group.web.check]]
      | ^^^^^^^^^^^^^^^^^^^
  mend: add, for one, `docker.running = 10`
haagent.toml:9:1: [[group.web.claim]] does not say what to claim
    9 | [[group.web.claim]]
      | ^^^^^^^^^^^^^^^^^^^
  mend: add `digitalocean.reserved_ip = "203.0.113.10"`
"#,
    },
    Case {
        name: "no claim",
        file: &[HEAD, WEB, CHECK],
        told: r#"haagent.toml:5:1: [group.web] claims nothing
    5 | [group.web]
      | ^^^^^^^^^^^
  mend: add a table [[group.web.claim]] with `digitalocean.reserved_ip = "203.0.113.10"`
"#,
    },
    Case {
        name: "what is not in this version yet",
        file: &[
            HEAD,
            r#"[node]
maintenance = "drain"
[control]
http = "127.0.0.1:17113"
[group.web]
peers_tag = "web"
witness = true
majority = true
flap = { moves = 4, window = "10m" }
[group.web.hooks]
demote = ["/usr/local/bin/demote"]
[[group.web.check]]
http.url = "http://127.0.0.1/"
[[group.web.check]]
docker.running = 1
docker.project = "web"
[[group.web.claim]]
digitalocean.reserved_ip = "auto"
[[group.web.claim]]
address.ip = "10.0.0.9"
"#,
        ],
        told: r#"haagent.toml:6:15: `maintenance = "drain"` is not in this version yet
    6 | maintenance = "drain"
      |               ^^^^^^^
  mend: take it out, or write "ignore"
haagent.toml:8:1: `http` is not in this version yet
    8 | http = "127.0.0.1:17113"
      | ^^^^
  mend: take it out
haagent.toml:10:1: `peers_tag` is not in this version yet
   10 | peers_tag = "web"
      | ^^^^^^^^^
  mend: take it out
haagent.toml:11:1: `witness` is not in this version yet
   11 | witness = true
      | ^^^^^^^
  mend: take it out
haagent.toml:12:12: `majority = true` is not in this version yet
   12 | majority = true
      |            ^^^^
  mend: write "auto" or false
haagent.toml:13:1: `flap` is not in this version yet
   13 | flap = { moves = 4, window = "10m" }
      | ^^^^
  mend: take it out
haagent.toml:15:1: `demote` is not in this version yet
   15 | demote = ["/usr/local/bin/demote"]
      | ^^^^^^
  mend: take it out
haagent.toml:17:1: `http` is not in this version yet
   17 | http.url = "http://127.0.0.1/"
      | ^^^^
  mend: take it out
haagent.toml:20:8: `project` is not in this version yet
   20 | docker.project = "web"
      |        ^^^^^^^
  mend: take it out
haagent.toml:22:28: `reserved_ip = "auto"` is not in this version yet
   22 | digitalocean.reserved_ip = "auto"
      |                            ^^^^^^
  mend: write the address itself
haagent.toml:23:1: a second claim in [group.web]: a droplet holds at most one reserved IPv4 at a time
   23 | [[group.web.claim]]
      | ^^^^^^^^^^^^^^^^^^^
  mend: take one of them out
haagent.toml:24:1: `address` is not in this version yet
   24 | address.ip = "10.0.0.9"
      | ^^^^^^^
  mend: take it out
"#,
    },
    Case {
        name: "keys that lack their kind",
        file: &[
            HEAD,
            WEB,
            r#"[[group.web.check]]
running = 10
[[group.web.claim]]
reserved_ip = "203.0.113.10"
"#,
        ],
        told: r#"haagent.toml:8:1: `running` belongs in `docker`, not [[group.web.check]]
    8 | running = 10
      | ^^^^^^^
  mend: write `docker.running`
haagent.toml:10:1: `reserved_ip` belongs in `digitalocean`, not [[group.web.claim]]
   10 | reserved_ip = "203.0.113.10"
      | ^^^^^^^^^^^
  mend: write `digitalocean.reserved_ip`
"#,
    },
    Case {
        name: "a kind without its key",
        file: &[
            HEAD,
            WEB,
            r#"[[group.web.check]]
docker = 10
[[group.web.claim]]
digitalocean = "203.0.113.10"
"#,
        ],
        told: r#"haagent.toml:8:10: `docker` must be a table, not a whole number
    8 | docker = 10
      |          ^^
  mend: write `docker.running = 10`
haagent.toml:10:16: `digitalocean` must be a table, not a text
   10 | digitalocean = "203.0.113.10"
      |                ^^^^^^^^^^^^^^
  mend: write `digitalocean.reserved_ip = ...`
"#,
    },
    Case {
        name: "keys under the wrong table",
        file: &[
            HEAD,
            r#"socket = "/run/docker.sock"
preempt = true
[node]
port = 1
token = "geheim"
[docker]
peers = []
"#,
            WEB,
            r#"interval = "1s"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
docker.interval = "1s"
docker.priority = 5
"#,
            CLAIM,
        ],
        told: r#"haagent.toml:5:1: `socket` belongs in [control] or [docker], not [heartbeat]
    5 | socket = "/run/docker.sock"
      | ^^^^^^
  mend: move it under [control] or [docker]
haagent.toml:6:1: `preempt` belongs in [group.NAME], not [heartbeat]
    6 | preempt = true
      | ^^^^^^^
  mend: move it under [group.NAME]
haagent.toml:8:1: `port` belongs in [heartbeat], not [node]
    8 | port = 1
      | ^^^^
  mend: move it under [heartbeat]
haagent.toml:9:1: `token` belongs in [digitalocean], not [node]
    9 | token = "******"
      | ^^^^^
  mend: move it under [digitalocean]
haagent.toml:11:1: `peers` belongs in [group.NAME], not [docker]
   11 | peers = []
      | ^^^^^
  mend: move it under [group.NAME]
haagent.toml:14:1: `interval` belongs in [heartbeat] or [[group.web.check]], not [group.web]
   14 | interval = "1s"
      | ^^^^^^^^
  mend: move it under [heartbeat] or [[group.web.check]]
haagent.toml:18:8: `interval` belongs in [[group.web.check]], not `docker`
   18 | docker.interval = "1s"
      |        ^^^^^^^^
  mend: write it under [[group.web.check]], without `docker.`
haagent.toml:19:8: `priority` belongs in [group.web], not `docker`
   19 | docker.priority = 5
      |        ^^^^^^^^
  mend: move it up under [group.web], before the first [[group.web...]] (line 15)
"#,
    },
    Case {
        name: "keys above the first table",
        file: &[
            "peers = []
hallo = 1
node = 7
",
            HEAD,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: "haagent.toml:1:1: `peers` belongs in [group.NAME], not above the first table
    1 | peers = []
      | ^^^^^
  mend: move it under [group.NAME]
haagent.toml:2:1: unknown key `hallo` above the first table
    2 | hallo = 1
      | ^^^^^
  mend: known here: `node`, `heartbeat`, `control`, `digitalocean`, `docker` or `group`
haagent.toml:3:8: `node` must be a table, not a whole number
    3 | node = 7
      |        ^
  mend: write `[node]`
",
    },
    Case {
        name: "misspelt keys and tables",
        file: &[
            HEAD,
            r#"intervall = "1s"
[nodes]
name = "a"
[contrl]
[zzz]
"#,
            WEB,
            "pririty = 5
whatever = 5
nopreempt = true
",
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:1: unknown key `intervall` in [heartbeat]
    5 | intervall = "1s"
      | ^^^^^^^^^
  mend: did you mean `interval`?
haagent.toml:6:2: unknown table [nodes]
    6 | [nodes]
      |  ^^^^^
  mend: did you mean `[node]`?
haagent.toml:8:2: unknown table [contrl]
    8 | [contrl]
      |  ^^^^^^
  mend: did you mean `[control]`?
haagent.toml:9:2: unknown table [zzz]
    9 | [zzz]
      |  ^^^
  mend: known here: `node`, `heartbeat`, `control`, `digitalocean`, `docker` or `group`
haagent.toml:12:1: unknown key `pririty` in [group.web]
   12 | pririty = 5
      | ^^^^^^^
  mend: did you mean `priority`?
haagent.toml:13:1: unknown key `whatever` in [group.web]
   13 | whatever = 5
      | ^^^^^^^^
  mend: known here: `peers`, `priority`, `priorities`, `probe`, `majority`, `preempt`, `preempt_delay`, `claim_timeout`, `verify_interval`, `readiness_interval`, `check`, `claim` or `hooks`
haagent.toml:14:1: unknown key `nopreempt` in [group.web]
   14 | nopreempt = true
      | ^^^^^^^^^
  mend: take it out: without `preempt = true` nobody preempts
"#,
    },
    Case {
        name: "tables that are no tables",
        file: &[
            HEAD,
            r#"[[node]]
name = "a"
"#,
            WEB,
            r#"priorities = 5
[[group.api]]
peers = []
[group."a b"]
"#,
        ],
        told: r#"haagent.toml:5:3: [[node]] must have single brackets: there is one such table
    5 | [[node]]
      |   ^^^^
  mend: write `[node]`
haagent.toml:7:1: [group.web] claims nothing
    7 | [group.web]
      | ^^^^^^^^^^^
  mend: add a table [[group.web.claim]] with `digitalocean.reserved_ip = "203.0.113.10"`
haagent.toml:7:1: warning: [group.web] has no check: only a dead host or agent moves the address
    7 | [group.web]
      | ^^^^^^^^^^^
  mend: add a table [[group.web.check]] with, for one, `docker.running = 10`
haagent.toml:9:14: `priorities` must be a table, not a whole number
    9 | priorities = 5
      |              ^
  mend: write `priorities = { "node name" = 150 }`
haagent.toml:10:9: [[group.api]] must have single brackets: there is one group of a name
   10 | [[group.api]]
      |         ^^^
  mend: write `[group.api]`
haagent.toml:12:8: "a b" cannot be the name of a group
   12 | [group."a b"]
      |        ^^^^^
  mend: write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit
"#,
    },
    Case {
        name: "a group's keys without a group",
        file: &[
            HEAD,
            r#"[group]
peers = ["10.114.0.4"]
"#,
        ],
        told: r#"haagent.toml:6:1: `peers` belongs in [group.NAME], not [group]
    6 | peers = ["10.114.0.4"]
      | ^^^^^
  mend: give the group a name: `[group.NAME]`
"#,
    },
    Case {
        name: "a check of no group",
        file: &[
            HEAD,
            "[[group.check]]
docker.running = 1
",
        ],
        told: "haagent.toml:5:9: [[group.check]] does not say of which group
    5 | [[group.check]]
      |         ^^^^^
  mend: write `[[group.NAME.check]]`
",
    },
    Case {
        name: "a value that is missing",
        file: &[
            HEAD,
            "interval =
port = 17112
port = 17113
[node]
realtime = tru
",
            WEB,
            CHECK,
            CLAIM,
        ],
        told: "haagent.toml:5:11: there is no value
    5 | interval =
      |           ^
  mend: write one after `=`
haagent.toml:7:1: `port` is written twice
    7 | port = 17113
      | ^^^^
  mend: take one of them out
haagent.toml:9:12: `tru` is no value
    9 | realtime = tru
      |            ^^^
  mend: write a number, true or false, or a text in quotes
",
    },
    Case {
        name: "what is no TOML",
        file: &[
            HEAD,
            r#"[node]
name = "a
realtime = ja
this is no line
on_stop =
address = 10.0.0.5
name = "b"
[group.web
"#,
        ],
        told: r#"haagent.toml:6:10: this is no TOML: invalid basic string, expected `"`
    6 | name = "a
      |          ^
  mend: end the text with the quote it begins with
haagent.toml:7:12: `ja` must be in quotes
    7 | realtime = ja
      |            ^^
  mend: write "ja"
haagent.toml:8:1: `this` has no value
    8 | this is no line
      | ^^^^^
  mend: write `KEY = VALUE`, or `#` before a comment
haagent.toml:12:11: this is no TOML: unclosed table, expected `]`
   12 | [group.web
      |           ^
  mend: write the missing bracket
"#,
    },
    Case {
        name: "twice the same table",
        file: &[
            HEAD,
            WEB,
            CHECK,
            CLAIM,
            "[group.web]
preempt = true
",
        ],
        told: "haagent.toml:12:8: `web` is written twice
   12 | [group.web]
      |        ^^^
  mend: write all keys of a table under one header; tables that may be several have [[double brackets]] each
",
    },
];
