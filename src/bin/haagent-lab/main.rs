//! `haagent-lab`: a fake provider, a fake engine and a fake network, for trying and testing. Never installed on servers.

#![allow(clippy::print_stderr, reason = "a command-line tool: this is how it speaks")]

mod arguments;
mod bench;
mod client;
mod clock;
mod cloud;
mod demo;
mod engine;
mod http;
mod log;
mod network;
mod stage;
mod stop;
mod tell;
#[cfg(test)]
mod testing;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// Try and test haagent without a cloud, without Docker and without root.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A fake DigitalOcean: API, metadata, and reserved IPs that clients can connect to
    Cloud(cloud::Options),
    /// A fake Docker engine on a unix socket
    Docker(engine::Options),
    /// A private network between agents on loopback, without root: cut it, lose and delay datagrams
    Network(network::Options),
    /// Ask and order what runs: faults, settings, containers, cut links
    #[command(after_help = tell::EXIT_CODES)]
    Tell(tell::Options),
    /// Two agents, ten containers each, one reserved IP, a client: three events, and what came of them
    Demo(demo::Options),
    /// How long a failover takes, and what an idle agent costs: figures, no judgement
    Bench(bench::Options),
}

/// A usage error, as everywhere in haagent.
const USAGE: u8 = 3;

fn main() -> ExitCode {
    let done = match bench::bare::asked() {
        Some(bare) => bare.map_err(Into::into),
        None => match Arguments::try_parse() {
            Ok(arguments) => run(arguments.command),
            Err(error) => {
                let _ = error.print(); // nobody reads it: then nobody reads what could be said of that either
                return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("haagent-lab: {error}");
            let mut cause = error.source();
            while let Some(reason) = cause {
                eprint!(": {reason}");
                cause = reason.source();
            }
            eprintln!();
            error.downcast_ref::<tell::TellError>().map_or(ExitCode::FAILURE, tell::TellError::exit_code)
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Cloud(options) => {
                let running = options.start()?;
                announce(&running.ready)?;
                until_stopped(running.serve(), options.until_stdin_closes).await
            }
            Command::Docker(options) => {
                let running = options.start()?;
                announce(&running.ready)?;
                until_stopped(running.serve(), options.until_stdin_closes).await
            }
            Command::Network(options) => {
                let running = options.start()?;
                announce(&running.ready)?;
                until_stopped(running.serve(), options.until_stdin_closes).await
            }
            Command::Tell(options) => Ok(options.tell().await?),
            Command::Demo(options) => match unless_stopped(options.play()).await? {
                Some(kept) => until_stopped(kept.stay(), false).await,
                None => Ok(()),
            },
            Command::Bench(options) => unless_stopped(options.measure()).await,
        }
    })
}

/// Something with an end. When it is dropped before, the processes that it started end too.
async fn unless_stopped<T, E: Error + 'static>(
    playing: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn Error>> {
    tokio::select! {
        // In this order: the signals are caught before anything is started.
        biased;
        stopped = stop::wait(false) => {
            stopped?;
            Err("stopped before its end".into())
        }
        played = playing => Ok(played?),
    }
}

/// One JSON line: everything listens.
fn announce(ready: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(ready)?)?;
    stdout.flush()?;
    Ok(())
}

async fn until_stopped(serving: impl Future<Output = ()>, until_stdin_closes: bool) -> Result<(), Box<dyn Error>> {
    tokio::select! {
        () = serving => {}
        stopped = stop::wait(until_stdin_closes) => stopped?,
    }
    Ok(())
}
