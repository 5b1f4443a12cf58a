//! The agent: the composition root. Configuration becomes parts, parts are joined by
//! channels, and [`brain`] runs them until the process is told to stop.
//!
//! | task or thread | what it does | why it may be cancelled |
//! | --- | --- | --- |
//! | heart (thread) | beats, elects | never; it ends by itself after its goodbye |
//! | brain | this process's main task: everything meets here | it is the last to go |
//! | claim, one a group | does what the reconciler asks | nothing is ever unassigned by dropping it |
//! | check, one each | looks | the next run looks again |
//! | probe, one a group that has one | asks the service | a probe changes nothing |
//! | reach, forwarders | watch | they hold no state |
//! | hooks, one a group | runs the operator's programs | what runs is killed: an agent that is gone could not follow it |
//! | control server | answers | half a second for answers under way |
//! | reload (thread, while one is under way) | reads the files | it changes nothing: the brain does |
//! | log, history, state (threads) | write | flushed within a bound at the end |

mod acts;
mod brain;
mod bulletin;
mod desk;
mod disk;
mod knowledge;
mod news;
mod parts;
mod probing;
mod reload;
mod snapshot;
mod store;
mod timeline;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Config};
use crate::hooks;
use crate::proto::ids::GroupName;
use crate::sys::log::{self, Log};
use crate::sys::{clock, process, rt};
use crate::view::history::{Entry, History};

/// The configuration cannot work: systemd must not start it again (`RestartPreventExitStatus=`).
const CONFIG: u8 = 78;

/// Anything else that ends the agent unasked.
const FAILED: u8 = 1;

/// How long the end of the process waits for lines that a hung reader does not take.
const FLUSH: Duration = Duration::from_millis(500);

/// Threads for what may hang: one for each name that is being looked up and each program that is being started,
/// which are as many as the configuration has. There is none at rest.
const BLOCKING: usize = 64;

/// Runs the agent with this configuration file until it is told to stop. The exit code of `haagent run`.
#[must_use]
pub fn run(config: &Path) -> u8 {
    let log = match log::init() {
        Ok(log) => log,
        Err(error) => {
            // The log itself cannot say so. A closed standard error cannot be helped.
            let _ = writeln!(std::io::stderr(), "haagent: {}", explained(&error));
            return CONFIG;
        }
    };
    let code = started(config, &log);
    // Lines that a hung reader does not take are lost.
    let _ = log.flush(FLUSH);
    code
}

fn started(file: &Path, log: &Log) -> u8 {
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for line in problems.to_string().lines() {
                tracing::error!("{line}");
            }
            tracing::error!("the configuration cannot be used; nothing was started");
            return CONFIG;
        }
    };
    for line in loaded.warnings.to_string().lines() {
        tracing::warn!("{line}");
    }
    let secrets = match loaded.read_secrets(&file.display().to_string()) {
        Ok(secrets) => secrets,
        Err(problems) => {
            for line in problems.to_string().lines() {
                tracing::error!("{line}");
            }
            return CONFIG;
        }
    };
    if let Err(problems) = hooks::refuse(&file.display().to_string(), &loaded) {
        for line in problems.to_string().lines() {
            tracing::error!("{line}");
        }
        return CONFIG;
    }
    prepare(&loaded.config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start the runtime: {error}");
            return FAILED;
        }
    };
    let code = tokio::task::LocalSet::new().block_on(&runtime, async {
        // From now on SIGHUP ends nothing: systemd takes an end by it for a wish, and starts nothing again.
        let hang_up = match signal(SignalKind::hangup()) {
            Ok(hang_up) => hang_up,
            Err(error) => {
                tracing::error!("cannot listen for signals: {error}");
                return FAILED;
            }
        };
        match parts::assemble(loaded.config, secrets, file, log.clone()).await {
            Ok(assembled) => assembled.run(hang_up).await,
            Err(error) => {
                for line in explained(&error).lines() {
                    tracing::error!("{line}");
                }
                if error.is_config() { CONFIG } else { FAILED }
            }
        }
    });
    runtime.shutdown_timeout(FLUSH);
    code
}

/// What must be done before there are threads; what was refused is said and lived without.
fn prepare(config: &Config) {
    if let Err(error) = rt::protect_secrets() {
        tracing::warn!("secrets are not kept out of core dumps: {error}");
    }
    process::pass_nothing_on();
    if let Err(error) = rt::clear_ambient_capabilities() {
        tracing::warn!("ambient capabilities are kept: {error}");
    }
    rt::release_startup_pages();
    if config.node.realtime {
        tracing::info!("{}", rt::prepare_memory());
    }
}

/// An error with its causes, on one line.
fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What `haagent history` asks for: by the time at which it happened. What a peer told of came
/// later than what it tells of.
fn history_entries(history: &History, group: Option<&GroupName>, limit: u32) -> Vec<Entry> {
    let mut entries = history.entries(group, usize::MAX);
    entries.sort_by_key(Entry::at);
    let older = entries.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    entries.split_off(older)
}

/// Now, for people and files.
fn stamp() -> crate::view::status::Stamp {
    clock::wall().into()
}
