//! The printed datagrams of docs/protocol.md: built again by the real codec and MAC from the inputs
//! that the page names, compared byte by byte, and decoded back to the printed values.

use std::net::Ipv4Addr;
use std::time::Duration;

use haagent::proto::claim::event::{Base, ClaimState};
use haagent::proto::heartbeat::bulletin::BulletinPart;
use haagent::proto::heartbeat::codec::{Encoder, MAX_DATAGRAM, Message, Record, VERSION};
use haagent::proto::heartbeat::mac::{Key, Keys, Route, TAG_LENGTH};
use haagent::proto::heartbeat::{Echo, Follows, GroupReport, HandOver, Header, NodeState, Offer, Readiness};
use haagent::proto::ids::{BootId, GroupName, NodeName, Priority, Seq, Term};

pub(super) const PAGE: &str = include_str!("../../docs/protocol.md");

pub(super) const WEB_1: Ipv4Addr = Ipv4Addr::new(10, 114, 0, 4);
pub(super) const WEB_2: Ipv4Addr = Ipv4Addr::new(10, 114, 0, 5);
pub(super) const BOOT_1: BootId = BootId(0x5bd1_e995_0a77_c2f4);
const BOOT_2: BootId = BootId(0x9e37_79b9_7f4a_7c15);

/// 00 01 02 ... 1f, as the page says.
pub(super) fn keys() -> Keys {
    let mut secret = [0; Key::LENGTH];
    for (byte, number) in secret.iter_mut().zip(0..) {
        *byte = number;
    }
    Keys::new(Key::new(&secret), None)
}

/// One printed datagram: its way, and its content.
pub(super) struct Example {
    title: &'static str,
    pub(super) route: Route,
    pub(super) header: Header,
    content: Content,
}

enum Content {
    Report(Box<GroupReport>),
    Part(&'static [u8]),
}

pub(super) fn header(name: &str, boot: BootId, seq: u64, echo: Option<Echo>) -> Header {
    let sender = NodeName::new(name).unwrap().id();
    Header { sender, boot, seq: Seq(seq), interval: Duration::from_millis(500), ask: false, echo }
}

pub(super) fn backup() -> GroupReport {
    GroupReport {
        group: GroupName::new("web").unwrap().id(),
        settings: 0x1f6a_02c7,
        state: NodeState::Backup,
        candidate: true,
        priority: Priority::DEFAULT,
        term: Term(0),
        claim: ClaimState::Idle,
        takeover_ago: None,
        verified_ago: None,
        sent: false,
        base: Base::default(),
        readiness: Readiness { ready: false, proof_age: None },
        reach: true,
        follows: None,
        offer: None,
        wants: false,
        deposed_by: None,
        leaving: None,
    }
}

pub(super) fn examples() -> [Example; 4] {
    let to_web_1 = Route { from: WEB_2, to: WEB_1 };
    let to_web_2 = Route { from: WEB_1, to: WEB_2 };
    let ms = Duration::from_millis;
    let echo = Echo { boot: BOOT_1, seq: Seq(1733), held: Duration::from_micros(561_842) };
    let following = GroupReport {
        term: Term(3),
        base: [WEB_1].into_iter().collect(),
        readiness: Readiness { ready: true, proof_age: Some(ms(184_000)) },
        follows: Some(Follows { master: WEB_1, heard_ago: ms(561) }),
        ..backup()
    };
    let offering = GroupReport {
        state: NodeState::Master,
        candidate: false,
        term: Term(3),
        claim: ClaimState::Held,
        takeover_ago: Some(ms(905_210)),
        verified_ago: Some(ms(640)),
        base: [WEB_1].into_iter().collect(),
        readiness: Readiness { ready: true, proof_age: Some(ms(21_000)) },
        offer: Some(Offer { to: WEB_2, cause: HandOver::Drain, began_ago: ms(2) }),
        ..backup()
    };
    [
        Example {
            title: "A backup that has heard nobody yet",
            route: to_web_1,
            header: header("web-2", BOOT_2, 1, None),
            content: Content::Report(Box::new(backup())),
        },
        Example {
            title: "A backup that follows a master",
            route: to_web_1,
            header: Header { ask: true, ..header("web-2", BOOT_2, 902, Some(echo)) },
            content: Content::Report(Box::new(following)),
        },
        Example {
            title: "A master that hands over",
            route: to_web_2,
            header: header(
                "web-1",
                BOOT_1,
                1734,
                Some(Echo { boot: BOOT_2, seq: Seq(902), held: Duration::from_micros(74) }),
            ),
            content: Content::Report(Box::new(offering)),
        },
        Example {
            title: "A part of a bulletin",
            route: to_web_2,
            header: header("web-1", BOOT_1, 1735, Some(Echo { boot: BOOT_2, seq: Seq(902), held: ms(10) })),
            content: Content::Part(br#"{"name":"web-1","version":"0.1.0"}"#),
        },
    ]
}

impl Example {
    pub(super) fn datagram(&self) -> Vec<u8> {
        let mut memory = [0; MAX_DATAGRAM];
        let mut encoder = Encoder::new(&mut memory, &self.header);
        let fits = match &self.content {
            Content::Report(report) => encoder.group(report),
            Content::Part(bytes) => encoder.bulletin(&BulletinPart::new(7, 0, 1, bytes).unwrap()),
        };
        assert!(fits);
        encoder.seal(&keys(), self.route).to_vec()
    }
}

/// A field as the page describes it: its bytes, its name and its value in words.
pub(super) struct Field {
    pub(super) bytes: Vec<u8>,
    pub(super) name: &'static str,
    value: String,
}

/// A datagram's fields one after the other, from what the real codec read out of it.
#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, name: &'static str, bytes: &[u8], value: impl ToString) {
        self.0.push(Field { bytes: bytes.to_vec(), name, value: value.to_string() });
    }

    fn u8(&mut self, name: &'static str, value: u8) {
        self.add(name, &[value], value);
    }

    fn code(&mut self, name: &'static str, code: u8, word: &impl std::fmt::Debug) {
        self.add(name, &[code], format!("{code}, {word:?}"));
    }

    fn u64(&mut self, name: &'static str, value: u64) {
        self.add(name, &value.to_be_bytes(), value);
    }

    fn hex(&mut self, name: &'static str, value: u64) {
        self.add(name, &value.to_be_bytes(), format!("{value:016x}"));
    }

    fn millis(&mut self, name: &'static str, value: Duration) {
        self.add(name, &u32::try_from(value.as_millis()).unwrap().to_be_bytes(), format!("{} ms", value.as_millis()));
    }

    fn address(&mut self, name: &'static str, value: Ipv4Addr) {
        self.add(name, &value.octets(), value);
    }

    fn flags(&mut self, name: &'static str, width: usize, flags: &[(bool, u32, &str)]) {
        let set = flags.iter().filter(|(set, ..)| *set);
        let number = set.clone().fold(0, |sum, (_, bit, _)| sum | 1 << bit);
        let words: Vec<&str> = set.map(|(.., word)| *word).collect();
        let value = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        self.add(name, &u32::to_be_bytes(number)[4 - width..], value);
    }
}

fn state_code(state: NodeState) -> u8 {
    match state {
        NodeState::Init => 0,
        NodeState::Backup => 1,
        NodeState::Master => 2,
        NodeState::Fault => 3,
    }
}

fn claim_code(claim: ClaimState) -> u8 {
    match claim {
        ClaimState::Idle => 0,
        ClaimState::Claiming => 1,
        ClaimState::Held => 2,
        ClaimState::Lost => 3,
        ClaimState::Failing => 4,
    }
}

fn cause_code(cause: HandOver) -> u8 {
    match cause {
        HandOver::Fault => 0,
        HandOver::Drain => 1,
        HandOver::Preempt => 2,
        HandOver::Failover => 3,
        HandOver::ClaimFailing => 4,
        HandOver::FollowTruth => 5,
        HandOver::Isolated => 6,
    }
}

/// The fields of a datagram in the order and width of the page's tables, written here without the
/// codec's writer.
pub(super) fn fields(message: &Message<'_>, tag: &[u8]) -> Vec<Field> {
    let mut fields = Fields::default();
    let Header { sender, boot, seq, interval, ask, echo } = message.header;
    fields.add("magic", b"HAAG", "\"HAAG\"");
    fields.u8("version", VERSION);
    fields.flags("flags", 1, &[(ask, 0, "ask"), (echo.is_some(), 1, "echo")]);
    fields.hex("sender", sender.0);
    fields.hex("boot", boot.0);
    fields.u64("sequence", seq.0);
    fields.millis("interval", interval);
    if let Some(Echo { boot, seq, held }) = echo {
        fields.hex("echo boot", boot.0);
        fields.u64("echo sequence", seq.0);
        let micros = u32::try_from(held.as_micros()).unwrap();
        fields.add("echo held", &micros.to_be_bytes(), format!("{micros} us"));
    }
    for record in message.records() {
        let (kind, name, body) = match record {
            Record::Group(report) => (1, "1, a group", group_fields(&report)),
            Record::Bulletin(part) => (2, "2, a bulletin's part", part_fields(&part)),
            Record::Unknown { kind, .. } => panic!("the page shows a record of kind {kind}"),
        };
        let length: usize = body.0.iter().map(|field| field.bytes.len()).sum();
        fields.add("kind", &[kind], name);
        fields.add("length", &u16::try_from(length).unwrap().to_be_bytes(), length);
        fields.0.extend(body.0);
    }
    fields.add("tag", tag, "");
    fields.0
}

fn group_fields(report: &GroupReport) -> Fields {
    let mut fields = Fields::default();
    let base: Vec<Ipv4Addr> = report.base.members().collect();
    assert!(report.base.foreign.is_none() && report.deposed_by.is_none() && report.leaving.is_none(), "not printed");
    fields.hex("group", report.group.0);
    fields.add("settings", &report.settings.to_be_bytes(), format!("{:08x}", report.settings));
    fields.code("state", state_code(report.state), &report.state);
    fields.code("claim", claim_code(report.claim), &report.claim);
    fields.u8("priority", report.priority.get());
    fields.flags(
        "flags",
        2,
        &[
            (report.candidate, 0, "candidate"),
            (report.sent, 1, "sent"),
            (report.readiness.ready, 2, "ready"),
            (report.reach, 3, "reach"),
            (report.wants, 4, "wants"),
            (report.takeover_ago.is_some(), 8, "takeover"),
            (report.verified_ago.is_some(), 9, "verified"),
            (report.readiness.proof_age.is_some(), 10, "proof"),
            (report.follows.is_some(), 11, "follows"),
            (report.offer.is_some(), 12, "offer"),
        ],
    );
    fields.u64("term", report.term.0);
    fields.u8("members", u8::try_from(base.len()).unwrap());
    for member in base {
        fields.address("member", member);
    }
    let ages = [
        ("takeover ago", report.takeover_ago),
        ("verified ago", report.verified_ago),
        ("proof age", report.readiness.proof_age),
    ];
    for (name, age) in ages {
        if let Some(age) = age {
            fields.millis(name, age);
        }
    }
    if let Some(follows) = report.follows {
        fields.address("master", follows.master);
        fields.millis("heard ago", follows.heard_ago);
    }
    if let Some(offer) = report.offer {
        fields.address("offer to", offer.to);
        fields.code("offer cause", cause_code(offer.cause), &offer.cause);
        fields.millis("cause ago", offer.began_ago);
    }
    fields
}

fn part_fields(part: &BulletinPart<'_>) -> Fields {
    let mut fields = Fields::default();
    fields.u64("generation", part.generation());
    fields.u8("index", part.index());
    fields.u8("parts", part.parts());
    fields.add("bytes", part.bytes(), std::str::from_utf8(part.bytes()).unwrap());
    fields
}

/// The fields as the page prints them: offset, eight bytes in a line, name and value.
fn dump(fields: &[Field]) -> String {
    let mut text = String::new();
    let mut offset = 0;
    for Field { bytes, name, value } in fields {
        for (line, part) in bytes.chunks(8).enumerate() {
            let hex = part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let words = if line == 0 { format!("  {name:13}  {value}") } else { String::new() };
            text += &format!("{:4}  {hex:23}{words}\n", offset + line * 8);
        }
        offset += bytes.len();
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The block below a heading of the page.
fn printed<'p>(page: &'p str, title: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("### {title}\n")).unwrap_or_else(|| panic!("no \"{title}\" on the page"));
    rest.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap()
}

/// The bytes of a printed block: the columns after the offset.
fn bytes(block: &str) -> Vec<u8> {
    let hex = |line: &str| {
        let line = line.to_owned() + &" ".repeat(29);
        line[6..29].split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect::<Vec<u8>>()
    };
    block.lines().flat_map(hex).collect()
}

/// The block that a datagram should be printed as.
fn rendered(example: &Example, datagram: &[u8]) -> String {
    let keys = keys();
    let message = Message::decode(keys.verify(example.route, datagram).unwrap()).unwrap();
    assert_eq!(message.header, example.header, "{}", example.title);
    let fields = fields(&message, &datagram[datagram.len() - TAG_LENGTH..]);
    let spelt: Vec<u8> = fields.iter().flat_map(|field| field.bytes.clone()).collect();
    assert_eq!(spelt, datagram, "{}: the fields in the page's order and width are other bytes", example.title);
    dump(&fields)
}

/// What of a printed example is not so: its bytes, or, read from the printed bytes, its words.
fn difference(page: &str, example: &Example) -> Option<String> {
    let (block, datagram) = (printed(page, example.title), example.datagram());
    let is = bytes(block);
    if is != datagram {
        let place = is.iter().zip(&datagram).position(|(is, should)| is != should);
        let place = place.unwrap_or(is.len().min(datagram.len()));
        return Some(format!("{}: byte {place} differs; it is\n{}", example.title, rendered(example, &datagram)));
    }
    let should = rendered(example, &is);
    (block != should).then(|| format!("{}: its words differ; they are\n{should}", example.title))
}

#[test]
fn the_printed_datagrams_are_the_codec_s() {
    let differences: Vec<String> = examples().iter().filter_map(|example| difference(PAGE, example)).collect();
    assert!(differences.is_empty(), "docs/protocol.md:\n{}", differences.join("\n"));
}

#[test]
fn one_changed_byte_and_one_changed_number_are_noticed() {
    let [_, follows, ..] = examples();
    let changed = |from: &str, to: &str| {
        let page = PAGE.replacen(from, to, 1);
        assert_ne!(page, PAGE, "{from} is not on the page");
        difference(&page, &follows)
    };
    let block = printed(PAGE, follows.title);
    let with = |from: &str, to: &str| changed(block, &block.replacen(from, to, 1)).unwrap_or_default();
    assert!(with("48 41 41 47", "48 41 41 48").contains("byte 3 differs"));
    assert!(with("184000 ms", "185000 ms").contains("184000 ms"), "a number that its bytes do not say");
    assert!(with("reach", "sent").contains("reach"), "a word that its bits do not say");
}

#[test]
fn the_printed_names_and_sizes_are_so() {
    for (name, id) in
        [("web-1", NodeName::new("web-1").unwrap().id().0), ("web-2", NodeName::new("web-2").unwrap().id().0)]
    {
        assert!(PAGE.contains(&format!("`{name}` is `{id:016x}`")), "{name} is {id:016x}");
    }
    let group = GroupName::new("web").unwrap().id().0;
    assert!(PAGE.contains(&format!("`web` is `{group:016x}`")), "web is {group:016x}");
    for example in examples() {
        let length = example.datagram().len();
        assert!(PAGE.contains(&format!("| {} | {length} |", example.title)), "{}: {length} bytes", example.title);
    }
}
