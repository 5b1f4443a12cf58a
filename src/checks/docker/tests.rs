//! The check against an engine on a real socket that can also misbehave.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc};

use super::*;
use crate::checks::{CheckKind, CheckSettings, LOOK_SPACING, REPORT_QUEUE, Report, Running, start};
use crate::proto::health::{CheckIndex, Pace, Sample};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// How the engine answers one of its two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Well,
    Never,
    Garbage,
    Forbidden,
    /// So many bytes, announced.
    Long(usize),
    /// Bytes for ever, in chunks, without a line break.
    Endless,
    /// The head, and then the end.
    Closed,
    /// The head, and then nothing.
    Stuck,
}

struct Engine {
    containers: Mutex<Vec<Value>>,
    list: Mutex<Manner>,
    events: Mutex<Manner>,
    feed: broadcast::Sender<String>,
    /// The targets of the requests, oldest first.
    requests: Mutex<Vec<String>>,
    /// Connections that are open now.
    open: AtomicUsize,
    /// What the client took of the answers that were too long.
    taken: AtomicUsize,
    dir: tempfile::TempDir,
}

fn container(name: &str, state: &str, status: &str) -> Value {
    json!({ "Id": format!("id-{name}"), "Names": [format!("/{name}")], "State": state, "Status": status })
}

impl Engine {
    fn start(containers: Vec<Value>) -> Arc<Self> {
        let engine = Arc::new(Self {
            containers: Mutex::new(containers),
            list: Mutex::new(Manner::Well),
            events: Mutex::new(Manner::Well),
            feed: broadcast::channel(100).0,
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            dir: tempfile::tempdir().unwrap(),
        });
        let listener = UnixListener::bind(engine.socket()).unwrap();
        let accepting = Arc::clone(&engine);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let engine = Arc::clone(&accepting);
                tokio::spawn(async move {
                    engine.open.fetch_add(1, Ordering::Relaxed);
                    // The client may go at any time.
                    let _ = engine.serve(stream).await;
                    engine.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        engine
    }

    /// Ten containers that run.
    fn ten() -> Arc<Self> {
        Self::start((0..10).map(|i| container(&format!("web-{i}"), "running", "Up 2 hours")).collect())
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    async fn serve(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let target = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
        self.requests.lock().unwrap().push(target.clone());
        let is_list = target.starts_with("/containers/json?");
        let manner = *if is_list { &self.list } else { &self.events }.lock().unwrap();
        match manner {
            Manner::Well if is_list => stream.write_all(&self.answer(target.contains("all=true"))).await,
            Manner::Well => {
                let mut feed = self.feed.subscribe();
                stream.write_all(CHUNKED).await?;
                loop {
                    tokio::select! {
                        event = feed.recv() => stream.write_all(&chunk(&event.unwrap())).await?,
                        end = stream.read_u8() => return end.map(drop),
                    }
                }
            }
            Manner::Never => stream.read_u8().await.map(drop),
            Manner::Garbage => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n]\xff\0{\n\n").await,
            Manner::Forbidden => {
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\nnot for you\n").await
            }
            Manner::Long(bytes) => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes()).await?;
                self.pour(stream, &"[".repeat(1000), bytes / 1000).await
            }
            Manner::Endless => {
                stream.write_all(CHUNKED).await?;
                let piece = String::from_utf8(chunk(&format!("{{\"Action\":\"{}", "x".repeat(1000)))).unwrap();
                self.pour(stream, &piece, usize::MAX).await
            }
            Manner::Stuck => {
                stream.write_all(CHUNKED).await?;
                stream.read_u8().await.map(drop)
            }
            Manner::Closed => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await,
        }
    }

    async fn pour(&self, mut stream: UnixStream, piece: &str, times: usize) -> std::io::Result<()> {
        for _ in 0..times {
            stream.write_all(piece.as_bytes()).await?;
            self.taken.fetch_add(piece.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn answer(&self, all: bool) -> Vec<u8> {
        let containers = self.containers.lock().unwrap();
        let up = |c: &&Value| all || ["running", "paused", "restarting"].contains(&c["State"].as_str().unwrap());
        let body = Value::from(containers.iter().filter(up).cloned().collect::<Vec<_>>()).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn set(&self, place: usize, state: &str, status: &str) {
        let mut containers = self.containers.lock().unwrap();
        containers[place]["State"] = state.into();
        containers[place]["Status"] = status.into();
    }

    fn say(&self, action: &str) {
        self.say_of("x", action);
    }

    fn say_of(&self, id: &str, action: &str) {
        let event = json!({ "Type": "container", "Action": action, "Actor": { "ID": id }, "time": 1 });
        let _ = self.feed.send(format!("{event}\n"));
    }

    fn asked(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|target| target.starts_with(path)).count()
    }
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn settings(engine: &Engine, running: Count) -> DockerSettings {
    DockerSettings { socket: engine.socket(), running, name: None, label: None, healthy: false }
}

async fn look(settings: DockerSettings) -> (Verdict, String) {
    let look = Docker::new(settings, PATIENCE).look().await;
    (look.verdict, look.detail)
}

/// The check as the agent runs it.
struct Watch {
    _running: Running,
    reports: mpsc::Receiver<Report>,
}

impl Watch {
    fn start(docker: DockerSettings, interval: Duration, timeout: Duration) -> Self {
        let pace = Pace { interval, timeout, ..Pace::default() };
        let settings = CheckSettings { name: "docker".into(), pace, kind: CheckKind::Docker(docker) };
        let (sender, reports) = mpsc::channel(REPORT_QUEUE);
        Self { _running: start(CheckIndex(0), &settings, sender), reports }
    }

    async fn until(&mut self, verdict: Verdict) -> Sample {
        let awaited = async {
            loop {
                let sample = self.reports.recv().await.expect("a check that runs").sample;
                if sample.verdict == verdict {
                    return sample;
                }
            }
        };
        timeout(PATIENCE, awaited).await.unwrap_or_else(|_| panic!("no look came to {verdict:?}"))
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let awaited = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, awaited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn exactly_so_many_must_run_and_the_missing_one_is_named() {
    let engine = Engine::ten();
    let ten = settings(&engine, Count::exactly(10));
    assert_eq!(look(ten.clone()).await, (Verdict::Ok, "10 running".to_owned()));
    engine.set(3, "exited", "Exited (137) 2 seconds ago");
    assert_eq!(look(ten).await, (Verdict::Failed, "9 of 10 running; web-3: exited (137)".to_owned()));
    let eight = settings(&engine, Count::exactly(8));
    assert_eq!(look(eight).await, (Verdict::Failed, "9 running, 8 expected".to_owned()));
}

#[tokio::test]
async fn that_nothing_is_chosen_is_said_with_what_chooses() {
    let engine = Engine::start(Vec::new());
    let all = settings(&engine, Count::exactly(10));
    let detail = |settings| async { look(settings).await.1 };
    assert_eq!(detail(all.clone()).await, "0 of 10 running; there is no container");
    let labelled = DockerSettings { label: Some("app=web".to_owned()), ..all };
    assert_eq!(detail(labelled.clone()).await, "0 of 10 running; no container has the label app=web");
    let both = DockerSettings { name: Some("^web-".to_owned()), ..labelled };
    let words = "0 of 10 running; no container has a name that matches ^web- and the label app=web";
    assert_eq!(detail(both).await, words);
}

#[tokio::test]
async fn a_range_may_be_open_at_either_end() {
    let engine = Engine::ten();
    for (min, max, verdict, detail) in [
        (10, None, Verdict::Ok, "10 running"),
        (11, None, Verdict::Failed, "10 running, at least 11 expected"),
        (0, Some(10), Verdict::Ok, "10 running"),
        (0, Some(9), Verdict::Failed, "10 running, at most 9 expected"),
        (11, Some(12), Verdict::Failed, "10 running, 11 to 12 expected"),
    ] {
        let expected = Count::between(min, max).unwrap();
        assert_eq!(look(settings(&engine, expected)).await, (verdict, detail.to_owned()));
    }
}

#[tokio::test]
async fn paused_and_restarting_containers_do_not_count() {
    let engine = Engine::ten();
    engine.set(1, "paused", "Up 2 hours (Paused)");
    engine.set(2, "restarting", "Restarting (1) 3 seconds ago");
    let (verdict, detail) = look(settings(&engine, Count::exactly(10))).await;
    assert_eq!((verdict, &*detail), (Verdict::Failed, "8 of 10 running; web-1: paused; web-2: restarting"));
}

#[tokio::test]
async fn healthy_counts_only_what_its_healthcheck_passes_in_old_engines_words_and_new() {
    let engine = Engine::start(vec![
        container("a", "running", "Up 1 second (healthy)"),
        container("b", "running", "Up 1 second (unhealthy)"),
        container("c", "running", "Up 1 second (health: starting)"),
        container("d", "running", "Up 1 second"),
        container("e", "running", "Up 1 second"),
        container("f", "running", "Up 1 second (healthy)"),
    ]);
    engine.containers.lock().unwrap()[4]["Health"] = json!({ "Status": "healthy", "FailingStreak": 0 });
    engine.containers.lock().unwrap()[5]["Health"] = json!({ "Status": "unhealthy", "FailingStreak": 3 });
    let both = DockerSettings { healthy: true, ..settings(&engine, Count::exactly(3)) };
    let (verdict, detail) = look(both).await;
    assert_eq!(verdict, Verdict::Failed);
    assert_eq!(detail, "2 of 3 healthy; b: not healthy; c: not healthy; d: not healthy; 1 more");
}

#[tokio::test]
async fn the_one_that_ran_before_is_named_first() {
    let engine = Engine::ten();
    engine
        .containers
        .lock()
        .unwrap()
        .splice(0..0, (0..9).map(|i| container(&format!("old-{i}"), "exited", "Exited (0)")));
    let mut check = Docker::new(settings(&engine, Count::exactly(10)), PATIENCE);
    assert_eq!(check.look().await.verdict, Verdict::Ok);
    engine.set(16, "exited", "Exited (1) 1 second ago");
    let detail = check.look().await.detail;
    assert!(detail.starts_with("9 of 10 running; web-7: exited (1); old-0"), "{detail}");
}

#[tokio::test]
async fn the_engine_filters_by_name_and_label_and_is_asked_without_a_version() {
    let engine = Engine::ten();
    let chosen = DockerSettings {
        name: Some("^web-".to_owned()),
        label: Some("tier=front".to_owned()),
        ..settings(&engine, Count::exactly(10))
    };
    look(chosen).await;
    // bollard asks without a version, so nothing needs to be negotiated. Should this fail
    // after an update: negotiate on each subscription.
    let target = engine.requests.lock().unwrap().iter().find(|t| t.starts_with("/containers/json?")).unwrap().clone();
    for part in ["all=false", "%22name%22%3A%5B%22%5Eweb-%22%5D", "%22label%22%3A%5B%22tier%3Dfront%22%5D"] {
        assert!(target.contains(part), "{target}");
    }
}

#[tokio::test]
async fn a_death_is_seen_by_its_event_and_the_cure_too() {
    let engine = Engine::ten();
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    watch.until(Verdict::Ok).await;
    until("a subscription", || engine.feed.receiver_count() == 1).await;
    engine.set(3, "exited", "Exited (137) Less than a second ago");
    engine.say("die");
    assert_eq!(&*watch.until(Verdict::Failed).await.detail, "9 of 10 running; web-3: exited (137)");
    engine.set(3, "running", "Up 1 second");
    engine.say("start");
    watch.until(Verdict::Ok).await;
}

/// Docker 20.10 tells of a death 0.2 s before its list shows it.
#[tokio::test]
async fn a_death_counts_before_the_list_shows_it_and_a_start_ends_it() {
    let engine = Engine::ten();
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    watch.until(Verdict::Ok).await;
    until("a subscription", || engine.feed.receiver_count() == 1).await;
    engine.say_of("id-web-3", "die");
    assert_eq!(&*watch.until(Verdict::Failed).await.detail, "9 of 10 running; web-3: stopped just now");
    engine.say_of("id-web-3", "start");
    watch.until(Verdict::Ok).await;
}

#[tokio::test]
async fn what_healthchecks_say_all_day_is_not_looked_at_and_what_they_find_is() {
    let engine = Engine::ten();
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    watch.until(Verdict::Ok).await;
    let subscribed = watch.until(Verdict::Ok).await;
    let looks = engine.asked("/containers/json?all=false");
    until("a change would be looked at without delay", || clock::now().since(subscribed.at) > LOOK_SPACING).await;
    engine.say("exec_create: /bin/true");
    engine.say("exec_die");
    until("they are taken", || engine.feed.is_empty()).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    engine.set(0, "exited", "Exited (0) 1 second ago");
    engine.say("health_status: unhealthy");
    watch.until(Verdict::Failed).await;
    assert_eq!(engine.asked("/containers/json?all=false"), looks + 1);
}

#[tokio::test]
async fn without_events_the_poll_finds_it() {
    let engine = Engine::ten();
    *engine.events.lock().unwrap() = Manner::Never;
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), Duration::from_millis(5), PATIENCE);
    watch.until(Verdict::Ok).await;
    engine.set(0, "exited", "Exited (0) 1 second ago");
    watch.until(Verdict::Failed).await;
}

#[tokio::test]
async fn after_each_subscription_there_is_a_look() {
    let engine = Engine::ten();
    *engine.events.lock().unwrap() = Manner::Closed;
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    watch.until(Verdict::Ok).await;
    until("three subscriptions", || engine.asked("/events") >= 3).await;
    engine.set(0, "exited", "Exited (0) 1 second ago");
    watch.until(Verdict::Failed).await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_timed_out_is_left_and_is_followed_again_when_it_thaws() {
    let engine = Engine::ten();
    let (interval, limit) = (Duration::from_millis(5), Duration::from_millis(50));
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), interval, limit);
    watch.until(Verdict::Ok).await;
    until("a subscription", || engine.feed.receiver_count() == 1).await;
    *engine.events.lock().unwrap() = Manner::Never;
    for manner in [Manner::Never, Manner::Stuck, Manner::Never, Manner::Stuck] {
        *engine.list.lock().unwrap() = manner;
        assert_eq!(&*watch.until(Verdict::TimedOut).await.detail, "docker did not answer within 50ms");
    }
    until("the stream of the hung engine is left", || engine.feed.receiver_count() == 0).await;
    until("no connection is left behind", || engine.open.load(Ordering::Relaxed) <= 1).await;
    *engine.list.lock().unwrap() = Manner::Well;
    *engine.events.lock().unwrap() = Manner::Well;
    watch.until(Verdict::Ok).await;
    until("a new subscription", || engine.feed.receiver_count() == 1).await;
}

#[tokio::test]
async fn what_is_no_list_of_containers_could_not_be_run() {
    let engine = Engine::ten();
    for (manner, expected) in [
        (Manner::Garbage, "expected value at line 1 column 1"),
        (Manner::Forbidden, "Docker responded with status code 403: not for you\n"),
        (Manner::Closed, "EOF while parsing a value at line 1 column 0"),
    ] {
        *engine.list.lock().unwrap() = manner;
        let (verdict, detail) = look(settings(&engine, Count::exactly(10))).await;
        assert_eq!(verdict, Verdict::CouldNotRun, "{manner:?}");
        assert!(detail.contains(expected), "{detail}");
    }
}

#[tokio::test]
async fn no_engine_could_not_be_asked() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::ten();
    let socket = dir.path().join("docker.sock");
    let nowhere = DockerSettings { socket: socket.clone(), ..settings(&engine, Count::exactly(10)) };
    let (verdict, detail) = look(nowhere.clone()).await;
    assert_eq!(verdict, Verdict::CouldNotRun);
    assert!(detail.contains("docker.sock: no such file; is Docker installed"), "{detail}");
    drop(UnixListener::bind(&socket).unwrap());
    let (verdict, detail) = look(nowhere).await;
    assert_eq!(verdict, Verdict::CouldNotRun);
    assert!(detail.contains("docker.sock: nobody listens; is Docker running?"), "{detail}");
}

/// What the sockets between the two hold, beyond what the check has read.
const IN_FLIGHT: usize = 1 << 20;

#[tokio::test]
async fn a_list_of_50_mb_or_without_end_is_refused_and_not_taken() {
    let engine = Engine::ten();
    for manner in [Manner::Long(50_000_000), Manner::Endless] {
        *engine.list.lock().unwrap() = manner;
        engine.taken.store(0, Ordering::Relaxed);
        let (verdict, detail) = look(settings(&engine, Count::exactly(10))).await;
        assert_eq!(verdict, Verdict::CouldNotRun, "{manner:?}");
        assert!(detail.ends_with("the answer is longer than 2097152 bytes"), "{detail}");
        until("the connection is closed", || engine.open.load(Ordering::Relaxed) == 0).await;
        let taken = engine.taken.load(Ordering::Relaxed);
        assert!(taken < LIST_BYTES + IN_FLIGHT, "{taken} bytes were taken");
    }
}

#[tokio::test]
async fn an_event_without_end_ends_the_stream_and_not_the_check() {
    let engine = Engine::ten();
    *engine.events.lock().unwrap() = Manner::Endless;
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), Duration::from_millis(5), PATIENCE);
    until("it is tried again", || engine.asked("/events") >= 2).await;
    let taken = engine.taken.load(Ordering::Relaxed);
    assert!(taken < 2 * (EVENT_BYTES + IN_FLIGHT), "{taken} bytes were taken");
    *engine.events.lock().unwrap() = Manner::Well;
    until("a stream that works", || engine.feed.receiver_count() == 1).await;
    watch.until(Verdict::Ok).await;
}

#[tokio::test]
async fn events_may_add_up_to_more_than_one_may_have() {
    let engine = Engine::ten();
    let mut watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    until("a subscription", || engine.feed.receiver_count() == 1).await;
    let noise = "x".repeat(EVENT_BYTES / 20);
    for _ in 0..60 {
        engine.say(&noise);
        until("it is taken", || engine.feed.is_empty()).await;
    }
    engine.set(0, "exited", "Exited (0) 1 second ago");
    engine.say("die");
    watch.until(Verdict::Failed).await;
    assert_eq!(engine.asked("/events"), 1, "it is the same stream");
}

#[tokio::test]
async fn garbage_on_the_stream_begins_a_new_one() {
    let engine = Engine::ten();
    *engine.events.lock().unwrap() = Manner::Garbage;
    let _watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
    until("it is tried again", || engine.asked("/events") >= 2).await;
    *engine.events.lock().unwrap() = Manner::Well;
    until("a stream that works", || engine.feed.receiver_count() == 1).await;
}

#[tokio::test]
async fn a_check_that_is_dropped_closes_its_connections() {
    for manner in [Manner::Never, Manner::Stuck] {
        let engine = Engine::ten();
        *engine.list.lock().unwrap() = manner;
        let watch = Watch::start(settings(&engine, Count::exactly(10)), HOUR, PATIENCE);
        until("both connections", || engine.open.load(Ordering::Relaxed) == 2).await;
        drop(watch);
        until("none is open", || engine.open.load(Ordering::Relaxed) == 0).await;
    }
}
