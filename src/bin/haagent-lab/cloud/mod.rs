//! `haagent-lab cloud`: a fake DigitalOcean. The API, a metadata service per droplet, and a data
//! plane that leads clients of a reserved IP to its present holder.
//!
//! Faithful to what is known of the real one, and deciding by the order of events and its own
//! state; what goes wrong is ordered at the [control endpoint](control).
//!
//! * [`state`]: the model, pure. [`faults`]: what goes wrong with which call.
//! * [`api`], [`metadata`], [`dataplane`], [`control`]: its four faces.
//! * [`order`], [`wire`]: what the control endpoint takes and answers, for the command too.
//! * [`lab`]: what they share, and the ticker. [`world`]: what there is at the start.

mod answer;
mod api;
mod control;
mod dataplane;
pub(crate) mod event;
pub(crate) mod faults;
mod lab;
mod limits;
mod metadata;
pub(crate) mod order;
mod shapes;
mod state;
pub(crate) mod wire;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::api::Api;
use self::control::Control;
use self::event::Face;
use self::lab::Lab;
use self::metadata::{Metadata, Whose};
use self::world::{World, WorldError};
use crate::http::{self, Bound};

/// What `haagent-lab cloud` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What there is at the start: a TOML file (JSON if it ends in .json). Without one: two
    /// droplets, web-1 and web-2, and a reserved IP on the first
    #[arg(long, value_name = "FILE", conflicts_with = "world_json")]
    world: Option<PathBuf>,
    /// The same as JSON text
    #[arg(long, value_name = "JSON")]
    world_json: Option<String>,
    /// Where the API listens, in place of the world's word (port 0: any)
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<SocketAddr>,
    /// Where the control endpoint listens, in place of the world's word
    #[arg(long, value_name = "ADDRESS:PORT")]
    control: Option<SocketAddr>,
    /// How long an assign takes, in place of the world's word
    #[arg(long, value_name = "MS")]
    action_ms: Option<u64>,
    /// End when standard input closes, so that nothing is left behind
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// Why the fake cloud does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("cannot listen on {address} for {what}: choose another address, or port 0")]
    Listen { what: String, address: SocketAddr, source: io::Error },
}

/// The line that is printed when all listeners are up.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    ready: bool,
    pid: u32,
    api: String,
    control: String,
    /// By droplet id.
    metadata: BTreeMap<String, String>,
    metadata_by_source: Option<String>,
    /// Where clients reach each reserved IP.
    reserved_ips: BTreeMap<Ipv4Addr, SocketAddr>,
}

/// The fake cloud at work; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) ready: Ready,
    tasks: JoinSet<()>,
}

impl Running {
    /// Serves for ever.
    pub(crate) async fn serve(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Options {
    fn world(&self) -> Result<World, WorldError> {
        let mut world = match (&self.world, &self.world_json) {
            (Some(file), _) => World::from_file(file)?,
            (None, Some(text)) => World::from_json(text)?,
            (None, None) => World::default(),
        };
        world.api = self.api.unwrap_or(world.api);
        world.control = self.control.unwrap_or(world.control);
        world.settings.action_ms = self.action_ms.unwrap_or(world.settings.action_ms);
        Ok(world)
    }

    /// Binds everything and begins to serve.
    ///
    /// # Errors
    /// The world cannot be, or an address cannot be bound.
    pub(crate) fn start(&self) -> Result<Running, StartError> {
        start(&self.world()?)
    }
}

fn start(world: &World) -> Result<Running, StartError> {
    let bind = |what: &str, address| {
        Bound::new(address).map_err(|source| StartError::Listen { what: what.to_owned(), address, source })
    };
    let lab = Lab::new(world);
    let mut tasks = JoinSet::new();
    let url = |bound: &Bound| format!("http://{}", bound.address());

    let bound = bind("the API", world.api)?;
    let api = url(&bound);
    tasks.spawn(http::serve_tcp(bound, lab.door(Face::Api, None), Api { lab: Arc::clone(&lab) }));

    let mut metadata = BTreeMap::new();
    for droplet in &world.droplets {
        let Some(address) = droplet.metadata else { continue };
        let bound = bind(&format!("the metadata of {}", droplet.name), address)?;
        metadata.insert(droplet.id.to_string(), url(&bound));
        let handler = Metadata { lab: Arc::clone(&lab), whose: Whose::Droplet(droplet.id) };
        tasks.spawn(http::serve_tcp(bound, lab.door(Face::Metadata, Some(droplet.id)), handler));
    }
    let mut metadata_by_source = None;
    if let Some(address) = world.metadata {
        let bound = bind("all metadata", address)?;
        metadata_by_source = Some(url(&bound));
        let handler = Metadata { lab: Arc::clone(&lab), whose: Whose::BySource };
        tasks.spawn(http::serve_tcp(bound, lab.door(Face::Metadata, None), handler));
    }

    let mut reserved_ips = BTreeMap::new();
    for spec in &world.reserved_ips {
        let Some(address) = spec.dataplane else { continue };
        let bound = bind(&format!("clients of {}", spec.ip), address)?;
        reserved_ips.insert(spec.ip, bound.address());
        tasks.spawn(dataplane::serve(Arc::clone(&lab), spec.ip, bound.into_listener()));
    }

    let bound = bind("the control endpoint", world.control)?;
    let control = url(&bound);
    let (always_open, door) = watch::channel(true);
    let handler = Control { lab: Arc::clone(&lab) };
    tasks.spawn(async move {
        http::serve_tcp(bound, door, handler).await;
        drop(always_open);
    });
    tasks.spawn(lab.tick());

    let ready =
        Ready { ready: true, pid: std::process::id(), api, control, metadata, metadata_by_source, reserved_ips };
    Ok(Running { ready, tasks })
}

#[cfg(test)]
mod tests;
