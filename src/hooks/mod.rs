//! Hooks: programs of the operator that follow the mastership.
//!
//! One task for each group, [`start`], with two lanes that do not wait for each other:
//!
//! * `promote` runs when the claim's reconciler asks for it, and decides whether the
//!   address may come ([`Promotion`]).
//! * `on_master`, `on_backup`, `on_fault` follow the state, as levels (`lane.rs`).
//!
//! The task ends with its [`Hooks`]; what runs then is killed. Nothing else waits for a
//! hook: requests for a promotion are few (the reconciler has one under way), and of the
//! state and the settings only the newest counts.

use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use self::lane::{Lane, Level};
use crate::config::types::{self, Program};
use crate::config::{Config, Loaded, Problems, mask_secrets};
use crate::proto::heartbeat::NodeState;
use crate::proto::ids::{GroupName, NodeName, Priority, Term};
use crate::proto::time::Time;
use crate::sys::clock;
use crate::sys::process::{self, End, Ended, Order, StartError};
use crate::sys::program::{self, ProgramError};

mod lane;

/// Promotions that are asked for. The reconciler asks for one at a time.
const ASKS: usize = 2;

/// The longest value of a variable, in characters.
const VALUE: usize = 1_000;

/// The longest sleep: tokio's clock stands still while the host is suspended, ours does not.
const NAP: Duration = Duration::from_secs(1);

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before the address may come.
    Promote,
    /// While master.
    OnMaster,
    /// While backup.
    OnBackup,
    /// While in fault.
    OnFault,
}

impl Hook {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Promote, Self::OnMaster, Self::OnBackup, Self::OnFault];

    /// The key of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::OnMaster => "on_master",
            Self::OnBackup => "on_backup",
            Self::OnFault => "on_fault",
        }
    }

    fn program(self, settings: &types::Hooks) -> Option<&Program> {
        match self {
            Self::Promote => settings.promote.as_ref(),
            Self::OnMaster => settings.on_master.as_ref(),
            Self::OnBackup => settings.on_backup.as_ref(),
            Self::OnFault => settings.on_fault.as_ref(),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who runs the hooks: what does not change while the agent runs.
#[derive(Clone, Debug)]
pub struct Names {
    /// This node.
    pub node: NodeName,
    /// The group.
    pub group: GroupName,
    /// The claimed address.
    pub address: Ipv4Addr,
}

/// The state of this node, as its hooks are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was entered; no two stays have one.
    pub at: Time,
    /// The state.
    pub state: NodeState,
    /// The one before.
    pub previous: NodeState,
    /// Why: a word of `docs/status.md`.
    pub reason: String,
    /// The same as a sentence.
    pub evidence: String,
    /// The term.
    pub term: Term,
    /// The effective priority.
    pub priority: Priority,
    /// Who was master before, if that is known.
    pub previous_master: Option<NodeName>,
}

/// How far a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not run yet.
    Idle,
    /// It runs.
    Running,
    /// It ended with 0.
    Ok,
    /// It ended otherwise, or could not be started.
    Failed,
    /// It did not end in time, and was killed.
    TimedOut,
    /// It was not run: others could replace it, or it is not there.
    Refused,
}

/// What is known of one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub hook: Hook,
    /// How far.
    pub outcome: Outcome,
    /// Since when.
    pub since: Option<Time>,
    /// How long the newest run took.
    pub took: Option<Duration>,
    /// The code with which it ended by itself.
    pub exit_code: Option<i32>,
    /// Runs for the present stay in the state, the present one included.
    pub attempts: u32,
    /// The last line that it printed, or why it was not run.
    pub detail: Option<String>,
}

/// What the task is told.
#[derive(Clone, Debug)]
struct Wanted {
    settings: Arc<types::Hooks>,
    turn: Option<Arc<Turn>>,
    /// The promotion gate of this mastership is open.
    promoted: bool,
}

/// The hooks of one group, for who knows its state. Dropping it ends them.
#[derive(Debug)]
pub struct Hooks {
    wanted: watch::Sender<Wanted>,
    reports: watch::Receiver<Vec<Report>>,
}

/// What [`start`] starts.
#[derive(Debug)]
pub struct Started {
    /// For who knows the state.
    pub hooks: Hooks,
    /// For the claim.
    pub promotion: Promotion,
}

impl Hooks {
    /// The node has entered this state.
    pub fn turn(&self, turn: Turn) {
        self.wanted.send_modify(|wanted| (wanted.turn, wanted.promoted) = (Some(Arc::new(turn)), false));
    }

    /// The gate of the mastership that began then is open.
    pub fn promoted(&self, began: Time) {
        self.wanted.send_if_modified(|wanted| {
            let present = wanted.turn.as_ref().is_some_and(|turn| turn.at == began);
            present && !std::mem::replace(&mut wanted.promoted, true)
        });
    }

    /// Other settings. What has succeeded for the present state is not run again, what has
    /// not is tried at once. Whether there is a gate, the claim is told by its own settings.
    pub fn replace(&self, settings: types::Hooks) {
        self.wanted.send_if_modified(|wanted| {
            let differ = *wanted.settings != settings;
            wanted.settings = Arc::new(settings);
            differ
        });
    }

    /// Those that are configured, and how far each is.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.reports.borrow().clone()
    }

    /// Every change of them.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Vec<Report>> {
        self.reports.clone()
    }
}

/// A way to run `promote`.
#[derive(Clone, Debug)]
pub struct Promotion(mpsc::Sender<oneshot::Sender<Result<(), Arc<str>>>>);

impl Promotion {
    /// Runs `promote` once. It runs to its end, within its timeout, also if this is dropped.
    ///
    /// # Errors
    /// It failed: how, and its last word.
    pub async fn run(&self) -> Result<(), Arc<str>> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Arc::from("the promote hook is not run: the agent stops");
        if self.0.send(answer).await.is_err() {
            return Err(stopping());
        }
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// One that nobody runs, for those who never ask.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(mpsc::channel(1).0)
    }
}

/// What is wrong with the programs of a configuration, by the keys that name them.
#[must_use]
pub fn vet(config: &Config) -> Vec<(String, ProgramError)> {
    let programs = config.groups.iter().flat_map(|group| {
        let table = format!("group.{}.hooks", group.name);
        group.hooks.programs().map(move |(key, program)| (format!("{table}.{key}"), program))
    });
    programs.filter_map(|(key, program)| Some((key, program::vet(&program.path).err()?))).collect()
}

/// The same, for an agent that would run with it. `file` is what messages call it.
///
/// # Errors
/// Every program that must not or cannot be run, at the key that names it.
pub fn refuse(file: &str, loaded: &Loaded) -> Result<(), Problems> {
    let mut problems = Problems::of(file);
    for (key, error) in vet(&loaded.config) {
        problems.error(loaded.written(&key).cloned(), &error.to_string(), &error.mend());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Starts the task of a group's hooks.
#[must_use]
pub fn start(names: Names, settings: types::Hooks) -> Started {
    let (asks, asked) = mpsc::channel(ASKS);
    let settings = Arc::new(settings);
    let known_settings = Arc::clone(&settings);
    let (wanted, seen) = watch::channel(Wanted { settings, turn: None, promoted: false });
    let (reports, reported) = watch::channel(Vec::new());
    let runner = Runner {
        names,
        seen,
        reports,
        lane: Lane::default(),
        known: Hook::ALL.map(|hook| Report {
            hook,
            outcome: Outcome::Idle,
            since: None,
            took: None,
            exit_code: None,
            attempts: 0,
            detail: None,
        }),
        known_settings,
        turns: (0, None),
        promotions: (0, 0),
    };
    runner.tell();
    tokio::spawn(runner.run(asked));
    Started { hooks: Hooks { wanted, reports: reported }, promotion: Promotion(asks) }
}

type Run = Pin<Box<dyn Future<Output = Result<Ended, StartError>> + Send>>;

struct Runner {
    names: Names,
    seen: watch::Receiver<Wanted>,
    reports: watch::Sender<Vec<Report>>,
    lane: Lane,
    known: [Report; 4],
    /// What was configured when the lane last looked.
    known_settings: Arc<types::Hooks>,
    /// How many turns there were, and the newest.
    turns: (u64, Option<Arc<Turn>>),
    /// The turn that was last promoted for, and how often.
    promotions: (u64, u32),
}

impl Runner {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<Result<(), Arc<str>>>>) {
        let (mut following, mut promoting): (Option<Run>, Option<(Run, _)>) = (None, None);
        loop {
            if following.is_none() {
                following = self.follow();
            }
            let due = if following.is_some() { None } else { self.due() };
            tokio::select! {
                changed = self.seen.changed() => match changed {
                    Ok(()) => self.see(),
                    Err(_) => return,
                },
                Some(answer) = asked.recv(), if promoting.is_none() => {
                    match self.begin_promotion() {
                        Some(run) => promoting = Some((run, answer)),
                        // There is none any more.
                        None => _ = answer.send(Ok(())),
                    }
                }
                ended = ran(following.as_mut()) => {
                    following = None;
                    self.followed(ended);
                }
                ended = ran(promoting.as_mut().map(|(run, _)| run)) => {
                    if let Some((_, answer)) = promoting.take() {
                        _ = answer.send(self.promoted(&ended));
                    }
                }
                () = nap(due) => {}
            }
        }
    }

    /// Takes in what is wanted now.
    fn see(&mut self) {
        let now = clock::now();
        let Wanted { settings, turn, promoted } = self.seen.borrow_and_update().clone();
        if turn != self.turns.1 {
            self.turns = (self.turns.0 + 1, turn.clone());
        }
        let hook = turn.and_then(|turn| match turn.state {
            NodeState::Master => promoted.then_some(Hook::OnMaster),
            NodeState::Backup => Some(Hook::OnBackup),
            NodeState::Fault => Some(Hook::OnFault),
            NodeState::Init => None,
        });
        let level = hook.map(|hook| Level { hook, turn: self.turns.0 });
        if let Some(skipped) = self.lane.want(now, level)
            && skipped.hook.program(&settings).is_some()
        {
            let group = &self.names.group;
            tracing::warn!(%group, "hook {} is skipped: its state was over before the hook that ran then", skipped.hook);
        }
        if !Arc::ptr_eq(&settings, &self.known_settings) {
            self.known_settings = settings;
            self.lane.try_again(now);
        }
        self.tell();
    }

    fn settings(&self) -> Arc<types::Hooks> {
        Arc::clone(&self.seen.borrow().settings)
    }

    fn due(&self) -> Option<Time> {
        let settings = self.settings();
        self.lane.due(|hook| hook.program(&settings).is_some())
    }

    fn follow(&mut self) -> Option<Run> {
        let settings = self.settings();
        let (level, attempt) = self.lane.start(clock::now(), |hook| hook.program(&settings).is_some())?;
        self.begin(level.hook, attempt, &settings)
    }

    fn followed(&mut self, ended: Result<Ended, StartError>) {
        let Some(hook) = self.lane.running() else { return };
        let well = self.end(hook, &ended).is_ok();
        self.lane.ended(clock::now(), well, fastrand::f64());
    }

    fn begin_promotion(&mut self) -> Option<Run> {
        // What is asked for belongs to a state that may have just been told.
        if self.seen.has_changed().unwrap_or(false) {
            self.see();
        }
        let settings = self.settings();
        let (turn, attempts) = self.promotions;
        let attempt = if turn == self.turns.0 { attempts.saturating_add(1) } else { 1 };
        self.promotions = (self.turns.0, attempt);
        self.begin(Hook::Promote, attempt, &settings)
    }

    fn promoted(&mut self, ended: &Result<Ended, StartError>) -> Result<(), Arc<str>> {
        self.end(Hook::Promote, ended).map_err(|how| {
            Arc::from(format!(
                "the promote hook {how}; nothing is claimed here before it succeeds: mend what it says, it is run again"
            ))
        })
    }

    fn begin(&mut self, hook: Hook, attempt: u32, settings: &types::Hooks) -> Option<Run> {
        let Program { path, arguments } = hook.program(settings)?;
        let order = Order {
            program: path.clone(),
            arguments: arguments.clone(),
            environment: environment(&self.names, hook, self.turns.1.as_deref(), attempt),
            deadline: settings.timeout,
        };
        let now = clock::now();
        let report = &mut self.known[hook as usize];
        (report.outcome, report.since, report.attempts) = (Outcome::Running, Some(now), attempt);
        self.tell();
        Some(Box::pin(process::run(order)))
    }

    /// Writes down how a run ended. In words, where not well.
    fn end(&mut self, hook: Hook, ended: &Result<Ended, StartError>) -> Result<(), String> {
        let group = &self.names.group;
        let report = &mut self.known[hook as usize];
        report.since = Some(clock::now());
        (report.took, report.exit_code, report.detail) = (None, None, None);
        let how = match ended {
            Ok(Ended { end, output, took }) => {
                for line in output.lines() {
                    tracing::info!(%group, "hook {hook} | {}", mask_secrets(&line));
                }
                // It goes to status, and with the claim's detail to the peers.
                (report.took, report.detail) = (Some(*took), output.last_line().map(|line| mask_secrets(&line)));
                report.outcome = match end {
                    End::Exited(0) => Outcome::Ok,
                    End::Exited(_) | End::Signalled(_) => Outcome::Failed,
                    End::TimedOut | End::Unkillable => Outcome::TimedOut,
                };
                match end {
                    End::Exited(code) => report.exit_code = Some(*code),
                    End::Signalled(_) | End::TimedOut | End::Unkillable => {}
                }
                let how = match end {
                    End::Exited(0) => None,
                    End::Exited(code) => Some(format!("failed with exit code {code}")),
                    End::Signalled(signal) => Some(format!("was ended by signal {signal}")),
                    End::TimedOut => Some("did not end in time, and was killed".to_owned()),
                    End::Unkillable => {
                        let how = "did not end in time and cannot be killed: it still runs, and is not run again before it ends";
                        report.detail = Some(how.to_owned());
                        Some(how.to_owned())
                    }
                };
                let took = format!("after {} ms", took.as_millis());
                match &how {
                    None => tracing::info!(%group, "hook {hook} is done {took}"),
                    Some(how) => tracing::warn!(%group, attempt = report.attempts, "hook {hook} {how} {took}"),
                }
                how.map(|how| match &report.detail {
                    Some(last) => format!("{how}: {last}"),
                    None => how,
                })
            }
            Err(error) => {
                let refused = matches!(error, StartError::Program(_));
                report.outcome = if refused { Outcome::Refused } else { Outcome::Failed };
                report.detail = Some(error.to_string());
                tracing::warn!(%group, attempt = report.attempts, "hook {hook} was not run: {error}");
                Some(format!("was not run: {error}"))
            }
        };
        self.tell();
        how.map_or(Ok(()), Err)
    }

    /// Tells of the hooks that are configured, and of what still runs of those that no longer are.
    fn tell(&self) {
        let settings = self.settings();
        let shown = self
            .known
            .iter()
            .filter(|report| report.hook.program(&settings).is_some() || report.outcome == Outcome::Running);
        let shown: Vec<Report> = shown.cloned().collect();
        self.reports.send_if_modified(|reports| {
            *reports != shown && {
                *reports = shown;
                true
            }
        });
    }
}

/// All that a hook is told (`docs/hooks.md`). Nothing secret.
fn environment(names: &Names, hook: Hook, turn: Option<&Turn>, attempt: u32) -> Vec<(&'static str, String)> {
    let state = |state: fn(&Turn) -> NodeState| turn.map_or("init", |turn| word(state(turn))).to_owned();
    let text = |text: fn(&Turn) -> String| turn.map(text).unwrap_or_default();
    let told = vec![
        ("HAAGENT_HOOK", hook.to_string()),
        ("HAAGENT_NODE", names.node.to_string()),
        ("HAAGENT_GROUP", names.group.to_string()),
        ("HAAGENT_STATE", state(|turn| turn.state)),
        ("HAAGENT_PREVIOUS_STATE", state(|turn| turn.previous)),
        ("HAAGENT_REASON", text(|turn| turn.reason.clone())),
        ("HAAGENT_EVIDENCE", text(|turn| turn.evidence.clone())),
        ("HAAGENT_TERM", text(|turn| turn.term.to_string())),
        ("HAAGENT_PRIORITY", text(|turn| turn.priority.to_string())),
        ("HAAGENT_ADDRESS", names.address.to_string()),
        (
            "HAAGENT_PREVIOUS_MASTER",
            text(|turn| turn.previous_master.as_ref().map(ToString::to_string).unwrap_or_default()),
        ),
        ("HAAGENT_ATTEMPT", attempt.to_string()),
    ];
    let fit = |value: String| value.chars().filter(|letter| !letter.is_control()).take(VALUE).collect();
    told.into_iter().map(|(name, value)| (name, fit(value))).collect()
}

/// As `status` has it.
const fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Init => "init",
        NodeState::Backup => "backup",
        NodeState::Master => "master",
        NodeState::Fault => "fault",
    }
}

/// The end of what runs; for ever, if nothing does.
async fn ran(run: Option<&mut Run>) -> Result<Ended, StartError> {
    match run {
        Some(run) => run.await,
        None => std::future::pending().await,
    }
}

/// A sleep that ends at `due` at the latest; for ever, if nothing is.
async fn nap(due: Option<Time>) {
    match due {
        Some(due) => sleep((due - clock::now()).min(NAP)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
