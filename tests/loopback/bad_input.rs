//! Answers and requests without end, without sense, without a second half: an error that is
//! shown, and nothing that is stuck or grows.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::lab::node::Node;
use super::lab::wait::{DEADLINE, until};
use super::lab::{Lab, Setup};
use super::step::{Expected, step};

/// What an agent may grow by while it is fed what it must not keep: far below any of it.
const FLAT: u64 = 4 * 1024 * 1024;

#[track_caller]
pub fn assert_flat(before: u64, after: u64) {
    assert!(after < before + FLAT, "the most memory in use grew from {before} to {after} bytes");
}

/// An answer of 50 MB, and one without end, in place of the API's next answers to a node.
fn spoil(lab: &Lab, face: &str, droplet: u64, kind: &str, count: u64) -> u64 {
    lab.cloud.fault(&json!({"on": {"face": face, "droplet": droplet}, "effect": {"kind": kind}, "count": count}))
}

#[test]
fn a_huge_and_an_endless_answer_of_the_api_delay_a_takeover_and_no_more() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    let memory = b.agent().peak_memory();
    step(
        &lab,
        "a dies, and the API answers b without end",
        |lab| {
            spoil(lab, "api", b.droplet, "huge", 1);
            spoil(lab, "api", b.droplet, "endless", 1);
            lab.node("a").kill9();
        },
        &Expected::one_move("a", &[("b", "master", "silent")]).and(&|lab| {
            let events = lab.cloud.events(0);
            let met = |kind: &str| events.iter().any(|event| event["faults"].to_string().contains(kind));
            if met("huge") && met("endless") { Ok(()) } else { Err("the API's faults were not met".to_owned()) }
        }),
    );
    assert_flat(memory, b.agent().peak_memory());
}

#[test]
fn a_huge_and_an_endless_answer_of_the_metadata_service_change_nothing() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let memory = a.agent().peak_memory();
    for kind in ["huge", "endless"] {
        let fault = std::cell::Cell::new(None);
        step(
            &lab,
            &format!("metadata is {kind}"),
            |lab| fault.set(Some(spoil(lab, "metadata", a.droplet, kind, 1_000))),
            &Expected::nothing_moves("a", &["a"], &|lab| {
                let hits = fault.get().and_then(|fault| lab.cloud.hits(fault)).unwrap_or(0);
                if hits >= 3 { Ok(()) } else { Err(format!("it was asked {hits} times")) }
            }),
        );
        lab.cloud.clear_faults();
    }
    assert_flat(memory, a.agent().peak_memory());
    lab.settle("a");
}

#[test]
fn a_huge_an_endless_and_a_senseless_answer_of_docker_fail_the_check_and_no_more() {
    let lab = Lab::settled(Setup::default());
    let b = lab.node("b");
    let memory = b.agent().peak_memory();
    for mode in ["huge", "endless", "garbage"] {
        let calls = std::cell::Cell::new(u64::MAX);
        step(
            &lab,
            &format!("Docker answers are {mode}"),
            |_| {
                calls.set(b.engine.calls());
                b.engine.answers(mode);
            },
            &Expected::nothing_moves("a", &["a"], &|_| {
                let group = b.group()?;
                let check = &group["checks"][0];
                let asked = b.engine.calls().saturating_sub(calls.get());
                // The check fails, says why, and looks again.
                let told = check["ok"] == false && check["detail"].is_string();
                if told && asked >= 3 { Ok(()) } else { Err(format!("{asked} calls, {check}")) }
            }),
        );
        b.engine.answers("ok");
        b.until("the check passes again", |group| group["checks"][0]["ok"] == true);
    }
    assert_flat(memory, b.agent().peak_memory());
    lab.settle("a");
}

/// What a client may do to a control socket. What is open stays so until the end of the test.
fn pester(node: &Node) -> Vec<UnixStream> {
    let connect = || {
        let stream = UnixStream::connect(node.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    // Junk is answered with an error, and the connection ends.
    for junk in ["\u{0}\u{1}\u{2}\n", "{}\n", "GET / HTTP/1.1\n", "[[[[[[\n", "{\"v\":1,\"request\":\"reboot\"}\n"] {
        let mut stream = connect();
        stream.write_all(junk.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["answer"], "error", "{junk:?}: {answer}");
    }
    // 50 MB without an end of the line: cut off long before.
    let mut stream = connect();
    let piece = [b'x'; 64 * 1024];
    let refused = (0..800).any(|_| stream.write_all(&piece).is_err());
    assert!(refused, "50 MB were read");
    // Half a request, and gone.
    connect().write_all(b"{\"v\":1,\"requ").unwrap();
    // Half a request, or nothing, and no more: each holds a place for a while.
    let mut hanging: Vec<UnixStream> = (0..12).map(|_| connect()).collect();
    for stream in hanging.iter_mut().step_by(2) {
        stream.write_all(b"{\"v\":1,").unwrap();
    }
    // A whole request whose answer is not read.
    let mut deaf = connect();
    deaf.write_all(b"{\"v\":1,\"request\":\"status\"}\n").unwrap();
    hanging.push(deaf);
    hanging
}

#[test]
fn a_control_client_that_sends_junk_or_hangs_disturbs_nobody() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let memory = a.agent().peak_memory();
    let hanging = std::cell::RefCell::new(Vec::new());
    step(
        &lab,
        "clients pester the control socket of a",
        |_| drop(hanging.replace(pester(a))),
        &Expected::nothing_moves("a", &["a"], &|_| {
            // It is answered beside them.
            a.command(&["status"]).expect_code(0);
            if hanging.borrow().is_empty() { Err("nobody hangs".to_owned()) } else { Ok(()) }
        }),
    );
    // Whoever does not finish the line is cut off.
    for stream in hanging.borrow_mut().iter_mut() {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok(), "a hanging client is still connected: {ended:?}");
    }
    assert_flat(memory, a.agent().peak_memory());
    lab.settle("a");
}

#[test]
fn more_clients_than_there_are_places_are_told_so_and_the_places_come_back() {
    let lab = Lab::settled(Setup::default());
    let a = lab.node("a");
    let hanging: Vec<UnixStream> = (0..60).map(|_| UnixStream::connect(a.socket()).unwrap()).collect();
    // Nobody gets in now; the heartbeats go on.
    let b = lab.node("b");
    let before = lab.cloud.newest();
    assert_eq!(lab.cloud.stir(before, lab.interval() * 6), None);
    let peer = b.peer(a.address).unwrap();
    assert_eq!(peer["presence"], "heard", "{peer}");
    // The hanging ones are cut off, and then there is place again, though they never go by themselves.
    until(Duration::from_secs(20), || a.group()).unwrap();
    drop(hanging);
    lab.settle("a");
}
