//! Files that are refused, and every word that is said of them.

mod groups;
mod secrets;
mod tables;
mod values;

use super::Case;

/// Files that are refused.
pub(super) fn mistakes() -> impl Iterator<Item = &'static Case> {
    [tables::CASES, secrets::CASES, values::CASES, groups::CASES].into_iter().flatten().chain([&TWENTY_AT_ONCE])
}

/// Whoever mends a file wants to hear all of it in one go.
pub(super) const TWENTY_AT_ONCE: Case = Case {
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
};
