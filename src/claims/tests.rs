//! The task alone, with a scripted core and a driver whose actions end when the test says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::proto::claim::event::{ClaimState, FailureClass, Hold, Holder};
use crate::proto::ids::Term;

const PATIENCE: Duration = Duration::from_secs(10);

type Shared<T> = Arc<Mutex<T>>;

/// Says what it is told to say, and keeps what it hears.
#[derive(Clone, Default)]
struct Script {
    heard: Shared<Vec<Input>>,
    says: Shared<VecDeque<Output>>,
    on_intent: Shared<VecDeque<Vec<Output>>>,
    deadline: Shared<Option<Time>>,
}

impl Core for Script {
    fn handle(&mut self, now: Time, input: Input) {
        if let Input::Intent(_) = input {
            self.says.lock().unwrap().extend(self.on_intent.lock().unwrap().pop_front().unwrap_or_default());
        }
        if let Input::Timer = input {
            assert!(self.deadline.lock().unwrap().take().is_some_and(|deadline| deadline <= now), "too early");
        }
        self.heard.lock().unwrap().push(input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.says.lock().unwrap().pop_front()
    }

    fn next_deadline(&self) -> Option<Time> {
        *self.deadline.lock().unwrap()
    }
}

/// Marks the end of an action that was dropped before it ended.
struct Dropped(Action, Shared<Vec<Action>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[derive(Clone, Default)]
struct Fake {
    under_way: Shared<Vec<(Action, oneshot::Sender<Outcome>)>>,
    dropped: Shared<Vec<Action>>,
}

impl Driver for Fake {
    async fn perform(&self, action: Action) -> Outcome {
        let (end, ended) = oneshot::channel();
        self.under_way.lock().unwrap().push((action, end));
        let mark = Dropped(action, Arc::clone(&self.dropped));
        let outcome = ended.await.unwrap();
        std::mem::forget(mark);
        outcome
    }
}

impl Fake {
    fn end(&self, action: Action, outcome: Outcome) {
        let mut under_way = self.under_way.lock().unwrap();
        let place = under_way.iter().position(|(begun, _)| *begun == action).expect("not begun");
        let (_, end) = under_way.swap_remove(place);
        end.send(outcome).expect("nobody waits");
    }
}

struct Bench {
    script: Script,
    fake: Fake,
    intents: watch::Sender<Intent>,
    tunings: watch::Sender<Tuning>,
    reports: watch::Receiver<ClaimReport>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

fn start(events: usize, on_intent: impl IntoIterator<Item = Vec<Output>>) -> Bench {
    let script = Script { on_intent: Arc::new(Mutex::new(on_intent.into_iter().collect())), ..Script::default() };
    let fake = Fake::default();
    let (intents, intents_out) = watch::channel(Intent::Yield);
    let (reports_in, reports) = watch::channel(ClaimReport::default());
    let (events_in, events) = mpsc::channel(events);
    let (tunings, tunings_out) = watch::channel(Tuning { params: params(1), token: 0 });
    let channels = Channels { tunings: tunings_out, intents: intents_out, reports: reports_in, events: events_in };
    let (core, driver) = (script.clone(), fake.clone());
    let task = tokio::spawn(async move { drive(core, &driver, channels).await });
    Bench { script, fake, intents, tunings, reports, events, task }
}

fn params(verify: u64) -> Params {
    Params {
        heartbeat_interval: Duration::from_millis(500),
        verify_interval: Duration::from_secs(verify),
        readiness_interval: Duration::from_secs(300),
        claim_timeout: Duration::from_secs(60),
        calls_per_minute: 60,
        gated: false,
        seed: 0,
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = clock::now() + PATIENCE;
    while !condition() {
        assert!(clock::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

fn start_of(ticket: u64, action: Action) -> Output {
    Output::Start { ticket: Ticket(ticket), action }
}

const POLL: Action = Action::Poll { action: crate::proto::claim::event::CloudActionId(7) };
const LOOK: Action = Action::LookApi { fresh: false };

#[tokio::test]
async fn the_first_intent_and_each_newer_one_reach_the_reconciler() {
    let bench = start(EVENTS, []);
    let hold = Intent::Hold(Hold { term: Term(3), since: Time::from_millis(5), base: [].into_iter().collect() });
    let heard = || bench.script.heard.lock().unwrap().clone();
    eventually("the first intent", || heard() == [Input::Intent(Intent::Yield)]).await;
    bench.intents.send_replace(hold);
    eventually("the second intent", || heard().last() == Some(&Input::Intent(hold))).await;
}

#[tokio::test]
async fn a_reload_reaches_the_reconciler_and_another_token_is_told_first() {
    let bench = start(EVENTS, []);
    let heard = || bench.script.heard.lock().unwrap().clone();
    eventually("the first intent", || heard().len() == 1).await;
    bench.tunings.send_replace(Tuning { params: params(2), token: 0 });
    eventually("other settings", || heard()[1..] == [Input::Params(params(2))]).await;
    bench.tunings.send_replace(Tuning { params: params(3), token: 1 });
    eventually("another token", || heard()[2..] == [Input::Credentials, Input::Params(params(3))]).await;
}

#[tokio::test]
async fn actions_run_side_by_side_and_each_end_carries_its_ticket() {
    let bench = start(EVENTS, [vec![start_of(1, Action::LookLocal), start_of(2, LOOK), start_of(3, POLL)]]);
    eventually("three actions", || bench.fake.under_way.lock().unwrap().len() == 3).await;
    bench.fake.end(LOOK, Outcome::Api { holder: Holder::Nobody, locked: false });
    bench.fake.end(Action::LookLocal, Outcome::Local { mine: false });
    eventually("two ends", || bench.script.heard.lock().unwrap().len() == 3).await;
    let heard = bench.script.heard.lock().unwrap().clone();
    for (ticket, outcome) in
        [(1, Outcome::Local { mine: false }), (2, Outcome::Api { holder: Holder::Nobody, locked: false })]
    {
        assert!(heard.contains(&Input::Done { ticket: Ticket(ticket), outcome }), "{heard:?}");
    }
}

#[tokio::test]
async fn a_cancelled_read_is_dropped_without_a_word_and_an_assign_never() {
    let cancel = |ticket| Output::Cancel { ticket: Ticket(ticket) };
    let bench = start(
        EVENTS,
        [
            vec![start_of(1, LOOK), start_of(2, Action::Assign), start_of(3, POLL)],
            vec![cancel(1), cancel(2), cancel(3), cancel(99)],
        ],
    );
    eventually("three actions", || bench.fake.under_way.lock().unwrap().len() == 3).await;
    bench.intents.send_replace(Intent::Warm);
    eventually("two dropped reads", || bench.fake.dropped.lock().unwrap().len() == 2).await;
    assert!(!bench.fake.dropped.lock().unwrap().contains(&Action::Assign));
    let accepted = Outcome::Accepted { action: crate::proto::claim::event::CloudActionId(7) };
    bench.fake.end(Action::Assign, accepted.clone());
    let done = Input::Done { ticket: Ticket(2), outcome: accepted };
    eventually("the assign's end", || bench.script.heard.lock().unwrap().last() == Some(&done)).await;
    let heard = bench.script.heard.lock().unwrap().clone();
    assert_eq!(heard.iter().filter(|input| matches!(input, Input::Done { .. })).count(), 1, "{heard:?}");
}

#[tokio::test]
async fn the_timer_is_fed_at_its_deadline_and_not_before() {
    let bench = start(EVENTS, [vec![start_of(1, Action::Warm)]]);
    let due = clock::now() + Duration::from_millis(60);
    *bench.script.deadline.lock().unwrap() = Some(due);
    eventually("the timer", || bench.script.heard.lock().unwrap().contains(&Input::Timer)).await;
    assert!(clock::now() >= due);
}

#[tokio::test]
async fn reports_milestones_and_failures_are_told() {
    let report = ClaimReport { state: ClaimState::Claiming, ..ClaimReport::default() };
    let failure = Failure { class: FailureClass::Again, text: "no".into() };
    let mut bench = start(
        EVENTS,
        [vec![
            Output::Report(report.clone()),
            Output::Milestone(Milestone::AssignSent),
            Output::Failed(failure.clone()),
        ]],
    );
    let told = tokio::time::timeout(PATIENCE, bench.reports.wait_for(|told| *told == report)).await;
    told.unwrap().unwrap();
    assert_eq!(bench.events.recv().await.unwrap().what, Happened::Reached(Milestone::AssignSent));
    let event = bench.events.recv().await.unwrap();
    assert_eq!(event.what, Happened::Failed(failure));
    assert!(event.at <= clock::now());
}

#[tokio::test]
async fn an_agent_that_takes_no_events_holds_nothing_up() {
    let milestones = (0..100).map(|_| Output::Milestone(Milestone::Verified));
    let bench = start(1, [milestones.chain([start_of(1, Action::Assign)]).collect()]);
    eventually("the assign", || bench.fake.under_way.lock().unwrap().len() == 1).await;
    assert_eq!(bench.events.len(), 1);
}

#[tokio::test]
async fn the_task_ends_with_the_intents_and_drops_what_is_under_way() {
    let bench = start(EVENTS, [vec![start_of(1, LOOK)]]);
    eventually("a look", || bench.fake.under_way.lock().unwrap().len() == 1).await;
    drop(bench.intents);
    tokio::time::timeout(PATIENCE, bench.task).await.unwrap().unwrap();
    assert_eq!(*bench.fake.dropped.lock().unwrap(), [LOOK]);
}

/// A cloud that does what it is asked, and remembers in what order.
#[derive(Default)]
struct ObedientCloud {
    asked: Mutex<Vec<Action>>,
    mine: Mutex<bool>,
}

impl Driver for Arc<ObedientCloud> {
    async fn perform(&self, action: Action) -> Outcome {
        self.asked.lock().unwrap().push(action);
        let mut mine = self.mine.lock().unwrap();
        match action {
            Action::LookLocal => Outcome::Local { mine: *mine },
            Action::LookApi { .. } => {
                Outcome::Api { holder: if *mine { Holder::Mine } else { Holder::Nobody }, locked: false }
            }
            Action::Warm => Outcome::Warmed,
            Action::Assign => Outcome::Accepted { action: crate::proto::claim::event::CloudActionId(7) },
            Action::Promote => Outcome::Promoted,
            Action::Poll { .. } => {
                *mine = true;
                Outcome::Progress(crate::proto::claim::event::Progress::Completed)
            }
        }
    }
}

#[tokio::test]
async fn a_master_claims_what_nobody_has_and_verifies_it() {
    let cloud = Arc::new(ObedientCloud::default());
    let reconciler = Reconciler::new(crate::proto::claim::Params {
        heartbeat_interval: Duration::from_millis(100),
        verify_interval: Duration::from_secs(1),
        readiness_interval: Duration::from_secs(300),
        claim_timeout: Duration::from_secs(60),
        calls_per_minute: 60,
        gated: false,
        seed: 1,
    });
    let (intents, intents_out) = watch::channel(Intent::Yield);
    let (reports_in, mut reports) = watch::channel(ClaimReport::default());
    let (events_in, mut events) = mpsc::channel(EVENTS);
    let (_tunings, tunings_out) = watch::channel(Tuning { params: params(1), token: 0 });
    let channels = Channels { tunings: tunings_out, intents: intents_out, reports: reports_in, events: events_in };
    let driver = Arc::clone(&cloud);
    let task = tokio::spawn(async move { drive(reconciler, &driver, channels).await });

    let proof = tokio::time::timeout(PATIENCE, reports.wait_for(|report| report.proof.is_some())).await;
    assert_eq!(proof.unwrap().unwrap().state, ClaimState::Idle);
    let base = [].into_iter().collect();
    intents.send_replace(Intent::Hold(Hold { term: Term(1), since: clock::now(), base }));
    let held = tokio::time::timeout(PATIENCE, reports.wait_for(|report| report.state == ClaimState::Held)).await;
    assert!(held.unwrap().unwrap().verified.is_some());

    let assigns = cloud.asked.lock().unwrap().iter().filter(|action| **action == Action::Assign).count();
    assert_eq!(assigns, 1);
    drop(intents);
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    let mut reached = Vec::new();
    while let Some(event) = events.recv().await {
        match event.what {
            Happened::Reached(milestone) => reached.push(milestone),
            Happened::Failed(failure) => panic!("{failure}"),
        }
    }
    use Milestone::{ActionCompleted, AssignSent, Promoted, Verified};
    assert_eq!(reached, [Promoted, AssignSent, ActionCompleted, Verified]);
}
