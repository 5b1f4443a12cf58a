use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{oneshot, watch};

use super::*;
use crate::control::client::{self, ClientError};
use crate::control::wait::wait;
use crate::control::wire::{Refusal, VERSION, WaitFor};
use crate::proto::ids::GroupName;
use crate::view::status::{Group, Status, samples};

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// An agent whose snapshot the test sets.
struct Fake {
    snapshot: watch::Sender<Arc<Status>>,
    waiting: AtomicUsize,
}

/// Counts how many wait, however they end.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler for Fake {
    async fn handle(&self, request: Request, caller: Caller) -> Response {
        let snapshot = self.snapshot.subscribe();
        match request {
            Request::Status {} => {
                let status = Arc::clone(&snapshot.borrow());
                Response::Status { status: Box::new(Status::clone(&status)) }
            }
            Request::Wait { group, what, timeout_ms } => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let _waiting = Waiting(&self.waiting);
                wait(snapshot, group, what, Duration::from_millis(timeout_ms), &caller).await
            }
            Request::Drain { reason, .. } => Response::Done { message: format!("{}: {reason:?}", caller.user) },
            Request::Failover { .. } => Response::Refused(Refusal {
                what: "failover".to_owned(),
                why: "no ready candidate is heard".to_owned(),
                mend: "haagent status".to_owned(),
            }),
            Request::History { .. } => Response::Done { message: "x".repeat(ANSWER_BYTES) },
            Request::Restart { reason: Some(_) } => std::future::pending().await,
            Request::Reload { reason: Some(_) } => Response::FileRefused {
                problems: vec!["h.toml:3:1: unknown key".to_owned(), "  mend: this".to_owned()],
            },
            Request::Reload { reason: None } => Response::Reloaded {
                applied: vec![
                    "group.web.preempt false -> true".to_owned(),
                    "docker.socket \"/a\" -> \"/b\"".to_owned(),
                ],
                restart_needed: vec!["heartbeat.port (17112 -> 17113)".to_owned()],
                warnings: Vec::new(),
            },
            Request::Resume { .. } | Request::Restart { reason: None } => {
                Response::Begun { message: "soon".to_owned() }
            }
        }
    }
}

struct Running {
    folder: tempfile::TempDir,
    fake: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        Self::with(Limits::USUAL)
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::bind(&folder.path().join("s")).unwrap();
        server.limits = limits;
        let (snapshot, _) = watch::channel(Arc::new(samples::status("web-2", samples::backup_facts())));
        let fake = Arc::new(Fake { snapshot, waiting: AtomicUsize::new(0) });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(Arc::clone(&fake), async { drop(stopped.await) }));
        Self { folder, fake, stop, task }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    async fn ask(&self, request: Request) -> Response {
        let envelope = Envelope { request, sudo_user: None };
        client::ask(&self.socket(), &envelope, |_| {}).await.unwrap()
    }

    /// What comes back for raw bytes, until the agent closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The agent may close before it has read all.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the agent closes");
        assert!(read.is_ok() || read.unwrap_err().kind() == ErrorKind::ConnectionReset);
        String::from_utf8(answer).unwrap()
    }

    async fn until(&self, condition: impl Fn(&Fake) -> bool) {
        let met = async {
            while !condition(&self.fake) {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, met).await.expect("the condition is met");
    }

    /// `status` is answered: nothing that went before is stuck.
    async fn still_answers(&self) {
        assert!(matches!(self.ask(Request::Status {}).await, Response::Status { .. }));
    }
}

fn wait_for(what: WaitFor, timeout_ms: u64) -> Request {
    Request::Wait { group: None, what, timeout_ms }
}

#[tokio::test]
async fn the_snapshot_arrives_as_it_was_sent() {
    let running = Running::start();
    let expected = Status::clone(&running.fake.snapshot.borrow());
    assert_eq!(running.ask(Request::Status {}).await, Response::Status { status: Box::new(expected) });
}

#[tokio::test]
async fn the_kernel_says_who_asks_and_root_may_name_the_person_behind_sudo() {
    let running = Running::start();
    let drain = Request::Drain { group: None, reason: Some("kernel".to_owned()), for_ms: None, timeout_ms: 1000 };
    let uid = nix::unistd::geteuid();
    let own = user(uid.as_raw(), None);
    assert_eq!(running.ask(drain.clone()).await, Response::Done { message: format!("{own}: Some(\"kernel\")") });
    let envelope = Envelope { request: drain, sudo_user: Some("ben".to_owned()) };
    let author = if uid.is_root() { "ben (sudo)".to_owned() } else { own };
    let answer = client::ask(&running.socket(), &envelope, |_| {}).await.unwrap();
    assert_eq!(answer, Response::Done { message: format!("{author}: Some(\"kernel\")") });
}

#[test]
fn only_root_may_name_somebody_and_only_by_a_name() {
    assert_eq!(user(0, Some("ben")), "ben (sudo)");
    assert_eq!(user(0, Some("ben\u{1b}[2J")), "root");
    assert_eq!(user(0, Some("")), "root");
    assert_eq!(user(4_000_000_000, Some("ben")), "uid 4000000000");
}

#[tokio::test]
async fn junk_is_answered_with_an_error_and_the_connection_closed() {
    let running = Running::start();
    for junk in ["\n", "hello\n", "{}\n", "\u{0}\u{7}\n", "{\"v\":1,\"request\":\"status\",\"x\":1}\n"] {
        let answer = running.raw(junk.as_bytes()).await;
        assert!(answer.starts_with("{\"answer\":\"error\"") && answer.ends_with("}\n"), "{junk:?}: {answer:?}");
    }
    let answer = running.raw(format!("{{\"v\":{},\"request\":\"status\"}}\n", VERSION + 1).as_bytes()).await;
    assert!(answer.contains("speaks version 2, this agent 1"), "{answer}");
    running.still_answers().await;
}

#[tokio::test]
async fn half_a_request_is_dropped_when_its_client_ends() {
    let running = Running::start();
    let mut stream = running.connect().await;
    stream.write_all(b"{\"v\":1,\"requ").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty());
    running.still_answers().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut_off() {
    let running = Running::with(Limits { read: Duration::from_millis(20), ..Limits::USUAL });
    assert_eq!(running.raw(b"{").await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let running = Running::with(Limits { write: Duration::from_millis(20), ..Limits::USUAL });
    let mut status = samples::status("web-2", samples::backup_facts());
    // More than the kernel's buffer takes.
    status.warnings = vec!["x".repeat(ANSWER_BYTES / 2)];
    running.fake.snapshot.send_replace(Arc::new(status));
    let mut stream = running.connect().await;
    let line = Envelope { request: Request::Status {}, sudo_user: None }.to_line();
    stream.write_all(line.as_bytes()).await.unwrap();
    // A write fails once the agent has closed; it takes nothing after the request.
    let closed = async { while stream.write_all(b"x").await.is_ok() {} };
    timeout(SOON, closed).await.expect("cut off");
}

#[tokio::test]
async fn an_agent_whose_brain_hangs_says_that_it_did_not_answer() {
    let running = Running::with(Limits { answer: Duration::from_millis(20), ..Limits::USUAL });
    let answer = running.ask(Request::Restart { reason: Some("hang".to_owned()) }).await;
    assert!(matches!(&answer, Response::Error { message } if message.contains("did not answer within")), "{answer:?}");
}

#[tokio::test]
async fn fifty_megabytes_are_refused_at_the_first_64_kib() {
    let running = Running::start();
    let chunk = vec![b'x'; 256 * 1024];
    for _ in 0..4 {
        let mut stream = running.connect().await;
        let mut sent = 0;
        while sent < 50 * 1024 * 1024 {
            match stream.write(&chunk).await {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        assert!(sent < 2 * 1024 * 1024, "{sent} bytes were taken");
    }
    running.still_answers().await;
}

#[tokio::test]
async fn what_a_client_sends_after_its_request_is_not_read() {
    let running = Running::start();
    let mut stream = running.connect().await;
    let line = Envelope { request: wait_for(WaitFor::Master, 60_000), sudo_user: None }.to_line();
    stream.write_all(line.as_bytes()).await.unwrap();
    running.until(|fake| fake.waiting.load(Ordering::SeqCst) == 1).await;
    let chunk = vec![b'x'; 256 * 1024];
    let mut sent = 0;
    // The kernel's buffer takes some; then it takes no more.
    while let Ok(Ok(written)) = timeout(Duration::from_millis(50), stream.write(&chunk)).await {
        sent += written;
        assert!(sent < 8 * 1024 * 1024);
    }
    running.still_answers().await;
}

#[tokio::test]
async fn clients_that_hang_take_no_more_than_their_places_and_one_more_is_told_busy() {
    let running = Running::start();
    let mut hanging = Vec::new();
    for _ in 0..CONNECTIONS {
        hanging.push(running.connect().await);
    }
    // The agent takes them in order: this one is the first without a place.
    let answer = running.raw(b"").await;
    assert!(answer.contains("as many clients as it may"), "{answer}");
    drop(hanging);
    let free = async {
        while !matches!(running.ask(Request::Status {}).await, Response::Status { .. }) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, free).await.expect("the places are free again");
}

#[tokio::test]
async fn those_who_wait_leave_places_for_status() {
    let running = Running::start();
    let line = Envelope { request: wait_for(WaitFor::Master, 600_000), sudo_user: None }.to_line();
    let mut waiting = Vec::new();
    for _ in 0..WAITERS {
        let mut stream = running.connect().await;
        stream.write_all(line.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    running.until(|fake| fake.waiting.load(Ordering::SeqCst) == WAITERS).await;
    assert!(matches!(running.ask(wait_for(WaitFor::Master, 600_000)).await, Response::Error { .. }));
    running.still_answers().await;
    // Whoever hangs up waits no longer.
    drop(waiting);
    running.until(|fake| fake.waiting.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn wait_says_what_it_waits_for_and_ends_when_it_is_reached() {
    let running = Running::start();
    let mut said = Vec::new();
    let envelope = Envelope { request: wait_for(WaitFor::Held, 600_000), sudo_user: None };
    let socket = running.socket();
    let asked = client::ask(&socket, &envelope, |words| {
        said.push(words.to_owned());
        running.fake.snapshot.send_replace(Arc::new(samples::status("web-1", samples::master_facts())));
    });
    let answer = timeout(SOON, asked).await.unwrap().unwrap();
    assert_eq!(answer, Response::Done { message: "held".to_owned() });
    assert_eq!(said, ["waiting for held: group web: 203.0.113.10 is idle here"]);
}

#[tokio::test]
async fn wait_for_what_is_so_already_answers_at_once_and_what_never_comes_times_out() {
    let running = Running::start();
    assert_eq!(running.ask(wait_for(WaitFor::Backup, 0)).await, Response::Done { message: "backup".to_owned() });
    assert_eq!(
        running.ask(wait_for(WaitFor::Master, 20)).await,
        Response::TimedOut { message: "not master: group web: the state is backup (listened)".to_owned() }
    );
}

#[tokio::test]
async fn wait_means_all_groups_unless_one_is_named() {
    let running = Running::start();
    let mut status = samples::status("web-2", samples::backup_facts());
    let mut other = samples::master_facts();
    other.name = GroupName::new("db").unwrap();
    status.groups.push(Group::new(&status.node, other));
    running.fake.snapshot.send_replace(Arc::new(status));
    assert!(matches!(running.ask(wait_for(WaitFor::Backup, 10)).await, Response::TimedOut { .. }));
    let named = |name| Request::Wait { group: GroupName::new(name).ok(), what: WaitFor::Backup, timeout_ms: 10 };
    assert!(matches!(running.ask(named("web")).await, Response::Done { .. }));
    assert!(matches!(running.ask(named("wbe")).await, Response::Refused(_)));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error_and_not_sent() {
    let running = Running::start();
    let answer = running.ask(Request::History { group: None, limit: 1 }).await;
    assert_eq!(answer, Response::Error { message: "the answer is too long: ask for less".to_owned() });
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_its_group_only_and_goes_with_the_agent() {
    let running = Running::start();
    let mode = fs::metadata(running.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let socket = running.socket();
    running.stop.send(()).unwrap();
    timeout(SOON, running.task).await.unwrap().unwrap();
    assert!(!socket.exists());
    let envelope = Envelope { request: Request::Status {}, sudo_user: None };
    let error = client::ask(&socket, &envelope, |_| {}).await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
}

#[tokio::test]
async fn those_who_wait_do_not_hold_up_a_stop() {
    let running = Running::start();
    let mut stream = running.connect().await;
    let line = Envelope { request: wait_for(WaitFor::Master, 600_000), sudo_user: None }.to_line();
    stream.write_all(line.as_bytes()).await.unwrap();
    running.until(|fake| fake.waiting.load(Ordering::SeqCst) == 1).await;
    running.stop.send(()).unwrap();
    timeout(SOON, running.task).await.expect("the agent stops").unwrap();
}

#[tokio::test]
async fn a_socket_that_a_dead_agent_left_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/s");
    fs::create_dir(folder.path().join("run")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the kernel leaves the file");
    let first = Server::bind(&path).unwrap();
    assert!(matches!(Server::bind(&path), Err(BindError::AnotherAgent(_))));
    drop(first);
    // Something else that answers, and holds no lock.
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(Server::bind(&path), Err(BindError::AnotherAgent(_))));
    drop(other);
    Server::bind(&path).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Server::bind(&path), Err(BindError::NoSocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn the_directory_of_the_socket_is_made_but_not_a_tree() {
    let folder = tempfile::tempdir().unwrap();
    drop(Server::bind(&folder.path().join("run/s")).unwrap());
    assert!(folder.path().join("run").is_dir());
    let error = Server::bind(&folder.path().join("a/b/s")).unwrap_err();
    assert!(matches!(error, BindError::Directory { .. }), "{error}");
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Server::bind(&folder.path().join("x".repeat(120))), Err(BindError::Listen { .. })));
}
