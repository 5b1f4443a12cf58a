use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::bulletin::{MAX_BULLETIN, MAX_PARTS, PART_LENGTH};
use super::super::mac::Key;
use super::*;

const ROUTE: Route = Route { from: Ipv4Addr::new(10, 114, 0, 4), to: Ipv4Addr::new(10, 114, 0, 5) };

fn keys() -> Keys {
    Keys::new(Key::new(&[0x42; Key::LENGTH]), None)
}

fn header() -> Header {
    Header {
        sender: NodeId(0x0102_0304_0506_0708),
        boot: BootId(0x1112_1314_1516_1718),
        seq: Seq(0x21),
        interval: Duration::from_millis(500),
        ask: true,
        echo: Some(Echo { boot: BootId(0x31), seq: Seq(0x32), held: Duration::from_micros(1_234) }),
    }
}

/// Every field there is.
fn full_report() -> GroupReport {
    let address = |last| Ipv4Addr::new(10, 114, 0, last);
    let mut base: Base = (1..=4).map(address).collect();
    base.foreign = Some(DropletId(4711));
    GroupReport {
        group: GroupId(0x4142_4344_4546_4748),
        settings: 0x5152_5354,
        state: NodeState::Master,
        candidate: true,
        priority: Priority::DEFAULT,
        term: Term(7),
        claim: ClaimState::Held,
        takeover_ago: Some(Duration::from_millis(60_000)),
        verified_ago: Some(Duration::from_millis(800)),
        sent: true,
        base,
        readiness: Readiness { ready: true, proof_age: Some(Duration::from_millis(250_000)) },
        reach: true,
        follows: Some(Follows { master: address(6), heard_ago: Duration::from_millis(3) }),
        offer: Some(Offer { to: address(7), cause: HandOver::Isolated, began_ago: Duration::from_millis(4) }),
        wants: true,
        deposed_by: Some(DeposedBy::Member(address(8))),
        leaving: Some(Leaving { successor: Some(address(9)) }),
    }
}

/// As short as a report can be.
fn bare_report() -> GroupReport {
    GroupReport {
        state: NodeState::Init,
        candidate: false,
        claim: ClaimState::Idle,
        takeover_ago: None,
        verified_ago: None,
        sent: false,
        base: Base::default(),
        readiness: Readiness { ready: false, proof_age: None },
        reach: false,
        follows: None,
        offer: None,
        wants: false,
        deposed_by: None,
        leaving: None,
        ..full_report()
    }
}

/// A datagram without its tag.
fn body(header: &Header, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut memory = [0xee; MAX_DATAGRAM];
    let mut encoder = Encoder::new(&mut memory, header);
    write(&mut encoder);
    let datagram = encoder.seal(&Keys::keyless(), ROUTE);
    datagram[..datagram.len() - TAG_LENGTH].to_vec()
}

fn decode<T>(body: &[u8], read: impl FnOnce(Message<'_>) -> T) -> Result<T, DecodeError> {
    let datagram = [body, &[0; TAG_LENGTH]].concat();
    let keys = Keys::keyless();
    Message::decode(keys.verify(ROUTE, &datagram).unwrap()).map(read)
}

fn refusal(body: &[u8]) -> DecodeError {
    decode(body, |message| message.header).unwrap_err()
}

fn encode_again(message: Message<'_>) -> Vec<u8> {
    body(&message.header, |encoder| {
        for record in message.records() {
            assert!(match record {
                Record::Group(report) => encoder.group(&report),
                Record::Bulletin(part) => encoder.bulletin(&part),
                Record::Unknown { kind, body } => encoder.record(kind, |writer| writer.bytes(body)),
            });
        }
    })
}

const HEADER_LENGTH: usize = 54;
const RECORD_HEAD: usize = 3;

#[test]
fn one_datagram_to_the_byte() {
    let mut memory = [0; MAX_DATAGRAM];
    let mut encoder = Encoder::new(&mut memory, &header());
    assert!(encoder.group(&full_report()));
    assert!(encoder.bulletin(&BulletinPart::new(9, 0, 1, b"{}").unwrap()));
    let datagram = encoder.seal(&keys(), ROUTE);
    let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        "48414147",
        "01",
        "03", // "HAAG", version, ask and echo
        "0102030405060708",
        "1112131415161718",
        "0000000000000021", // sender, boot, seq
        "000001f4",         // interval
        "0000000000000031",
        "0000000000000032",
        "000004d2", // echo: boot, seq, held
        "01",
        "0057", // a group report of 87 bytes
        "4142434445464748",
        "51525354", // group, settings
        "02",
        "02",
        "64",
        "7fbf",             // master, held, priority, flags
        "0000000000000007", // term
        "04",
        "0a720001",
        "0a720002",
        "0a720003",
        "0a720004",
        "0000000000001267", // base
        "0000ea60",
        "00000320",
        "0003d090", // takeover, verified, proof
        "0a720006",
        "00000003", // follows
        "0a720007",
        "06",
        "00000004", // offer
        "0a720008",
        "0a720009", // deposed by, successor
        "02",
        "000c",
        "0000000000000009",
        "00",
        "01",
        "7b7d",                             // a bulletin in one part
        "f57efc28e22233a6991c26cabf23e027", // tag, computed by another HMAC implementation
    );
    assert_eq!(hex, expected);
}

#[test]
fn malformed_datagrams_are_told_apart() {
    let good = body(&header(), |encoder| assert!(encoder.group(&full_report())));
    let group = HEADER_LENGTH + RECORD_HEAD;
    let with = |place: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[place..place + bytes.len()].copy_from_slice(bytes);
        refusal(&bad)
    };
    let flags = |bits: u16| with(group + 15, &bits.to_be_bytes());
    let report = "group report";
    let out_of_range = |field, value| DecodeError::OutOfRange { field, value };
    let cases = [
        (with(0, b"h"), DecodeError::NotAHeartbeat),
        (with(4, &[0]), DecodeError::UnknownVersion { version: 0 }),
        (with(4, &[2]), DecodeError::UnknownVersion { version: 2 }),
        (with(5, &[7]), DecodeError::UnknownFlags { part: "header", bits: 7 }),
        (with(22, &[0; 8]), out_of_range("sequence number", 0)),
        (with(30, &[0; 4]), out_of_range("interval", 0)),
        (with(42, &[0; 8]), out_of_range("sequence number", 0)),
        (with(group - 2, &[0, 86]), DecodeError::Truncated { part: report }),
        (with(group - 2, &[0, 88]), DecodeError::Truncated { part: "record" }),
        (with(group + 12, &[4]), DecodeError::UnknownCode { field: "state", code: 4 }),
        (with(group + 13, &[5]), DecodeError::UnknownCode { field: "claim state", code: 5 }),
        (with(group + 14, &[0]), out_of_range("priority", 0)),
        (with(group + 14, &[255]), out_of_range("priority", 255)),
        (flags(0xffbf), DecodeError::UnknownFlags { part: report, bits: 0x8000 }),
        (flags(0x7fff), DecodeError::FlagsDisagree { part: report, bits: 0x2040 }),
        (flags(0x7f9f), DecodeError::FlagsDisagree { part: report, bits: 0x4000 }),
        (flags(0x3fbf), DecodeError::Surplus { part: report, count: 4 }),
        (with(group + 25, &[5]), out_of_range("number of members in a base", 5)),
        (with(group + 30, &[10, 114, 0, 1]), DecodeError::MemberTwice),
        (with(group + 74, &[7]), DecodeError::UnknownCode { field: "cause of an offer", code: 7 }),
    ];
    for (index, (told, expected)) in cases.into_iter().enumerate() {
        assert_eq!(told, expected, "case {index}");
    }
}

#[test]
fn parts_that_no_bulletin_has_are_refused() {
    let datagram = |index, parts, length| {
        body(&header(), |encoder| {
            let body = [&[0; 8][..], &[index, parts], &vec![1; length]].concat();
            assert!(encoder.record(BULLETIN_PART, |writer| writer.bytes(&body)));
        })
    };
    let cases = [
        (datagram(0, 0, 1), PartError::Parts { parts: 0 }),
        (datagram(0, MAX_PARTS + 1, PART_LENGTH), PartError::Parts { parts: MAX_PARTS + 1 }),
        (datagram(2, 2, 1), PartError::Index { index: 2, parts: 2 }),
        (datagram(0, 2, PART_LENGTH - 1), PartError::Length { index: 0, parts: 2, length: PART_LENGTH - 1 }),
        (datagram(1, 2, PART_LENGTH + 1), PartError::Length { index: 1, parts: 2, length: PART_LENGTH + 1 }),
        (datagram(1, 2, 0), PartError::Length { index: 1, parts: 2, length: 0 }),
        (datagram(18, 19, 185), PartError::Length { index: 18, parts: 19, length: 185 }),
    ];
    for (datagram, expected) in cases {
        assert_eq!(refusal(&datagram), DecodeError::Bulletin(expected));
    }
    assert_eq!(18 * PART_LENGTH + 184, MAX_BULLETIN);
    assert!(decode(&datagram(18, 19, 184), |_| ()).is_ok() && decode(&datagram(0, 1, 0), |_| ()).is_ok());
}

#[test]
fn a_record_of_an_unknown_kind_hides_no_other() {
    let datagram = body(&header(), |encoder| {
        assert!(encoder.record(0xfe, |writer| writer.bytes(b"news")));
        assert!(encoder.group(&bare_report()));
    });
    let records = decode(&datagram, |message| {
        message.records().map(|record| matches!(record, Record::Group(_))).collect::<Vec<_>>()
    });
    assert_eq!(records, Ok(vec![false, true]));
}

#[test]
fn a_datagram_cut_anywhere_but_between_records_is_refused() {
    let datagram = body(&header(), |encoder| {
        assert!(encoder.group(&full_report()));
        assert!(encoder.group(&bare_report()));
    });
    let records_end_at = [HEADER_LENGTH, HEADER_LENGTH + RECORD_HEAD + 87];
    for length in 0..datagram.len() {
        assert_eq!(decode(&datagram[..length], |_| ()).is_ok(), records_end_at.contains(&length), "{length} bytes");
    }
}

#[test]
fn reports_that_do_not_fit_go_on_in_the_next_datagram() {
    let reports = [full_report(); 30];
    let mut rest = &reports[..];
    let mut fitted = Vec::new();
    while !rest.is_empty() {
        let mut memory = [0; MAX_DATAGRAM];
        let mut encoder = Encoder::new(&mut memory, &header());
        let count = encoder.groups(rest);
        assert!(encoder.seal(&keys(), ROUTE).len() <= MAX_DATAGRAM);
        rest = &rest[count..];
        fitted.push(count);
    }
    assert_eq!(fitted, [12, 12, 6]);
}

#[test]
fn a_full_part_of_a_bulletin_leaves_room_for_two_reports() {
    let mut memory = [0; MAX_DATAGRAM];
    let mut encoder = Encoder::new(&mut memory, &header());
    assert!(encoder.bulletin(&BulletinPart::new(1, 0, 2, &[0; PART_LENGTH]).unwrap()));
    assert_eq!(encoder.groups(&[full_report(); 3]), 2);
    // What did not fit left nothing behind.
    let datagram = encoder.seal(&Keys::keyless(), ROUTE);
    let records = decode(&datagram[..datagram.len() - TAG_LENGTH], |message| message.records().count());
    assert_eq!(records, Ok(3));
}

#[test]
fn what_is_too_large_for_its_field_is_told_as_the_largest() {
    let header = Header {
        interval: Duration::from_nanos(1),
        echo: Some(Echo { boot: BootId(1), seq: Seq(1), held: Duration::MAX }),
        ..header()
    };
    let report = GroupReport { takeover_ago: Some(Duration::MAX), ..bare_report() };
    let datagram = body(&header, |encoder| assert!(encoder.group(&report)));
    let (told, record) = decode(&datagram, |message| (message.header, message.records().count())).unwrap();
    assert_eq!(told.interval, Duration::from_millis(1));
    assert_eq!(told.echo.unwrap().held, Duration::from_micros(u32::MAX.into()));
    assert_eq!(record, 1);
    let age = Duration::from_millis(u32::MAX.into());
    let told = decode(&datagram, |message| {
        message.records().next() == Some(Record::Group(GroupReport { takeover_ago: Some(age), ..report }))
    });
    assert_eq!(told, Ok(true));
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|value| Duration::from_millis(value.into()))
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

fn headers() -> impl Strategy<Value = Header> {
    let echo = (any::<u64>(), 1_u64.., any::<u32>()).prop_map(|(boot, seq, held)| Echo {
        boot: BootId(boot),
        seq: Seq(seq),
        held: Duration::from_micros(held.into()),
    });
    (any::<u64>(), any::<u64>(), 1_u64.., 1_u32.., any::<bool>(), proptest::option::of(echo)).prop_map(
        |(sender, boot, seq, interval, ask, echo)| Header {
            sender: NodeId(sender),
            boot: BootId(boot),
            seq: Seq(seq),
            interval: Duration::from_millis(interval.into()),
            ask,
            echo,
        },
    )
}

fn bases() -> impl Strategy<Value = Base> {
    (proptest::collection::vec(address(), 0..=Base::MEMBERS), any::<Option<u64>>()).prop_map(|(members, foreign)| {
        let mut base: Base = members.into_iter().collect();
        base.foreign = foreign.map(DropletId);
        base
    })
}

fn reports() -> impl Strategy<Value = GroupReport> {
    use proptest::option::of;
    use proptest::sample::select;
    let states = select(vec![NodeState::Init, NodeState::Backup, NodeState::Master, NodeState::Fault]);
    let claims =
        select(vec![ClaimState::Idle, ClaimState::Claiming, ClaimState::Held, ClaimState::Lost, ClaimState::Failing]);
    let causes = select(vec![
        HandOver::Fault,
        HandOver::Drain,
        HandOver::Preempt,
        HandOver::Failover,
        HandOver::ClaimFailing,
        HandOver::FollowTruth,
        HandOver::Isolated,
    ]);
    let follows = (address(), millis()).prop_map(|(master, heard_ago)| Follows { master, heard_ago });
    let offer = (address(), causes, millis()).prop_map(|(to, cause, began_ago)| Offer { to, cause, began_ago });
    let deposed_by = prop_oneof![Just(DeposedBy::Unknown), address().prop_map(DeposedBy::Member)];
    let leaving = of(address()).prop_map(|successor| Leaving { successor });
    (
        (any::<u64>(), any::<u32>(), states, claims, 1_i64..=254, any::<u64>()),
        (any::<[bool; 5]>(), bases(), of(millis()), of(millis()), of(millis())),
        (of(follows), of(offer), of(deposed_by), of(leaving)),
    )
        .prop_map(|(who, claim, others)| GroupReport {
            group: GroupId(who.0),
            settings: who.1,
            state: who.2,
            claim: who.3,
            priority: Priority::new(who.4).unwrap(),
            term: Term(who.5),
            candidate: claim.0[0],
            sent: claim.0[1],
            readiness: Readiness { ready: claim.0[2], proof_age: claim.4 },
            reach: claim.0[3],
            wants: claim.0[4],
            base: claim.1,
            takeover_ago: claim.2,
            verified_ago: claim.3,
            follows: others.0,
            offer: others.1,
            deposed_by: others.2,
            leaving: others.3,
        })
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(header in headers(), reports in proptest::collection::vec(reports(), 0..13)) {
        let datagram = body(&header, |encoder| assert_eq!(encoder.groups(&reports), reports.len()));
        let told = decode(&datagram, |message| {
            let reports: Vec<_> = message
                .records()
                .map(|record| match record {
                    Record::Group(report) => report,
                    other => panic!("{other:?}"),
                })
                .collect();
            (message.header, reports)
        });
        prop_assert_eq!(told, Ok((header, reports)));
    }

    #[test]
    fn a_bulletins_part_decodes_to_the_same(generation: u64, last in 0_u8..MAX_PARTS, bytes in proptest::collection::vec(any::<u8>(), 1..184)) {
        let part = BulletinPart::new(generation, last, last + 1, &bytes).unwrap();
        let datagram = body(&header(), |encoder| assert!(encoder.bulletin(&part)));
        let same = decode(&datagram, |message| message.records().eq([Record::Bulletin(part)]));
        prop_assert_eq!(same, Ok(true));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_DATAGRAM - TAG_LENGTH)) {
        let _ = decode(&bytes, |message| message.records().count());
        let _ = decode(&[&MAGIC, &[VERSION, 0][..], &bytes[bytes.len() / 2..]].concat(), |message| message.records().count());
    }

    /// Some changed bytes of a good datagram reach further than noise does.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        header in headers(),
        report in reports(),
        text in proptest::collection::vec(any::<u8>(), 0..50),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut datagram = body(&header, |encoder| {
            assert!(encoder.group(&report));
            assert!(encoder.bulletin(&BulletinPart::new(1, 0, 1, &text).unwrap()));
            assert!(encoder.record(3, |writer| writer.bytes(&text)));
        });
        for (place, value) in changes {
            let place = place.index(datagram.len());
            datagram[place] = value;
        }
        if let Ok(again) = decode(&datagram, encode_again) {
            prop_assert_eq!(again, datagram);
        }
    }
}
