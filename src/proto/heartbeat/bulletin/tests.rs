use proptest::prelude::*;

use super::*;

const BOOT: BootId = BootId(1);

fn text(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8 ^ seed).collect()
}

type Owned = (u64, u8, u8, Vec<u8>);

/// All parts of the round that begins at `now`.
fn round(sender: &mut BulletinSender, now: Time) -> Vec<Owned> {
    let mut parts = Vec::new();
    while let Some(part) = sender.part(now) {
        parts.push((part.generation(), part.index(), part.parts(), part.bytes().to_vec()));
        sender.sent();
    }
    parts
}

fn feed(assembler: &mut BulletinAssembler, boot: BootId, part: &Owned) -> Option<Vec<u8>> {
    let part = BulletinPart::new(part.0, part.1, part.2, &part.3).unwrap();
    assembler.accept(boot, &part).map(<[u8]>::to_vec)
}

#[test]
fn every_length_arrives_as_it_was_sent() {
    let mut sender = BulletinSender::new();
    let mut assembler = BulletinAssembler::new();
    let mut now = Time::ORIGIN;
    for length in [0, 1, PART_LENGTH - 1, PART_LENGTH, PART_LENGTH + 1, 2 * PART_LENGTH, MAX_BULLETIN - 1, MAX_BULLETIN]
    {
        let sent = text(length, 7);
        sender.publish(&sent).unwrap();
        let parts = round(&mut sender, now);
        assert_eq!(parts.len(), length.div_ceil(PART_LENGTH).max(1));
        let whole: Vec<_> = parts.iter().filter_map(|part| feed(&mut assembler, BOOT, part)).collect();
        assert_eq!(whole, [sent]);
        now += ROUND_GAP;
    }
}

#[test]
fn a_bulletin_too_long_is_refused_and_the_one_before_stays() {
    let mut sender = BulletinSender::new();
    sender.publish(b"before").unwrap();
    let length = MAX_BULLETIN + 1;
    assert_eq!(sender.publish(&vec![0; length]), Err(BulletinTooLong { length }));
    assert_eq!(round(&mut sender, Time::ORIGIN)[0].3, b"before");
}

#[test]
fn rounds_begin_on_change_at_most_twice_a_second_and_every_ten_seconds() {
    let mut sender = BulletinSender::new();
    assert_eq!(sender.next_deadline(), None);
    assert_eq!(round(&mut sender, Time::ORIGIN), []);
    sender.publish(b"a").unwrap();
    let at = Time::from_millis;
    assert!(sender.next_deadline() <= Some(at(1_000)));
    assert_eq!(round(&mut sender, at(1_000)).len(), 1);

    sender.publish(b"a").unwrap();
    assert_eq!(sender.next_deadline(), Some(at(11_000)), "the same text is no change");
    sender.publish(b"b").unwrap();
    sender.publish(b"c").unwrap();
    assert_eq!(sender.next_deadline(), Some(at(1_500)));
    assert_eq!(round(&mut sender, at(1_499)), []);
    assert_eq!(round(&mut sender, at(1_500)), [(2, 0, 1, b"c".to_vec())]);

    assert_eq!(round(&mut sender, at(11_499)), []);
    assert_eq!(round(&mut sender, at(11_500)), [(2, 0, 1, b"c".to_vec())], "repeated under its generation");
    sender.repeat();
    assert_eq!(sender.next_deadline(), Some(at(12_000)));
    assert_eq!(round(&mut sender, at(12_000)).len(), 1);
    assert_eq!(sender.next_deadline(), Some(at(22_000)));
}

#[test]
fn a_text_that_went_back_before_it_was_sent_is_sent_once_more_at_most() {
    let mut sender = BulletinSender::new();
    sender.publish(b"a").unwrap();
    round(&mut sender, Time::ORIGIN);
    sender.publish(b"b").unwrap();
    sender.publish(b"a").unwrap();
    assert_eq!(round(&mut sender, Time::from_millis(500)), [(2, 0, 1, b"a".to_vec())]);
}

#[test]
fn a_round_is_ended_before_a_newer_bulletin_begins() {
    let mut sender = BulletinSender::new();
    let (old, new) = (text(3 * PART_LENGTH, 1), text(2 * PART_LENGTH, 2));
    sender.publish(&old).unwrap();
    assert_eq!(sender.part(Time::ORIGIN).unwrap().index(), 0);
    sender.sent();
    sender.publish(&new).unwrap();
    let rest = round(&mut sender, Time::from_millis(700));
    let numbers: Vec<_> = rest.iter().map(|part| (part.0, part.1)).collect();
    assert_eq!(numbers, [(1, 1), (1, 2), (2, 0), (2, 1)]);
}

#[test]
fn a_part_is_the_same_until_it_was_sent() {
    let mut sender = BulletinSender::new();
    sender.publish(&text(2 * PART_LENGTH, 1)).unwrap();
    let index = |sender: &mut BulletinSender| sender.part(Time::ORIGIN).map(|part| part.index());
    assert_eq!([index(&mut sender), index(&mut sender)], [Some(0), Some(0)]);
    sender.sent();
    assert_eq!(index(&mut sender), Some(1));
}

#[test]
fn parts_of_an_older_generation_neither_mix_in_nor_come_back() {
    let mut sender = BulletinSender::new();
    sender.publish(&text(2 * PART_LENGTH, 1)).unwrap();
    let old = round(&mut sender, Time::ORIGIN);
    let sent = text(2 * PART_LENGTH, 2);
    sender.publish(&sent).unwrap();
    let new = round(&mut sender, Time::from_millis(500));

    let mut assembler = BulletinAssembler::new();
    assert_eq!(feed(&mut assembler, BOOT, &old[0]), None);
    assert_eq!(feed(&mut assembler, BOOT, &new[1]), None);
    assert_eq!(feed(&mut assembler, BOOT, &old[1]), None);
    assert_eq!(feed(&mut assembler, BOOT, &new[0]), Some(sent));
    assert_eq!(feed(&mut assembler, BOOT, &new[0]), None, "whole is told once");
    assert!(old.iter().all(|part| feed(&mut assembler, BOOT, part).is_none()));
}

#[test]
fn a_new_run_begins_anew_whatever_its_generation() {
    let mut assembler = BulletinAssembler::new();
    assert!(feed(&mut assembler, BOOT, &(9, 0, 1, b"old run".to_vec())).is_some());
    assert_eq!(feed(&mut assembler, BootId(2), &(9, 0, 1, b"new run".to_vec())), Some(b"new run".to_vec()));
    let mut assembler = BulletinAssembler::new();
    assert!(feed(&mut assembler, BOOT, &(9, 0, 1, b"old run".to_vec())).is_some());
    let part = (1, 0, 2, vec![1; PART_LENGTH]);
    assert_eq!(feed(&mut assembler, BootId(2), &part), None);
    assert_eq!(feed(&mut assembler, BootId(2), &(1, 1, 2, vec![1])), Some(vec![1; PART_LENGTH + 1]));
}

#[test]
fn one_generation_cut_in_two_ways_keeps_its_first_word() {
    let mut assembler = BulletinAssembler::new();
    assert_eq!(feed(&mut assembler, BOOT, &(1, 0, 2, vec![1; PART_LENGTH])), None);
    assert_eq!(feed(&mut assembler, BOOT, &(1, 1, 3, vec![2; PART_LENGTH])), None);
    assert_eq!(feed(&mut assembler, BOOT, &(1, 1, 2, vec![1])), Some(vec![1; PART_LENGTH + 1]));
}

proptest! {
    /// Parts arrive in any order, some never, some often: what is told is always a
    /// text that was published, never an older one after a newer one, and one round
    /// without loss in the end tells the last.
    #[test]
    fn under_loss_reordering_and_duplication_only_whole_texts_are_told_and_in_order(
        lengths in proptest::collection::vec(0..=MAX_BULLETIN, 1..5),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let mut sender = BulletinSender::new();
        let mut parts = Vec::new();
        let mut texts = Vec::new();
        let mut now = Time::ORIGIN;
        for (seed, length) in lengths.into_iter().enumerate() {
            // The first byte tells the texts apart, so that none is taken for no change.
            let mut sent = text(length, 0);
            sent.insert(0, seed as u8);
            sent.truncate(MAX_BULLETIN);
            sender.publish(&sent).unwrap();
            parts.extend(round(&mut sender, now));
            texts.push(sent);
            now += ROUND_GAP;
        }
        let mut assembler = BulletinAssembler::new();
        let mut told = Vec::new();
        for pick in picks {
            told.extend(feed(&mut assembler, BOOT, &parts[pick.index(parts.len())]));
        }
        sender.repeat();
        for part in round(&mut sender, now) {
            told.extend(feed(&mut assembler, BOOT, &part));
        }
        let order: Vec<_> = told.iter().map(|told| texts.iter().position(|text| text == told)).collect();
        prop_assert!(order.iter().all(Option::is_some) && order.is_sorted_by(|a, b| a < b), "{:?}", order);
        prop_assert_eq!(order.last(), Some(&Some(texts.len() - 1)));
    }
}
