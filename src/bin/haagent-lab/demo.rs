//! `haagent-lab demo`: two agents, ten containers each, one reserved IP. One container dies, and the
//! address moves. It succeeds only if every step was verified.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::stage::{CONTAINERS, RESERVED_IP, Scene, Stage, StageError, ask_front};

/// The cloud takes so long for an assign; the real one takes one to a few seconds.
const ASSIGN: Duration = Duration::from_secs(1);
/// The pause of the client between two requests.
const CLIENT_PAUSE: Duration = Duration::from_millis(20);
const CONTAINER: &str = "app-3";
const FIRST: usize = 0;
const SECOND: usize = 1;

/// What `haagent-lab demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every step was verified; 1 one was not.")]
pub(crate) struct Options {}

/// Why the demo does not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("cannot write to the standard output")]
    Output(#[from] std::io::Error),
    #[error("not verified: {0}")]
    NotVerified(String),
}

impl Options {
    /// Plays it.
    ///
    /// # Errors
    /// A step was not verified.
    pub(crate) async fn play(&self) -> Result<(), DemoError> {
        let scene = Scene { interval: Duration::from_millis(500), fall: 2, assign: ASSIGN };
        say("Two hosts, each with an agent and ten containers, and a fake cloud: all on this machine.")?;
        let mut stage = Stage::set(scene).await?;
        let played = act(&mut stage).await;
        if played.is_err() {
            eprintln!("\n{}", stage.last_words());
        }
        played
    }
}

async fn act(stage: &mut Stage) -> Result<(), DemoError> {
    stage.settled(FIRST).await?;
    say(&format!("\n1. {RESERVED_IP} is on web-1, by the cloud's word. A client of it reaches web-1.\n"))?;
    show(stage, FIRST, &["status"]).await?;

    let client = Client::start(stage.front);
    let (_, before) = stage.cloud_events(0, "", Duration::ZERO).await?;
    let died = client.clock.now();
    stage.hosts[FIRST].container_dies(CONTAINER).await?;
    say(&format!("\n2. One of the {CONTAINERS} containers of web-1, {CONTAINER}, was killed. The address moves:\n"))?;
    stage.held(SECOND).await?;
    let heard = client.heard(&stage.hosts[SECOND].name).await;
    show(stage, SECOND, &["history", "-n", "1"]).await?;

    say("\n3. What the client saw.\n")?;
    let traffic = client.end();
    let Some(reached) = heard else {
        return Err(DemoError::NotVerified("the client never reached web-2".to_owned()));
    };
    say(&format!("   {} requests, {} of them failed", traffic.asked, traffic.failed))?;
    let outage = reached.saturating_sub(died);
    say(&format!("   web-2 answered {} ms after the container had died", outage.as_millis()))?;
    say(&format!("   of which the fake cloud took {} ms to move the address", ASSIGN.as_millis()))?;

    let (moves, _) = stage.cloud_events(before, "moved", Duration::ZERO).await?;
    say(&format!(
        "\n4. Afterwards: {} move in the cloud's own log, by the token of {}.\n",
        moves.len(),
        moves.first().and_then(|one| one["by"].as_str()).unwrap_or("nobody")
    ))?;
    show(stage, SECOND, &["status"]).await?;
    if moves.len() != 1 || moves[0]["to"] != stage.hosts[SECOND].droplet {
        return Err(DemoError::NotVerified(format!("one move, to web-2; the cloud's log has {moves:?}")));
    }
    say("\nVerified: one move, web-2 holds the address, the cloud agrees, a client reaches it.")?;
    Ok(())
}

/// Prints a command and its output as a person would see it.
async fn show(stage: &Stage, at: usize, command: &[&str]) -> Result<(), DemoError> {
    say(&format!("   {}$ haagent {}", stage.hosts[at].name, command.join(" ")))?;
    for line in stage.haagent(at, command).await?.lines() {
        say(&if line.is_empty() { String::new() } else { format!("   {line}") })?;
    }
    Ok(())
}

fn say(line: &str) -> Result<(), std::io::Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Somebody who asks the reserved IP all the time.
struct Client {
    clock: Clock,
    task: JoinHandle<()>,
    traffic: watch::Receiver<Traffic>,
}

#[derive(Clone, Debug, Default)]
struct Traffic {
    asked: u32,
    failed: u32,
    /// Who answered the newest request, and when.
    heard: Option<(String, Duration)>,
}

impl Client {
    fn start(front: SocketAddr) -> Self {
        let clock = Clock::start();
        let (seen, traffic) = watch::channel(Traffic::default());
        let task = tokio::spawn(async move {
            loop {
                let answer = ask_front(front).await;
                let at = clock.now();
                seen.send_modify(|traffic| {
                    traffic.asked += 1;
                    match answer {
                        Ok(name) if traffic.heard.as_ref().is_some_and(|(last, _)| *last == name) => {}
                        Ok(name) => traffic.heard = Some((name, at)),
                        Err(_) => traffic.failed += 1,
                    }
                });
                tokio::time::sleep(CLIENT_PAUSE).await;
            }
        });
        Self { clock, task, traffic }
    }

    /// When this host answered for the first time after another one.
    async fn heard(&self, name: &str) -> Option<Duration> {
        let mut traffic = self.traffic.clone();
        let heard = traffic.wait_for(|traffic| traffic.heard.as_ref().is_some_and(|(last, _)| last == name));
        let heard = tokio::time::timeout(Duration::from_secs(5), heard).await.ok()?.ok()?;
        heard.heard.as_ref().map(|(_, at)| *at)
    }

    fn end(self) -> Traffic {
        self.task.abort();
        self.traffic.borrow().clone()
    }
}
