use super::*;
use crate::view::status::samples::{self, NOW, ago, node};

const SOON: Duration = Duration::from_secs(10);

fn web() -> GroupName {
    GroupName::new("web").unwrap()
}

fn entry(event: Event) -> Entry {
    Entry { group: web(), node: node("web-1"), event }
}

fn state_change(second: u64) -> Entry {
    entry(Event::State(StateChange {
        at: Stamp::from_unix_millis(NOW.unix_millis() + second * 1000),
        from_state: State::Backup,
        to_state: State::Master,
        reason: "silent".to_owned(),
        evidence: Some("web-2 fell silent; last heard 1.5 s before".to_owned()),
        term: Term(second),
    }))
}

fn drained() -> Entry {
    entry(Event::Act(ActChange::new(ago(300), true, samples::drain("web-2"))))
}

#[test]
fn what_is_recorded_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = vec![state_change(1), entry(Event::Move(samples::last_move())), drained()];
    let history = History::open(folder.path()).unwrap();
    for entry in &recorded {
        history.record(entry.clone());
    }
    assert_eq!(history.entries(None, 10), recorded);
    assert!(history.flush(SOON));
    drop(history);

    let again = History::open(folder.path()).unwrap();
    assert_eq!(again.entries(None, 10), recorded);
    assert_eq!(again.entries(None, 1), recorded[2..]);
    assert_eq!(again.entries(GroupName::new("db").ok().as_ref(), 10), []);
    assert_eq!(again.last_move(&web()), Some(samples::last_move()));
    assert_eq!(again.trouble(), None);
}

#[test]
fn a_move_that_is_recorded_again_with_more_steps_is_one_move() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path()).unwrap();
    let mut begun = samples::last_move();
    begun.phases_ms.verified = None;
    history.record(entry(Event::Move(begun)));
    history.record(state_change(1));
    history.record(entry(Event::Move(samples::last_move())));
    assert!(history.flush(SOON));
    for history in [history, History::open(folder.path()).unwrap()] {
        assert_eq!(history.entries(None, 10), vec![entry(Event::Move(samples::last_move())), state_change(1)]);
    }
}

#[test]
fn a_torn_last_line_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let whole = serde_json::to_string(&state_change(1)).unwrap();
    fs::write(&file, format!("{whole}\nnot json\n{{\"entry\":\"later\"}}\n{}", &whole[..40])).unwrap();
    let history = History::open(folder.path()).unwrap();
    assert_eq!(history.entries(None, 10), vec![state_change(1)]);
    history.record(state_change(2));
    assert!(history.flush(SOON));
    let again = History::open(folder.path()).unwrap();
    assert_eq!(again.entries(None, 10), vec![state_change(1), state_change(2)]);
}

#[test]
fn a_file_of_junk_is_read_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let mut junk = vec![0xff_u8; 3 * 1024 * 1024];
    junk.push(b'\n');
    junk.extend(serde_json::to_vec(&state_change(1)).unwrap());
    junk.push(b'\n');
    fs::write(&file, &junk).unwrap();
    let history = History::open(folder.path()).unwrap();
    assert_eq!(history.entries(None, 10), vec![state_change(1)]);
}

#[test]
fn beyond_its_bounds_the_older_half_is_forgotten_on_the_disk_and_the_rest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let history = History::open(folder.path()).unwrap();
    let last = u64::try_from(LINES).unwrap() + 600;
    for number in 0..last {
        history.record(state_change(number));
        // The writer is quicker than any group; a test is quicker than the writer.
        if number % 100 == 0 {
            assert!(history.flush(SOON));
        }
    }
    assert!(history.flush(SOON));
    assert_eq!(history.trouble(), None);
    assert_eq!(history.entries(None, usize::MAX).len(), LINES);
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert!((LINES / 4..=LINES).contains(&lines), "{lines}");
    assert!(fs::metadata(&file).unwrap().len() <= u64::try_from(BYTES).unwrap());
    let again = History::open(folder.path()).unwrap().entries(None, 1);
    assert_eq!(again, vec![state_change(last - 1)]);
}

#[test]
fn texts_are_cut_so_that_a_line_stays_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path()).unwrap();
    let mut long = drained();
    if let Event::Act(change) = &mut long.event {
        change.act.reason = Some("\u{1}\n".repeat(1_000_000));
    }
    history.record(long);
    assert!(history.flush(SOON));
    let size = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert!(size < u64::try_from(LINE_BYTES).unwrap(), "{size}");
    assert_eq!(History::open(folder.path()).unwrap().entries(None, 10).len(), 1);
}

#[test]
fn a_disk_that_takes_nothing_costs_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // A directory where the file should be: no user, root neither, can write to it.
    fs::create_dir(folder.path().join(FILE)).unwrap();
    let history = History::open(folder.path()).unwrap();
    history.record(state_change(1));
    assert!(history.flush(SOON));
    assert_eq!(history.entries(None, 10).len(), 1);
    assert!(history.trouble().unwrap().contains("kept in memory only"));

    fs::remove_dir(folder.path().join(FILE)).unwrap();
    history.record(state_change(2));
    assert!(history.flush(SOON));
    assert_eq!(history.trouble(), None);
}

#[test]
fn a_hung_disk_never_holds_up_the_recorder() {
    let folder = tempfile::tempdir().unwrap();
    // A FIFO without a reader hangs whoever opens it for writing.
    let history = History::open(folder.path()).unwrap();
    nix::unistd::mkfifo(&folder.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let many = QUEUE + 50;
    for number in 0..many {
        history.record(state_change(u64::try_from(number).unwrap()));
    }
    assert!(history.trouble().unwrap().contains("has taken nothing for 256 entries"), "{:?}", history.trouble());
    assert_eq!(history.entries(None, usize::MAX).len(), many);
    assert!(!history.flush(Duration::from_millis(20)));
}

#[test]
fn the_page_tells_switchover_from_failover_and_each_step_with_its_duration() {
    let mut planned = samples::last_move();
    planned.kind = crate::view::status::MoveKind::Switchover;
    planned.by = Some("ben".to_owned());
    planned.phases_ms.last_heartbeat = None;
    planned.phases_ms.verified = None;
    let page = render(
        &[entry(Event::Move(samples::last_move())), entry(Event::Move(planned)), state_change(1), drained()],
        Style { colour: false },
    );
    assert!(page.lines().all(|line| line.chars().count() <= 80));
    let expected = "\
2026-07-11 10:00:00Z  web  failover web-2 -> web-1, term 7
  reason    silent
  evidence  web-2 fell silent; last heard 1.5 s before; rank 0
  timeline  last heartbeat         0 ms
            detected             500 ms  +500 ms
            decided             1.501 s  +1.001 s
            promoted            1.501 s  +0 ms
            assign sent         1.504 s  +3 ms
            action completed    2.316 s  +812 ms
            verified            2.340 s  +24 ms
2026-07-11 10:00:00Z  web  switchover web-2 -> web-1, term 7
  reason    silent
  by        ben
  evidence  web-2 fell silent; last heard 1.5 s before; rank 0
  timeline  detected               0 ms
            decided             1.001 s  +1.001 s
            promoted            1.001 s  +0 ms
            assign sent         1.004 s  +3 ms
            action completed    1.816 s  +812 ms
            not verified
2026-07-14 12:00:01Z  web  web-1: backup -> master, term 1
  reason    silent
  evidence  web-2 fell silent; last heard 1.5 s before
2026-07-14 11:55:00Z  web  web-2: drained
  by        ben (sudo)
  reason    kernel update
";
    assert!(page == expected, "the page is now:\n{page}");
    assert_eq!(render(&[], Style { colour: false }), "nothing has happened yet\n");
}

#[test]
fn a_move_that_another_node_tells_again_and_again_is_kept_once_and_never_told_on() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path()).unwrap();
    let mut begun = samples::last_move();
    begun.phases_ms.verified = None;
    for told in [&begun, &begun, &samples::last_move(), &samples::last_move()] {
        history.learn(&web(), &node("web-2"), told);
    }
    let earlier = Move { at: ago(999_999), ..samples::last_move() };
    history.learn(&web(), &node("web-2"), &earlier);
    assert_eq!(history.entries(None, 10).len(), 2);
    assert_eq!(history.last_move(&web()), Some(samples::last_move()), "the newest, in whatever order they came");
    assert_eq!(history.moves_of(&web(), &node("web-1"), 8), []);
    assert_eq!(history.moves_of(&web(), &node("web-2"), 1), [earlier]);
    assert!(history.flush(SOON));
    assert_eq!(history.progress(), (3, 3));
}

#[test]
fn what_made_a_node_master_is_told_once_with_the_move_that_follows() {
    let evidence = Some("web-2 fell silent".to_owned());
    let moved = Move { evidence: evidence.clone(), ..samples::last_move() };
    let change = StateChange {
        at: moved.at,
        from_state: State::Backup,
        to_state: State::Master,
        reason: moved.reason.clone(),
        evidence,
        term: moved.term,
    };
    let entry = |event| Entry { group: GroupName::new("web").unwrap(), node: samples::node("web-1"), event };
    let (turned, followed) = (entry(Event::State(change)), entry(Event::Move(moved)));
    let told = |entries: &[Entry]| render(entries, Style { colour: false }).matches("web-2 fell silent").count();
    assert_eq!(told(&[turned.clone(), followed.clone()]), 1);
    assert_eq!((told(&[turned]), told(&[followed])), (1, 1), "alone each tells it");
}
