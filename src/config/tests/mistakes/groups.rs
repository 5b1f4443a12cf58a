//! Groups: their members, and what two groups, two claims or two checks cannot share.

use crate::config::tests::{CHECK, CLAIM, Case, HEAD, WEB};

pub(super) const CASES: &[Case] = &[
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
];
