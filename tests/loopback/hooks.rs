//! Programs of the operator that follow the mastership: in order, as levels, and never in the way.

use std::fs;

use serde_json::Value;

use super::lab::node::Said;
use super::lab::wait::{DEADLINE, until};
use super::lab::{Lab, Setup};

/// Each hook writes down its name, the state, and who was master before.
const WRITES: &str = "echo $HAAGENT_HOOK $HAAGENT_STATE ${HAAGENT_PREVIOUS_MASTER:-nobody} >> $F/log";

fn hook<'g>(group: &'g Value, name: &str) -> &'g Value {
    let hooks = group["hooks"].as_array().expect("a list");
    hooks.iter().find(|hook| hook["name"] == name).unwrap_or(&Value::Null)
}

#[track_caller]
fn hooks_ran(lab: &Lab, node: &str, expected: &[&str]) {
    let ran = until(DEADLINE, || {
        let log = lab.hooks.log(node);
        if log == expected { Ok(()) } else { Err(format!("{log:?}")) }
    });
    ran.unwrap_or_else(|why| panic!("{node} should have run {expected:?}: {why}"));
}

#[test]
fn quick_hooks_follow_a_failover_in_order_and_each_state_once() {
    let lab = Lab::settled(Setup {
        check: "fall = 1\nrise = 1",
        hooks: &[
            ("promote", "sleep 0.3; echo $HAAGENT_HOOK $HAAGENT_STATE ${HAAGENT_PREVIOUS_MASTER:-nobody} >> $F/log"),
            ("on_master", WRITES),
            ("on_backup", WRITES),
            ("on_fault", WRITES),
        ],
        ..Setup::default()
    });
    let (a, b) = (lab.node("a"), lab.node("b"));
    // Also an agent that has just started runs the hooks of the state that it reaches.
    hooks_ran(&lab, "a", &["promote master nobody", "on_master master nobody"]);
    hooks_ran(&lab, "b", &["on_backup backup nobody"]);
    let before = lab.cloud.deeds(0);

    a.engine.act("web-3", "die");
    b.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    hooks_ran(&lab, "b", &["on_backup backup nobody", "promote master a", "on_master master a"]);
    hooks_ran(&lab, "a", &["promote master nobody", "on_master master nobody", "on_fault fault a"]);
    let history = b.history().unwrap();
    let moved = history.iter().rev().find(|entry| entry["entry"] == "move").expect("a move");
    let phase = |name: &str| moved["phases_ms"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {moved}"));
    assert!(phase("promoted") >= phase("decided") + 300, "the timeline shows how long it took: {moved}");
    assert!(phase("assign_sent") >= phase("promoted"), "nothing is assigned before: {moved}");
    assert_eq!(lab.cloud.deeds(0).assigns, before.assigns + 1);

    a.engine.act("web-3", "start");
    a.until("it is backup", |group| group["state"] == "backup");
    let all = ["promote master nobody", "on_master master nobody", "on_fault fault a", "on_backup backup nobody"];
    hooks_ran(&lab, "a", &all);
    let group = a.until("its hook is done", |group| hook(group, "on_backup")["state"] == "ok");
    assert_eq!(hook(&group, "on_backup")["attempts"], 1);
    lab.settle("b");
    assert_eq!(lab.hooks.log("a"), all, "nothing is run twice");
}

#[test]
fn a_promotion_that_fails_keeps_the_address_away_until_another_node_or_its_mend() {
    let lab = Lab::settled(Setup {
        check: "fall = 1\nrise = 1",
        group: "claim_timeout = \"6s\"",
        hooks: &[("promote", "test -e $F/broken || exit 0; echo the replica lags; exit 3")],
        hooks_settings: "timeout = \"5s\"",
        ..Setup::default()
    });
    let (a, b) = (lab.node("a"), lab.node("b"));
    fs::write(lab.hooks.file("b", "broken"), "").unwrap();
    let before = lab.cloud.deeds(0);
    a.engine.act("web-3", "die");
    let group = b.until("its promotion fails", |group| group["claims"][0]["state"] == "failing");
    let detail = group["claims"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("the promote hook failed with exit code 3: the replica lags;"), "{group}");
    let promote = hook(&group, "promote");
    assert_eq!(promote["detail"], "the replica lags", "{group}");
    let page = b.command(&["status"]).out;
    assert!(page.contains("hooks     promote  ") && page.contains("the replica lags"), "{page}");
    // The node that the address is still on can serve again, and gets it back without a write.
    a.engine.act("web-3", "start");
    a.until("it is master again", |group| group["state"] == "master" && group["claims"][0]["state"] == "held");
    assert_eq!(lab.cloud.deeds(0), before, "nobody wrote, nothing moved");

    // Mended, and asked for once more.
    fs::remove_file(lab.hooks.file("b", "broken")).unwrap();
    until(DEADLINE, || {
        let said = a.command(&["failover", "--to", "b"]);
        if said.code == 0 { Ok(()) } else { Err(format!("{}{}", said.out, said.complaints)) }
    })
    .unwrap();
    b.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    assert_eq!(lab.holder(), "b");
}

#[test]
fn a_hook_that_hangs_or_says_too_much_is_in_nobodys_way() {
    let lab = Lab::settled(Setup {
        hooks: &[
            ("on_master", "head -c 1048576 /dev/zero | tr '\\0' 'x'; echo; echo done"),
            ("on_backup", "test -e $F/hang || exit 0\nsleep 600 & echo $! > $F/pid.new; mv $F/pid.new $F/pid\nwait"),
        ],
        hooks_settings: "timeout = \"1s\"",
        ..Setup::default()
    });
    let (a, b) = (lab.node("a"), lab.node("b"));
    let group = a.until("its hook is done", |group| hook(group, "on_master")["state"] == "ok");
    assert_eq!(hook(&group, "on_master")["detail"], "done");
    assert!(a.said().len() < 64 * 1024, "the journal keeps a part of a megabyte: {}", a.said().len());

    fs::write(lab.hooks.file("a", "hang"), "").unwrap();
    a.command(&["failover"]).expect_code(0);
    b.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    let grandchild =
        until(DEADLINE, || fs::read_to_string(lab.hooks.file("a", "pid")).map_err(|error| error.to_string()));
    let grandchild: u32 = grandchild.unwrap().trim().parse().unwrap();
    let group = a.until("its hook was killed", |group| hook(group, "on_backup")["state"] == "timeout");
    assert_eq!(group["severity"], "warning", "{group}");
    until(DEADLINE, || {
        let state = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let gone = state.is_empty() || state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        if gone { Ok(()) } else { Err(state) }
    })
    .unwrap();
    // It is repeated; while it hangs again, the next failover is as quick as ever, and its own hook runs.
    a.until("it runs again", |group| hook(group, "on_backup")["state"] == "running");
    b.command(&["failover"]).expect_code(0);
    a.until("it holds the address", |group| group["claims"][0]["state"] == "held");
    fs::remove_file(lab.hooks.file("a", "hang")).unwrap();
    lab.settle("a");
}

#[test]
fn an_agent_whose_hooks_others_may_replace_does_not_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::settled(Setup { hooks: &[("on_master", "true")], ..Setup::default() });
    let b = lab.node("b");
    b.term();
    let program = lab.hooks.program("on_master");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    let said = b.run_to_its_end(&[]);
    said.expect_code(78);
    let words = format!("{} can be written to by others (mode 0777)", program.display());
    let refused = |said: &Said, code| {
        said.expect_code(code);
        let told = format!("{}{}", said.out, said.complaints);
        assert!(told.contains(&words) && told.contains("chmod go-w"), "{told}");
    };
    refused(&said, 78);
    refused(&b.check_configuration(), 1);
    refused(&lab.node("a").command(&["reload"]), 1);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    b.check_configuration().expect_code(0);
    b.start();
    b.until("it is backup", |group| group["state"] == "backup");
    lab.node("a").command(&["reload"]).expect_code(0);
}

#[test]
fn a_reload_takes_hooks_over_and_runs_nothing_again_that_has_succeeded() {
    let lab = Lab::settled(Setup { hooks: &[("on_master", WRITES), ("on_fault", WRITES)], ..Setup::default() });
    hooks_ran(&lab, "a", &["on_master master nobody"]);
    for node in lab.nodes() {
        let file = node.file("haagent.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("on_fault = ", "on_backup = ")).unwrap();
        node.command(&["reload"]).expect_code(0);
    }
    // What is new is of the state that lasts; what has run is not changed by it.
    hooks_ran(&lab, "b", &["on_backup backup nobody"]);
    hooks_ran(&lab, "a", &["on_master master nobody"]);
    lab.node("a").command(&["failover"]).expect_code(0);
    hooks_ran(&lab, "a", &["on_master master nobody", "on_backup backup a"]);
    hooks_ran(&lab, "b", &["on_backup backup nobody", "on_master master a"]);
}
