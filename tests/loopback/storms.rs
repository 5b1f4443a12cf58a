//! The shell around the cores in rough weather: odd files, floods of signals, clients and words, and
//! what all of it leaves behind in the process.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::lab::node::{Node, command_on};
use super::lab::wait::{DEADLINE, until};
use super::lab::{Lab, Setup};

/// What a process holds: open descriptors, children that are not waited for, threads, KiB of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    children: usize,
    threads: usize,
    resident: u64,
}

fn held(node: &Node) -> Held {
    let proc = format!("/proc/{}", node.agent().pid());
    let children = fs::read_dir(format!("{proc}/task")).unwrap().map(|task| {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        children.split_whitespace().count()
    });
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    };
    Held {
        descriptors: fs::read_dir(format!("{proc}/fd")).unwrap().count(),
        children: children.sum(),
        threads: usize::try_from(field("Threads:")).unwrap(),
        resident: field("VmRSS:"),
    }
}

#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = until(DEADLINE, || if is_so() { Ok(()) } else { Err("not yet".to_owned()) });
    waited.unwrap_or_else(|why| panic!("{what}: {why}"));
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    removed.unwrap();
}

#[test]
fn a_file_that_is_none_is_refused_and_the_mended_one_taken_and_neither_moves_anything() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let acts = || a.history().unwrap().iter().filter(|entry| entry["entry"] == "act").count();
    let before = (acts(), lab.cloud.newest());
    let file = a.file("haagent.toml");
    let good = fs::read_to_string(&file).unwrap();
    type Make<'m> = &'m dyn Fn(&Path);
    let odd: [(&str, Make<'_>); 6] = [
        ("it is no regular file", &|file| mkfifo(file, Mode::S_IRWXU).unwrap()),
        ("it is no regular file", &|file| fs::create_dir(file).unwrap()),
        ("it is longer than", &|file| fs::File::create(file).unwrap().set_len(100 << 20).unwrap()),
        ("", &|file| a.write_secret(file.file_name().unwrap().to_str().unwrap(), "\u{fffd}")),
        ("Too many levels of symbolic links", &|file| symlink(file, file).unwrap()),
        ("No such file", &|_| ()),
    ];
    for (says, make) in odd {
        for at in [&file, &a.file("token")] {
            remove(at);
            make(at);
            let said = a.reload();
            said.expect_code(1);
            assert!(said.complaints.contains(says), "{says}: {}", said.complaints);
            let error = a.status().unwrap()["config"]["error"].as_str().map(str::to_owned);
            assert!(error.is_some_and(|error| error.contains(says)), "{says}");
            if at.symlink_metadata().is_ok() {
                remove(at);
            }
            if *at == file {
                fs::write(at, &good).unwrap()
            } else {
                a.write_secret("token", &a.token())
            }
            let said = a.reload();
            assert_eq!((said.code, said.out.as_str()), (0, "nothing changed\n"), "{}", said.complaints);
        }
    }
    // The history is bounded, and it is for what happened.
    assert_eq!(acts(), before.0);
    lab.settle("a");
    assert_eq!(lab.cloud.deeds(before.1).writes, 0);
}

#[test]
fn quick_a_hang_up_while_the_agent_starts_ends_nothing_and_is_a_reload_once_it_runs() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    b.term();
    b.edit(&format!("address = \"{}\"", b.address), "address = \"auto\"");
    let broken = json!({"on": {"face": "metadata", "droplet": b.droplet}, "effect": {"kind": "server_error"}});
    lab.cloud.fault(&broken);
    b.start();
    wait_for("it waits for its address", || b.said().contains("this host's private address is not known yet"));
    b.agent().signal(Signal::SIGHUP);
    lab.cloud.clear_faults();
    wait_for("it reloads", || b.said().contains("SIGHUP reloaded the configuration: nothing changed"));
    lab.settle("a");
}

#[test]
fn a_flood_of_hang_ups_and_a_full_control_socket_are_in_nobodys_way() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let entries = a.history().unwrap().len();
    let idle: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(a.socket()).unwrap()).collect();
    let said = a.reload();
    assert_ne!(said.code, 0);
    assert!(said.complaints.contains("as many clients as it may: try again"), "{}", said.complaints);
    a.edit("majority = false", "majority = false\nclaim_timeout = \"50s\"");
    for _ in 0..10_000 {
        a.agent().signal(Signal::SIGHUP);
    }
    wait_for("the signal is heard", || a.said().contains("claim_timeout \"1m\" -> \"50s\""));
    drop(idle);
    a.edit("majority = false\nclaim_timeout = \"50s\"", "majority = false");
    wait_for("it is idle again", || a.reload().code == 0);
    wait_for("the old settings are back", || a.status().is_ok_and(|status| status["config"]["error"].is_null()));
    lab.settle("a");
    assert_eq!(a.history().unwrap().len(), entries + 2, "what changed nothing is not kept");
}

#[test]
fn an_agent_that_stops_while_promote_runs_ends_and_the_next_one_begins_the_promotion_anew() {
    let lab = Lab::settled(Setup {
        hooks: &[("promote", "echo $$ >> $F/log; test -e $F/hang || exit 0; trap '' TERM; while :; do sleep 1; done")],
        hooks_settings: "timeout = \"40s\"",
        ..Setup::default()
    });
    let (a, b) = (lab.node("a"), lab.node("b"));
    fs::write(lab.hooks.file("b", "hang"), "").unwrap();
    a.kill9();
    wait_for("b promotes", || lab.hooks.log("b").len() == 1);
    let promoting = || b.group().is_ok_and(|group| group["hooks"][0]["state"] == "running");
    wait_for("status shows it", promoting);
    b.command(&["restart", "--reason", "upgrade"]).expect_code(0);
    // Within the bound of a wait, and long before the hook's own time is over.
    b.term();
    let gone = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    wait_for("the hook was killed with it", || lab.hooks.log("b").iter().all(|pid| gone(pid)));
    fs::remove_file(lab.hooks.file("b", "hang")).unwrap();
    b.start();
    b.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    assert_eq!(lab.hooks.log("b").len(), 2);
    assert_eq!(lab.holder(), "b");
}

#[test]
fn many_hooks_and_reloads_leave_nothing_behind() {
    if !nix::unistd::geteuid().is_root() {
        // An agent lets nobody but root look at what it has open.
        return;
    }
    let lab = Lab::settled(Setup {
        // Of no state yet: a hook that fails is no settled lab.
        hooks: &[("on_fault", "echo x >> $F/log; sleep 0 & exit 3")],
        ..Setup::default()
    });
    let a = lab.node("a");
    let runs = || lab.hooks.log("a").len();
    let good = fs::read_to_string(a.file("haagent.toml")).unwrap().replace("on_fault =", "on_master =");
    let again = |number: u32| {
        let ran = runs();
        let timeout = format!("[group.web.hooks]\ntimeout = \"{}ms\"", 10_000 + number);
        fs::write(a.file("haagent.toml"), good.replace("[group.web.hooks]", &timeout)).unwrap();
        a.reload().expect_code(0);
        // What failed is tried with the new settings at once, also if it ran meanwhile.
        wait_for("it is tried again", || runs() > ran);
    };
    // The first ones find their caches and threads.
    (0..20).for_each(again);
    let before = held(a);
    (20..80).for_each(again);
    let settled = until(DEADLINE, || {
        let now = held(a);
        // A connection more or less is open at any moment.
        let same = now.descriptors <= before.descriptors + 4 && now.children == 0 && now.threads <= before.threads + 1;
        if same && now.resident <= before.resident + 4096 { Ok(now) } else { Err(format!("{before:?}, then {now:?}")) }
    });
    settled.unwrap();
}

#[test]
fn a_drain_that_somebody_ends_is_waited_for_no_longer() {
    // Nobody is ready: the drained node stays master, and the drain waits.
    let lab = Lab::settled(Setup { check: "fall = 1", ..Setup::default() });
    let (a, b) = (lab.node("a"), lab.node("b"));
    b.engine.act("web-3", "die");
    a.until("nobody is ready", |group| group["failover_ready"] == false);
    let socket = a.socket();
    let said = std::thread::scope(|scope| {
        let drain = scope.spawn(|| command_on(&socket, &["drain"]));
        a.until("it is drained", |group| group["acts"][0]["kind"] == "drain");
        a.command(&["resume"]).expect_code(0);
        drain.join().unwrap()
    });
    said.expect_code(1);
    assert!(said.complaints.contains("the drain was ended"), "{}{}", said.out, said.complaints);
}
