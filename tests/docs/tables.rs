//! The tables and the numbers of docs/protocol.md, compared with what the real codec writes.

use std::net::Ipv4Addr;
use std::time::Duration;

use haagent::proto::claim::event::ClaimState;
use haagent::proto::heartbeat::bulletin::{BulletinPart, MAX_PARTS, PART_LENGTH};
use haagent::proto::heartbeat::codec::{Encoder, MAX_DATAGRAM, Message};
use haagent::proto::heartbeat::mac::{Route, TAG_LENGTH};
use haagent::proto::heartbeat::{DeposedBy, Follows, GroupReport, HandOver, Header, Leaving, NodeState, Offer};
use haagent::proto::ids::{DropletId, Seq};

use super::protocol::{BOOT_1, Field, PAGE, WEB_1, WEB_2, backup, examples, fields, header, keys};

/// The body of a group's record as the real codec writes it.
fn body(report: &GroupReport) -> Vec<u8> {
    let mut memory = [0; MAX_DATAGRAM];
    let mut encoder = Encoder::new(&mut memory, &header("web-1", BOOT_1, 1, None));
    assert!(encoder.group(report));
    let datagram = encoder.seal(&keys(), Route { from: WEB_1, to: WEB_2 });
    datagram[37..datagram.len() - TAG_LENGTH].to_vec()
}

/// The flags of a report that the others of `before` are not.
fn new_bit(before: &GroupReport, after: &GroupReport) -> u32 {
    let flags = |report| u16::from_be_bytes(body(report)[15..17].try_into().unwrap());
    let added = flags(after) & !flags(before);
    assert_eq!(added.count_ones(), 1, "{added:#x}");
    added.trailing_zeros()
}

type Change = fn(&mut GroupReport);

/// What a report may say beside what it always says: its name on the page, its size there, and how to say it.
const OPTIONAL: [(&str, &str, Change); 8] = [
    ("foreign", "8", |report| report.base.foreign = Some(DropletId(1))),
    ("takeover ago", "4", |report| report.takeover_ago = Some(Duration::ZERO)),
    ("verified ago", "4", |report| report.verified_ago = Some(Duration::ZERO)),
    ("proof age", "4", |report| report.readiness.proof_age = Some(Duration::ZERO)),
    ("master, heard ago", "4 + 4", |report| {
        report.follows = Some(Follows { master: WEB_1, heard_ago: Duration::ZERO });
    }),
    ("offer to, offer cause, cause ago", "4 + 1 + 4", |report| {
        report.offer = Some(Offer { to: WEB_1, cause: HandOver::Drain, began_ago: Duration::ZERO });
    }),
    ("deposed by", "4", |report| report.deposed_by = Some(DeposedBy::Member(WEB_1))),
    ("successor", "4", |report| report.leaving = Some(Leaving { successor: Some(WEB_1) })),
];

const FACTS: [(&str, Change); 7] = [
    ("candidate", |report| report.candidate = true),
    ("sent", |report| report.sent = true),
    ("ready", |report| report.readiness.ready = true),
    ("reach", |report| report.reach = true),
    ("wants", |report| report.wants = true),
    ("leaving", |report| report.leaving = Some(Leaving { successor: None })),
    ("deposed by unknown", |report| report.deposed_by = Some(DeposedBy::Unknown)),
];

/// The rows that the tables of the page should have, by the real codec.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    let [_, follows, _, part] = examples();
    for (example, from, until) in [(&follows, 0, "kind"), (&follows, 57, "member"), (&part, 57, "bytes")] {
        let keys = keys();
        let datagram = example.datagram();
        let message = Message::decode(keys.verify(example.route, &datagram).unwrap()).unwrap();
        let mut offset = 0;
        for Field { bytes, name, .. } in fields(&message, &[]) {
            if offset >= from {
                if name == until {
                    break;
                }
                rows.push(format!("| {} | {} | {name} |", offset - from, bytes.len()));
            }
            offset += bytes.len();
        }
    }
    let bare = GroupReport { candidate: false, reach: false, ..backup() };
    for (name, size, change) in OPTIONAL {
        let (mut before, mut after) = (bare, bare);
        if name == "successor" {
            before.leaving = Some(Leaving { successor: None });
        }
        change(&mut after);
        let grown = body(&after).len() - body(&before).len();
        assert_eq!(size.split(" + ").map(|part| part.parse::<usize>().unwrap()).sum::<usize>(), grown, "{name}");
        rows.push(format!("| {} | {size} | {name} |", new_bit(&before, &after)));
    }
    for (name, change) in FACTS {
        let mut after = bare;
        change(&mut after);
        rows.push(format!("| {} | {name} |", new_bit(&bare, &after)));
    }
    rows
}

fn missing(page: &str) -> Vec<String> {
    rows().into_iter().filter(|row| !page.contains(row)).collect()
}

#[test]
fn the_tables_have_every_field_at_its_place() {
    assert_eq!(missing(PAGE), [""; 0], "rows that docs/protocol.md lacks");
    let page = PAGE.replace("| 9 | 4 | verified ago |", "| 9 | 8 | verified ago |");
    assert_eq!(missing(&page), ["| 9 | 4 | verified ago |"], "it would notice");
}

#[test]
fn the_tables_have_every_code() {
    let words = |codes: &[(u8, String)]| {
        codes.iter().map(|(code, word)| format!("{code} {word}")).collect::<Vec<_>>().join(", ")
    };
    let states = [NodeState::Init, NodeState::Backup, NodeState::Master, NodeState::Fault];
    let states = states.map(|state| (body(&GroupReport { state, ..backup() })[12], format!("{state:?}")));
    let claims = [ClaimState::Idle, ClaimState::Claiming, ClaimState::Held, ClaimState::Lost, ClaimState::Failing];
    let claims = claims.map(|claim| (body(&GroupReport { claim, ..backup() })[13], format!("{claim:?}")));
    let causes = [
        HandOver::Fault,
        HandOver::Drain,
        HandOver::Preempt,
        HandOver::Failover,
        HandOver::ClaimFailing,
        HandOver::FollowTruth,
        HandOver::Isolated,
    ];
    let causes = causes.map(|cause| {
        let offer = Some(Offer { to: WEB_1, cause, began_ago: Duration::ZERO });
        let body = body(&GroupReport { offer, ..backup() });
        (body[body.len() - 5], format!("{cause:?}"))
    });
    for codes in [words(&states), words(&claims), words(&causes)] {
        assert!(PAGE.contains(&format!("| {codes}")), "docs/protocol.md lacks: {codes}");
    }
}

#[test]
fn the_sizes_in_the_text_are_so() {
    let mut longest = GroupReport { base: (1..=4).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect(), ..backup() };
    for (_, _, change) in OPTIONAL {
        change(&mut longest);
    }
    let record = 3 + body(&longest).len();
    let header = Header { seq: Seq(9), ..examples()[1].header };
    let mut memory = [0; MAX_DATAGRAM];
    let groups = Encoder::new(&mut memory, &header).groups(std::iter::repeat_n(&longest, 100));
    let mut encoder = Encoder::new(&mut memory, &header);
    assert!(encoder.bulletin(&BulletinPart::new(1, 0, 2, &[b'x'; PART_LENGTH]).unwrap()));
    let part = encoder.seal(&keys(), Route { from: WEB_1, to: WEB_2 }).len();
    for words in [
        format!("a full part of a bulletin ({part} bytes)"),
        format!("record of a group is {record} bytes: {groups} groups fit"),
        format!("| 1 to {MAX_PARTS} |"),
        format!("{PART_LENGTH} in each part but the last, which has 1 to {PART_LENGTH}"),
    ] {
        let flowing = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(&words), "docs/protocol.md lacks: {words}");
    }
}
