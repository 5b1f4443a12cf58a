//! `haagent-lab tell cloud`.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::words::{counted, list, plain, table, time, word};
use super::{Running, TellError};
use crate::arguments::{duration, milliseconds};
use crate::client::Server;
use crate::clock::Clock;
use crate::cloud::event::{Event, Face};
use crate::cloud::faults::Fault;
use crate::cloud::order::{Effect, Order, Target};
use crate::cloud::wire::{
    ActionNumber, Cleared, DropletChange, DropletNumber, FaultList, FaultNumber, HandMove, SettingsNow, State,
};
use crate::cloud::world::{Settings, SettingsChange};
use crate::log::{Entry, MAX_WAIT, Page};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The cloud's control endpoint
    #[arg(long, global = true, value_name = "URL", env = "HAAGENT_LAB_CLOUD", value_parser = Server::parse_url)]
    at: Option<Server>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is true: who holds the addresses, what each onlooker sees, droplets, actions
    State,
    /// What happened: calls, actions, moves
    Events(Events),
    /// Put a fault in force, until its count or its time is used up or it is healed
    #[command(subcommand_value_name = "KIND", subcommand_help_heading = "Kinds")]
    Fail {
        #[command(flatten)]
        on: On,
        #[command(subcommand)]
        effect: Effect,
    },
    /// The faults in force, and how many calls each has met
    Faults,
    /// End one fault, or all
    Heal {
        /// The fault's number [default: all]
        id: Option<u64>,
    },
    /// Change how the cloud behaves without faults, or show it
    Set {
        /// For example action_ms=2000 [default: show all settings]
        #[arg(value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, Value)>,
    },
    /// Move an address as if by hand in the control panel
    Move {
        /// The reserved IP
        address: Ipv4Addr,
        /// Whom it goes to: a droplet's number or name, or `nobody`
        droplet: String,
        /// How long it takes [default: as long as every action]
        #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
        takes: Option<u64>,
    },
    /// Change a droplet, add one, or destroy one
    Droplet {
        /// Its number or name; a new one has a new number, and --name
        #[arg(value_name = "DROPLET")]
        which: String,
        #[command(flatten)]
        change: DropletChange,
    },
}

#[derive(Debug, clap::Args)]
struct Events {
    /// Only those with a number above this [default: all that are kept; with --wait those to come]
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Only these; may be given more than once
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',', value_parser = Event::NAMES)]
    names: Vec<String>,
    /// At most so many at a time
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: u64,
    /// Go on until it is interrupted
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
    /// Wait up to so long for one; nothing: exit code 1
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
}

/// Which calls a fault meets, and how long it stays; what is not said limits nothing.
#[derive(Debug, clap::Args)]
struct On {
    /// Only calls to this [default: api; for `says` metadata]
    #[arg(long, global = true, value_enum)]
    face: Option<Face>,
    /// Only calls of this method: GET, POST ...
    #[arg(long, global = true)]
    method: Option<String>,
    /// Only calls to this path; `*` stands for any text
    #[arg(long, global = true)]
    path: Option<String>,
    /// Only calls with this droplet's token, or to its metadata: its number or name
    #[arg(long, global = true)]
    droplet: Option<String>,
    /// Goes after so many calls
    #[arg(long, global = true, value_name = "N")]
    count: Option<u64>,
    /// Goes after so much time
    #[arg(long = "for", global = true, value_name = "DURATION", value_parser = milliseconds)]
    for_ms: Option<u64>,
}

/// A number, true or false as JSON has it; everything else is text.
fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE")?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

impl Options {
    pub(super) async fn tell(self) -> Result<(), TellError> {
        let whom = "the fake cloud";
        let server = self.at.ok_or(TellError::Where {
            whom,
            option: "--at URL",
            variable: "HAAGENT_LAB_CLOUD",
            member: "control",
        })?;
        let cloud = Running { whom, server, json: self.json };
        match self.command {
            Command::State => {
                let state: State = cloud.get("/state").await?;
                cloud.say(&state, in_words)
            }
            Command::Events(events) => events.tell(&cloud).await,
            Command::Fail { on, effect } => {
                let droplet = match &on.droplet {
                    Some(name) => Some(droplet(&cloud, name).await?),
                    None => None,
                };
                let target = Target { face: on.face, method: on.method, path: on.path, droplet };
                let order = Order { on: target, effect, count: on.count, for_ms: on.for_ms };
                let number: FaultNumber = cloud.post("/faults", &order).await?;
                cloud.say(&number, |FaultNumber { id }| format!("fault {id} is in force: {}\n", fault_in_words(&order)))
            }
            Command::Faults => {
                let list: FaultList = cloud.get("/faults").await?;
                cloud.say(&list, |list| faults(&list.faults))
            }
            Command::Heal { id } => {
                let path = id.map_or_else(|| "/faults".to_owned(), |id| format!("/faults/{id}"));
                let cleared: Cleared = cloud.delete(&path).await?;
                cloud.say(&cleared, |cleared| format!("{} healed\n", counted(cleared.cleared.len() as u64, "fault")))
            }
            Command::Set { settings } if settings.is_empty() => {
                let state: State = cloud.get("/state").await?;
                cloud.say(&SettingsNow { settings: state.settings }, |now| all_settings(&now.settings))
            }
            Command::Set { settings } => {
                let change: SettingsChange = settings.into_iter().collect();
                // A wrong word is found here, as every other usage error.
                Settings::default().changed(change.clone()).map_err(TellError::Setting)?;
                let now: SettingsNow = cloud.post("/settings", &change).await?;
                cloud.say(&now, |now| all_settings(&now.settings))
            }
            Command::Move { address, droplet: to, takes } => {
                let droplet = if to == "nobody" { None } else { Some(droplet(&cloud, &to).await?) };
                let order = HandMove { ip: address, droplet, takes_ms: takes };
                let number: ActionNumber = cloud.post("/move", &order).await?;
                cloud.say(&number, |number| format!("action {}: {address} goes to {to}\n", number.action))
            }
            Command::Droplet { which, change } => {
                let id = droplet(&cloud, &which).await?;
                let destroyed = change.destroy;
                let number: DropletNumber = cloud.post("/droplets", &DropletChange { id, ..change }).await?;
                cloud.say(&number, |number| {
                    format!("droplet {} is {}\n", number.droplet, if destroyed { "gone" } else { "as you say" })
                })
            }
        }
    }
}

/// A droplet's number, by its number or its name.
async fn droplet(cloud: &Running, text: &str) -> Result<u64, TellError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let state: State = cloud.get("/state").await?;
    let known = || list(state.droplets.iter().map(|droplet| format!("{} ({})", droplet.name, droplet.id)), "none");
    let found = state.droplets.iter().find(|droplet| droplet.name == text);
    found.map(|droplet| droplet.id).ok_or_else(|| TellError::NoSuchDroplet { name: text.to_owned(), known: known() })
}

impl Events {
    async fn tell(self, cloud: &Running) -> Result<(), TellError> {
        let clock = Clock::start();
        let mut after = match self.after {
            Some(after) => after,
            None if self.wait.is_some() => cloud.get::<State>("/state").await?.newest_event,
            None => 0,
        };
        loop {
            let wait = match self.wait {
                Some(wait) => wait.saturating_sub(clock.now()).min(MAX_WAIT),
                None if self.follow => MAX_WAIT,
                None => Duration::ZERO,
            };
            let (names, limit, wait_ms) = (self.names.join(","), self.limit, wait.as_millis());
            let path = format!("/events?after={after}&limit={limit}&event={names}&wait_ms={wait_ms}");
            let page: Page<Event> = cloud.get(&path).await?;
            after = page.next;
            match self.wait {
                Some(patience) if page.events.is_empty() => {
                    if clock.now() >= patience {
                        return Err(TellError::NothingCame(humantime::format_duration(patience)));
                    }
                }
                Some(_) | None => {
                    cloud.say(&page, |page| events(page, self.follow))?;
                    if !self.follow {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn in_words(state: &State) -> String {
    let named = |id: Option<u64>| match id {
        None => "nobody".to_owned(),
        Some(id) => {
            let droplet = state.droplets.iter().find(|droplet| droplet.id == id);
            droplet.map_or_else(|| id.to_string(), |droplet| format!("{} ({id})", droplet.name))
        }
    };
    let mut text = String::new();
    for address in &state.reserved_ips {
        let traffic = address.traffic;
        text.push_str(&format!("{} is held by {}\n", address.ip, named(address.holder)));
        let notes = [
            (address.shown != address.holder).then(|| format!("the API shows {}", named(address.shown))),
            (address.reached != address.holder).then(|| format!("clients reach {}", named(address.reached))),
            address.locked.then(|| "an action runs on it".to_owned()),
        ];
        for note in notes.into_iter().flatten() {
            text.push_str(&format!("  {note}\n"));
        }
        let (forwarded, refused, cut) = (traffic.forwarded, traffic.refused, traffic.cut_by_moves);
        text.push_str(&format!("  clients: {forwarded} let in, {refused} refused, {cut} cut by a move\n"));
    }
    let droplets: Vec<[String; 5]> = state
        .droplets
        .iter()
        .map(|droplet| {
            let says = droplet.metadata_says.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
            let locked = droplet.locked.then(|| "locked".to_owned());
            let event = Some(droplet.maintenance_event.clone()).filter(|event| !event.is_empty());
            let status = word(&droplet.status);
            let status = list([status].into_iter().chain(locked).chain(event), "");
            let private = droplet.private.map(|ip| ip.to_string()).unwrap_or_default();
            [droplet.id.to_string(), droplet.name.clone(), private, status, format!("metadata says {says}")]
        })
        .collect();
    text.push_str(&format!("\n{}", table(&droplets)));
    let member = |action: &Value, key: &str| match &action[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let actions: Vec<[String; 3]> =
        state.actions.iter().map(|action| ["id", "type", "status"].map(|key| member(action, key))).collect();
    if !actions.is_empty() {
        text.push_str(&format!("\n{}", table(&actions)));
    }
    text.push_str(&format!("\nnewest event {}, {} after the start\n", state.newest_event, time(state.now_ms)));
    text
}

fn all_settings(settings: &Settings) -> String {
    let value = serde_json::to_value(settings).unwrap_or_default();
    let rows: Vec<[String; 2]> =
        value.as_object().into_iter().flatten().map(|(key, value)| [key.clone(), plain(value)]).collect();
    table(&rows)
}

fn faults(faults: &[Fault]) -> String {
    if faults.is_empty() {
        return "no faults\n".to_owned();
    }
    let rows: Vec<[String; 3]> = faults
        .iter()
        .map(|fault| {
            let met = format!("met {}", counted(fault.hits, "call"));
            [fault.id.to_string(), fault_in_words(&fault.order), met]
        })
        .collect();
    table(&rows)
}

/// "lost-answer, on POST, of droplet 4711, for 1 call".
fn fault_in_words(order: &Order) -> String {
    let kind = order.effect.name().replace('_', "-");
    let effect = serde_json::to_value(&order.effect).unwrap_or_default();
    let own = effect.as_object().into_iter().flatten();
    let own = own.filter(|(key, value)| *key != "kind" && !value.is_null());
    let own = own.map(|(key, value)| format!(" {key}={}", plain(value))).collect::<String>();
    let on = &order.on;
    let parts = [
        Some(format!("{kind}{own}")),
        on.face.map(|face| format!("of {}", word(&face))),
        on.method.as_ref().map(|method| format!("on {method}")),
        on.path.as_ref().map(|path| format!("to {path}")),
        on.droplet.map(|id| format!("of droplet {id}")),
        order.count.map(|count| format!("for {}", counted(count, "call"))),
        order.for_ms.map(|ms| format!("for {}", time(ms))),
    ];
    list(parts.into_iter().flatten(), "")
}

fn events(page: &Page<Event>, follows: bool) -> String {
    let line = |entry: &Entry<Event>| {
        let seconds = Duration::from_millis(entry.at_ms).as_secs_f64();
        format!("{:5} {seconds:9.3} s  {:8}  {}\n", entry.seq, entry.what.name(), event(&entry.what))
    };
    let first = page.events.first().map_or(page.next, |entry| entry.seq);
    let missed = page.dropped > 0 && first <= page.dropped + 1;
    let mut text = if missed { format!("(the first {} are no longer kept)\n", page.dropped) } else { String::new() };
    text.extend(page.events.iter().map(line));
    if !follows {
        text.push_str(&format!("next: --after {}\n", page.next));
    }
    text
}

fn event(event: &Event) -> String {
    let to = |droplet: &Option<u64>| droplet.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    match event {
        Event::Request(call) => {
            let by = call.by.as_deref().unwrap_or("somebody");
            let face = if call.face == Face::Metadata { " (metadata)" } else { "" };
            let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let message = call.message.as_ref().map(|message| format!(" {message}")).unwrap_or_default();
            let faults = if call.faults.is_empty() { String::new() } else { format!(" [{}]", call.faults.join(", ")) };
            format!("{by}{face}: {} {} -> {status}{message}{faults}", call.method, call.path)
        }
        Event::Accepted { action, kind, ip, droplet, by } => {
            let ip = ip.map(|ip| format!(" {ip}")).unwrap_or_default();
            format!("action {action} {}{ip}, droplet {}, by {by}", word(kind), to(droplet))
        }
        Event::Ended { action, status, took_ms, by, ip: _ } => {
            format!("action {action} {} after {}, by {by}", word(status), time(*took_ms))
        }
        Event::Moved { ip, from, to: now, by } => format!("{ip} from {} to {}, by {by}", to(from), to(now)),
        Event::Created { ip, by } | Event::Deleted { ip, by } => format!("{ip}, by {by}"),
        Event::Droplet { droplet, change } => format!("{droplet} {}", word(change)),
        Event::Faults { set, cleared } => {
            let set = set.map(|id| format!("fault {id} is in force"));
            let cleared = (!cleared.is_empty()).then(|| format!("{cleared:?} healed"));
            list(set.into_iter().chain(cleared), "nothing to heal")
        }
    }
}
