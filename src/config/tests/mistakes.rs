//! Files that are refused, and every word that is said of them.

use super::{CHECK, CLAIM, Case, HEAD, WEB};

/// Files that are refused.
pub(super) const MISTAKES: &[Case] = &[
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
        name: "one peer as a text",
        file: &[
            HEAD,
            r#"[group.web]
peers = "10.0.0.5"
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:6:9: `peers` must be a list, not a text
    6 | peers = "10.0.0.5"
      |         ^^^^^^^^^^
  mend: write `peers = ["10.0.0.5", ...]` with all members, this node too
"#,
    },
    Case {
        name: "a duration without a unit",
        file: &[
            HEAD,
            "interval = 1
",
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:12: `interval` must be a duration with a unit, not a whole number
    5 | interval = 1
      |            ^
  mend: write `interval = "1s"`
"#,
    },
    Case {
        name: "durations without a unit that cannot be seconds",
        file: &[
            HEAD,
            "interval = 500
",
            WEB,
            "verify_interval = 70000
",
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:12: `interval` must be a duration with a unit, not a whole number
    5 | interval = 500
      |            ^^^
  mend: write `interval = "500ms"`
haagent.toml:8:19: `verify_interval` must be a duration with a unit, not a whole number
    8 | verify_interval = 70000
      |                   ^^^^^
  mend: write a duration from "100ms" to "1m"
"#,
    },
    Case {
        name: "a duration without quotes",
        file: &[
            HEAD,
            "interval = 1s
",
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:12: `1s` must be in quotes
    5 | interval = 1s
      |            ^^
  mend: write "1s"
"#,
    },
    Case {
        name: "durations that are none",
        file: &[
            HEAD,
            r#"interval = "500"
[node]
[digitalocean.timeout]
a = 1
"#,
            WEB,
            r#"claim_timeout = "soon"
verify_interval = "1h"
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:5:12: `interval` = "500" is no duration
    5 | interval = "500"
      |            ^^^^^
  mend: write a number and its unit: "500ms", "1s", "5m", "1h"
haagent.toml:7:1: `timeout` must be a duration with a unit, not a table
    7 | [digitalocean.timeout]
      | ^^^^^^^^^^^^^^^^^^^^^^
  mend: write a duration from "500ms" to "30s"
haagent.toml:11:17: `claim_timeout` = "soon" is no duration
   11 | claim_timeout = "soon"
      |                 ^^^^^^
  mend: write a number and its unit: "500ms", "1s", "5m", "1h"
haagent.toml:12:19: `verify_interval` = "1h" is out of range
   12 | verify_interval = "1h"
      |                   ^^^^
  mend: write a duration from "100ms" to "1m"
"#,
    },
    Case {
        name: "a number in quotes",
        file: &[
            HEAD,
            WEB,
            r#"[[group.web.check]]
docker.running = "10"
"#,
            CLAIM,
        ],
        told: r#"haagent.toml:8:18: `running` must be a whole number, not a text
    8 | docker.running = "10"
      |                  ^^^^
  mend: write 10 without quotes
"#,
    },
    Case {
        name: "no other peer left",
        file: &[
            HEAD,
            r#"[node]
address = "10.0.0.5"
[group.web]
peers = ["10.0.0.5"]
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:8:9: besides this node nobody is left in `peers`
    8 | peers = ["10.0.0.5"]
      |         ^^^^^^^^^^^^
  mend: list all members, this node too: `peers = ["10.114.0.4", "10.114.0.5"]`
"#,
    },
    Case {
        name: "no peers at all",
        file: &[
            HEAD,
            "[group.web]
peers = []
",
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:6:9: besides this node nobody is left in `peers`
    6 | peers = []
      |         ^^
  mend: list all members, this node too: `peers = ["10.114.0.4", "10.114.0.5"]`
"#,
    },
    Case {
        name: "another group's address",
        file: &[
            HEAD,
            WEB,
            CHECK,
            CLAIM,
            r#"[group.api]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.api.check]]
docker.running = 1
docker.name = "api"
[[group.api.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"#,
        ],
        told: r#"haagent.toml:18:28: 203.0.113.10 is claimed by [group.web] already (line 11)
   18 | digitalocean.reserved_ip = "203.0.113.10"
      |                            ^^^^^^^^^^^^^^
  mend: let one group claim it: two would take it from each other
"#,
    },
    Case {
        name: "two reserved addresses on one node",
        file: &[
            HEAD,
            WEB,
            CHECK,
            CLAIM,
            r#"[group.api]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.api.check]]
docker.running = 1
docker.name = "api"
[[group.api.claim]]
digitalocean.reserved_ip = "203.0.113.11"
"#,
        ],
        told: r#"haagent.toml:18:28: [group.web] claims 203.0.113.10 on the same nodes already (line 11): a droplet holds at most one reserved IPv4 at a time
   18 | digitalocean.reserved_ip = "203.0.113.11"
      |                            ^^^^^^^^^^^^^^
  mend: run the other group on droplets of its own
"#,
    },
    Case {
        name: "two claims in one group",
        file: &[
            HEAD,
            WEB,
            CHECK,
            CLAIM,
            r#"[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.11"
"#,
        ],
        told: "haagent.toml:12:1: a second claim in [group.web]: a droplet holds at most one reserved IPv4 at a time
   12 | [[group.web.claim]]
      | ^^^^^^^^^^^^^^^^^^^
  mend: take one of them out
",
    },
    Case {
        name: "two checks of one kind without a name",
        file: &[HEAD, WEB, CHECK, CHECK, CLAIM],
        told: r#"haagent.toml:10:1: a second docker check without a `name` (the first: line 7)
   10 | [[group.web.check]]
      | ^^^^^^^^^^^^^^^^^^^
  mend: give each a name: `name = "..."`
"#,
    },
    Case {
        name: "two checks of one name",
        file: &[
            HEAD,
            WEB,
            CHECK,
            r#"name = "x"
"#,
            CHECK,
            r#"name = "x"
"#,
            CLAIM,
        ],
        told: r#"haagent.toml:14:8: a second check called "x" (the first: line 10)
   14 | name = "x"
      |        ^^^
  mend: give it another name: `name = "..."`
"#,
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
  mend: known here: `peers`, `priority`, `priorities`, `probe`, `majority`, `preempt`, `preempt_delay`, `claim_timeout`, `verify_interval`, `readiness_interval`, `check`, `claim`, `hooks`, `peers_tag`, `witness`, `witnesses` or `flap`
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
    Case {
        name: "words that are not known",
        file: &[
            HEAD,
            r#"[node]
on_stop = "resgin"
name = "web 1"
address = "10.0.0.5/24"
state_dir = "state"
realtime = "true"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:6:11: `on_stop` = "resgin" is not known
    6 | on_stop = "resgin"
      |           ^^^^^^^^
  mend: did you mean "resign"?
haagent.toml:7:8: "web 1" cannot be the name of a node
    7 | name = "web 1"
      |        ^^^^^^^
  mend: write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit
haagent.toml:8:11: "10.0.0.5/24" in `address` is no IPv4 address
    8 | address = "10.0.0.5/24"
      |           ^^^^^^^^^^^^^
  mend: write the address alone: "10.0.0.5"
haagent.toml:9:13: `state_dir` = "state" is no absolute path
    9 | state_dir = "state"
      |             ^^^^^^^
  mend: write the path from the root: "/..."
haagent.toml:10:12: `realtime` must be true or false, not a text
   10 | realtime = "true"
      |            ^^^^^^
  mend: write true without quotes
"#,
    },
    Case {
        name: "numbers out of range",
        file: &[
            HEAD,
            r#"port = 0
interval = "5ms"
[digitalocean.x]
"#,
            WEB,
            r#"priority = 255
priorities = { "a b" = 1, "c" = 300 }
[[group.web.check]]
docker.running = 99999999999999999999999
rise = 0
weight = 0
timeout = 1.5
"#,
            CLAIM,
        ],
        told: r#"haagent.toml:5:8: `port` = 0 is out of range
    5 | port = 0
      |        ^
  mend: write a number from 1 to 65535
haagent.toml:6:12: `interval` = "5ms" is out of range
    6 | interval = "5ms"
      |            ^^^^^
  mend: write a duration from "20ms" to "10s"
haagent.toml:7:15: unknown key `x` in [digitalocean]
    7 | [digitalocean.x]
      |               ^
  mend: known here: `token`, `api_url`, `ca_file`, `metadata_url`, `droplet_id`, `timeout` or `calls_per_minute`
haagent.toml:10:12: `priority` = 255 is out of range
   10 | priority = 255
      |            ^^^
  mend: write a number from 1 to 254
haagent.toml:11:16: "a b" cannot be the name of a node
   11 | priorities = { "a b" = 1, "c" = 300 }
      |                ^^^^^
  mend: write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit
haagent.toml:11:33: `priorities` = 300 is out of range
   11 | priorities = { "a b" = 1, "c" = 300 }
      |                                 ^^^
  mend: write a number from 1 to 254
haagent.toml:13:18: `running` = 99999999999999999999999 is out of range
   13 | docker.running = 99999999999999999999999
      |                  ^^^^^^^^^^^^^^^^^^^^^^^
  mend: write a number from 0 to 10000
haagent.toml:14:8: `rise` = 0 is out of range
   14 | rise = 0
      |        ^
  mend: write a number from 1 to 100
haagent.toml:15:10: `weight` = 0 would make the check do nothing
   15 | weight = 0
      |          ^
  mend: leave it out: failing means Fault
haagent.toml:16:11: `timeout` must be a duration with a unit, not a number with a fraction
   16 | timeout = 1.5
      |           ^^^
  mend: write a duration from "50ms" to "5m"
"#,
    },
    Case {
        name: "counts that do not go together",
        file: &[
            HEAD,
            WEB,
            r#"[[group.web.check]]
name = "a"
docker.min = 5
docker.max = 4
[[group.web.check]]
name = "b"
docker.running = 5
docker.max = 6
[[group.web.check]]
name = "c"
docker.min = 0
[[group.web.check]]
name = "d"
docker.label = "app=web"
"#,
            CLAIM,
        ],
        told: r#"haagent.toml:9:14: `min` (5) must not be above `max` (4): no number of containers is both
    9 | docker.min = 5
      |              ^
  mend: write `min` = 1 or more, and `max` not below it
haagent.toml:13:18: `running` beside `min` or `max`: `running` already says the exact number
   13 | docker.running = 5
      |                  ^
  mend: leave `running`, or `min` and `max`
haagent.toml:17:14: `min` = 0 without `max` is passed by every number of containers
   17 | docker.min = 0
      |              ^
  mend: write `min` = 1 or more, and `max` not below it
haagent.toml:20:1: `docker` does not say how many containers
   20 | docker.label = "app=web"
      | ^^^^^^
  mend: add `docker.running = 10`, or `docker.min` or `docker.max`
"#,
    },
    Case {
        name: "times that do not go together",
        file: &[
            HEAD,
            r#"[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
claim_timeout = "5s"
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:7:17: `claim_timeout` (5s) must be longer than `timeout` in [digitalocean] (5s): one slow answer would end a claim
    7 | claim_timeout = "5s"
      |                 ^^^^
  mend: make `claim_timeout` longer; its default is "1m"
"#,
    },
    Case {
        name: "peers that cannot be",
        file: &[
            HEAD,
            r#"[group.web]
peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:6:22: 10.0.0.4 is in `peers` twice
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                      ^^^^^^^^^^
  mend: take one out
haagent.toml:6:34: "fd00::1" in `peers` is no IPv4 address
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                                  ^^^^^^^^^
  mend: IPv6 is not in this version yet: write an IPv4 address
haagent.toml:6:45: "10.0.0.5:17112" in `peers` is no IPv4 address
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                                             ^^^^^^^^^^^^^^^^
  mend: write the address alone: "10.0.0.5"
haagent.toml:6:63: 0.0.0.0 in `peers` is not the address of one host
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                                                               ^^^^^^^^^
  mend: write the host's own address
haagent.toml:6:74: "web-1" in `peers` is no IPv4 address
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                                                                          ^^^^^^^
  mend: write four numbers: "10.114.0.5"
haagent.toml:6:83: `peers` must be a list of addresses in quotes, not a whole number
    6 | peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
      |                                                                                   ^
  mend: write `peers = ["10.114.0.4", "10.114.0.5"]`
"#,
    },
    Case {
        name: "the reserved address as a peer",
        file: &[
            HEAD,
            r#"[group.web]
peers = ["10.114.0.4", "203.0.113.10"]
"#,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:6:24: 203.0.113.10 is the reserved IP: heartbeats to it would always reach the master
    6 | peers = ["10.114.0.4", "203.0.113.10"]
      |                        ^^^^^^^^^^^^^^
  mend: write the member's private address
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
  mend: write true or false, or a text in quotes
",
    },
    Case {
        name: "a metadata service with TLS",
        file: &[
            r#"[digitalocean]
token.env = "DO_TOKEN"
metadata_url = "https://169.254.169.254"
[heartbeat]
key.file = "/a"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:3:16: `metadata_url` must begin with http://: the metadata service has no TLS
    3 | metadata_url = "https://169.254.169.254"
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: leave it out for http://169.254.169.254
"#,
    },
    Case {
        name: "sockets and URLs",
        file: &[
            r#"[digitalocean]
token.env = "DO_TOKEN"
api_url = "https://me:word@api"
metadata_url = "169.254.169.254"
[heartbeat]
key.file = "/a"
[docker]
socket = "unix:///var/run/docker.sock"
[control]
socket = "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
"#,
            WEB,
            CHECK,
            CLAIM,
        ],
        told: r#"haagent.toml:3:11: `api_url` is no base URL: it must not hold a user name or a password
    3 | api_url = "https://me:word@api"
      |           ^^^^^^^^^^^^^^^^^^^^^
  mend: write `https://HOST` or `https://HOST:PORT`
haagent.toml:4:16: `metadata_url` is no base URL: it must begin with http:// or https://
    4 | metadata_url = "169.254.169.254"
      |                ^^^^^^^^^^^^^^^^^
  mend: write `https://HOST` or `https://HOST:PORT`
haagent.toml:8:10: `socket` = "unix:///var/run/docker.sock" must be a path, not a URL
    8 | socket = "unix:///var/run/docker.sock"
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: write `socket = "/var/run/docker.sock"`
haagent.toml:10:10: `socket` has 108 bytes; a socket's path has at most 107
   10 | socket = "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  mend: choose a shorter path
"#,
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
    Case {
        name: "twenty at once",
        file: &[r#"[digitalocean]
token = "geheim"
timeout = 5
api_url = "api"
droplet_id = "x"
[heartbeat]
port = 70000
interval = "1ms"
keys.file = "/a"
insecure = 1
[node]
name = ""
adress = "auto"
on_stop = "stop"
[group.web]
peers = ["10.0.0.4", "10.0.0.4"]
priority = 0
preempt = "yes"
claim_timeout = "1"
[[group.web.check]]
docker.running = "10"
rise = 0
fall = true
intervall = "1s"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.300"
majority = "auto"
"#],
        told: r#"haagent.toml:2:9: `token` must not be in this file: everybody who may see the file would know it
    2 | token = "******"
      |         ^^^^^^^^
  mend: put it into a file of its own and write `token.file = "/etc/haagent/do-token"`
haagent.toml:3:11: `timeout` must be a duration with a unit, not a whole number
    3 | timeout = 5
      |           ^
  mend: write `timeout = "5s"`
haagent.toml:4:11: `api_url` is no base URL: it must begin with http:// or https://
    4 | api_url = "api"
      |           ^^^^^
  mend: write `https://HOST` or `https://HOST:PORT`
haagent.toml:5:14: `droplet_id` must be a whole number, not a text
    5 | droplet_id = "x"
      |              ^^^
  mend: write a number from 1 to 9223372036854775807
haagent.toml:6:2: there is no heartbeat key
    6 | [heartbeat]
      |  ^^^^^^^^^
  mend: haagent keygen /etc/haagent/heartbeat.key, and under [heartbeat] `key.file = "/etc/haagent/heartbeat.key"`
haagent.toml:7:8: `port` = 70000 is out of range
    7 | port = 70000
      |        ^^^^^
  mend: write a number from 1 to 65535
haagent.toml:8:12: `interval` = "1ms" is out of range
    8 | interval = "1ms"
      |            ^^^^^
  mend: write a duration from "20ms" to "10s"
haagent.toml:9:1: unknown key `keys` in [heartbeat]
    9 | keys.file = "/a"
      | ^^^^
  mend: did you mean `key`?
haagent.toml:10:12: `insecure` must be true or false, not a whole number
   10 | insecure = 1
      |            ^
  mend: write `insecure = true`
haagent.toml:12:8: "" cannot be the name of a node
   12 | name = ""
      |        ^^
  mend: write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit
haagent.toml:13:1: unknown key `adress` in [node]
   13 | adress = "auto"
      | ^^^^^^
  mend: did you mean `address`?
haagent.toml:14:11: `on_stop` = "stop" is not known
   14 | on_stop = "stop"
      |           ^^^^^^
  mend: write "resign" or "keep"
haagent.toml:16:22: 10.0.0.4 is in `peers` twice
   16 | peers = ["10.0.0.4", "10.0.0.4"]
      |                      ^^^^^^^^^^
  mend: take one out
haagent.toml:17:12: `priority` = 0 is out of range
   17 | priority = 0
      |            ^
  mend: write a number from 1 to 254
haagent.toml:18:11: `preempt` must be true or false, not a text
   18 | preempt = "yes"
      |           ^^^^^
  mend: write `preempt = true`
haagent.toml:19:17: `claim_timeout` = "1" is no duration
   19 | claim_timeout = "1"
      |                 ^^^
  mend: write a number and its unit: "500ms", "1s", "5m", "1h"
haagent.toml:21:18: `running` must be a whole number, not a text
   21 | docker.running = "10"
      |                  ^^^^
  mend: write 10 without quotes
haagent.toml:22:8: `rise` = 0 is out of range
   22 | rise = 0
      |        ^
  mend: write a number from 1 to 100
haagent.toml:23:8: `fall` must be a whole number, not true or false
   23 | fall = true
      |        ^^^^
  mend: write a number from 1 to 100
haagent.toml:24:1: unknown key `intervall` in [[group.web.check]]
   24 | intervall = "1s"
      | ^^^^^^^^^
  mend: did you mean `interval`?
haagent.toml:26:28: "203.0.113.300" in `reserved_ip` is no IPv4 address
   26 | digitalocean.reserved_ip = "203.0.113.300"
      |                            ^^^^^^^^^^^^^^^
  mend: write four numbers: "10.114.0.5"
haagent.toml:27:1: `majority` belongs in [group.web], not [[group.web.claim]]
   27 | majority = "auto"
      | ^^^^^^^^
  mend: move it up under [group.web], before the first [[group.web...]] (line 20)
"#,
    },
];
