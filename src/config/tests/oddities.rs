//! Files that are used, and what is said of them all the same.

use super::{CHECK, CLAIM, Case, HEAD, WEB};

/// Files that are used all the same.
pub(super) const ODDITIES: &[Case] = &[
    Case {
        name: "every container counts",
        file: &[HEAD, WEB, "[[group.web.check]]
docker.running = 10
", CLAIM],
        told: r#"haagent.toml:8:1: warning: every container of this host counts, also one started by hand or by another service
    8 | docker.running = 10
      | ^^^^^^
  mend: choose them: `docker.label = "app=web"` or `docker.name = "web"`
"#,
    },
    Case {
        name: "a weight that never moves anything",
        file: &[HEAD, WEB, CHECK, "weight = -20
", CLAIM],
        told: "haagent.toml:10:10: warning: if check docker fails on the master nothing moves: `preempt` is false, and with a `weight` it is no fault
   10 | weight = -20
      |          ^^^
  mend: take `weight` out, or add `preempt = true` to the group
",
    },
    Case {
        name: "a weight that is too small",
        file: &[HEAD, WEB, r#"preempt = true
priorities = { "web-1" = 150 }
"#, CHECK, "weight = -20
", CLAIM],
        told: "haagent.toml:12:10: warning: if check docker fails on the node of priority 150 (150 - 20 = 130) it still outranks 100: nothing moves
   12 | weight = -20
      |          ^^^
  mend: choose a greater weight, or take it out: failing then means Fault
",
    },
    Case {
        name: "a bonus that is too small",
        file: &[HEAD, WEB, r#"preempt = true
priorities = { "web-1" = 150 }
"#, CHECK, "weight = 20
", CLAIM],
        told: "haagent.toml:12:10: warning: if check docker fails on the node of priority 150 it still outranks the other (100 + 20 = 120): nothing moves
   12 | weight = 20
      |          ^^
  mend: choose a greater weight, or take it out: failing then means Fault
",
    },
    Case {
        name: "a hasty heartbeat",
        file: &[HEAD, r#"interval = "100ms"
"#, WEB, CHECK, CLAIM],
        told: r#"haagent.toml:5:12: warning: a node that pauses for 300ms counts as dead, and a shared CPU may well pause that long
    5 | interval = "100ms"
      |            ^^^^^^^
  mend: keep this for dedicated CPUs; the default is "500ms"
"#,
    },
    Case {
        name: "three members and no majority",
        file: &[HEAD, r#"[group.web]
peers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
"#, CHECK, CLAIM],
        told: "haagent.toml:5:1: warning: 3 members could vote, but majority is not in this version yet: silence alone decides
    5 | [group.web]
      | ^^^^^^^^^^^
  mend: write `majority = false` to say that this is known
",
    },
    Case {
        name: "no authentication",
        file: &[r#"[digitalocean]
token.env = "DO_TOKEN"
api_url = "http://10.0.0.9"
[heartbeat]
insecure = true
"#, WEB, CHECK, CLAIM],
        told: r#"haagent.toml:3:11: warning: the token would cross the network in clear text
    3 | api_url = "http://10.0.0.9"
      |           ^^^^^^^^^^^^^^^^^
  mend: write `https://`
haagent.toml:5:12: warning: heartbeats are not authenticated: whoever can send to the port decides who is master
    5 | insecure = true
      |            ^^^^
  mend: haagent keygen /etc/haagent/heartbeat.key, and `key.file` in the place of `insecure`
"#,
    },
    Case {
        name: "a delay of nothing",
        file: &[HEAD, WEB, r#"preempt_delay = "5s"
"#, CLAIM],
        told: r#"haagent.toml:5:1: warning: [group.web] has no check: only a dead host or agent moves the address
    5 | [group.web]
      | ^^^^^^^^^^^
  mend: add a table [[group.web.check]] with, for one, `docker.running = 10`
haagent.toml:7:17: warning: `preempt_delay` does nothing without `preempt = true`
    7 | preempt_delay = "5s"
      |                 ^^^^
  mend: add `preempt = true`, or take it out
"#,
    },
    Case {
        name: "one peer only",
        file: &[HEAD, r#"[group.web]
peers = ["10.0.0.1"]
"#, CHECK, CLAIM],
        told: r#"haagent.toml:6:10: warning: `peers` has one member: should 10.0.0.1 be this node, nobody is left
    6 | peers = ["10.0.0.1"]
      |          ^^^^^^^^^^
  mend: list all members, this node too: `peers = ["10.114.0.4", "10.114.0.5"]`
"#,
    },
];
