//! Values: of another kind, without a unit, out of range, and two that do not go together.

use crate::config::tests::{CHECK, CLAIM, Case, HEAD, WEB};

pub(super) const CASES: &[Case] = &[
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
];
