use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::sys::program::tests::{safe_folder, script};

/// What is waited for comes within this, or never.
const DEADLINE: Duration = Duration::from_secs(30);

struct Bench {
    folder: TempDir,
    started: Started,
    turns: u64,
}

fn names() -> Names {
    Names {
        node: NodeName::new("web-2").unwrap(),
        group: GroupName::new("web").unwrap(),
        address: Ipv4Addr::new(203, 0, 113, 10),
    }
}

fn program(path: PathBuf) -> Option<Program> {
    Some(Program { path, arguments: Vec::new() })
}

impl Bench {
    /// Hooks of these names, each with its script; `$F` is a folder to write to.
    fn new(hooks: &[(Hook, &str)]) -> Self {
        let folder = safe_folder();
        let settings = settings(folder.path(), hooks);
        Self { started: start(names(), settings), folder, turns: 0 }
    }

    fn turn(&mut self, state: NodeState) -> Time {
        self.turns += 1;
        let at = Time::from_millis(self.turns * 1_000);
        self.started.hooks.turn(Turn {
            at,
            state,
            previous: NodeState::Backup,
            reason: "silent".to_owned(),
            evidence: "web-1 fell silent;\nlast heard 1.5 s before".to_owned(),
            term: Term(7),
            priority: Priority::DEFAULT,
            previous_master: NodeName::new("web-1").ok(),
        });
        at
    }

    /// Waits until the reports are so.
    async fn until(&self, what: &str, met: impl Fn(&[Report]) -> bool) {
        let mut changes = self.started.hooks.changes();
        let waited = timeout(DEADLINE, changes.wait_for(|reports| met(reports))).await.map(|seen| _ = seen.unwrap());
        waited.unwrap_or_else(|_| panic!("{what}: {:?}", self.started.hooks.reports()));
    }

    async fn ends(&self, hook: Hook, outcome: Outcome) -> Report {
        let is = |reports: &[Report]| reports.iter().any(|report| report.hook == hook && report.outcome == outcome);
        self.until(&format!("{hook} {outcome:?}"), is).await;
        self.started.hooks.reports().into_iter().find(|report| report.hook == hook).unwrap()
    }

    /// The lines that the scripts wrote to `$F/log`.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn settings(folder: &Path, hooks: &[(Hook, &str)]) -> types::Hooks {
    let mut settings = types::Hooks { timeout: Duration::from_secs(60), ..types::Hooks::default() };
    for (hook, text) in hooks {
        let text = text.replace("$F", &folder.display().to_string());
        let path = script(folder, hook.as_str(), &text);
        match hook {
            Hook::Promote => settings.promote = program(path),
            Hook::OnMaster => settings.on_master = program(path),
            Hook::OnBackup => settings.on_backup = program(path),
            Hook::OnFault => settings.on_fault = program(path),
        }
    }
    settings
}

/// The first cell of each row of the table of variables.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../docs/hooks.md");
    page.lines().filter_map(|line| line.strip_prefix("| `HAAGENT_")?.split_once('`')).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn the_hook_of_the_state_that_is_reached_is_run_with_what_the_documentation_says() {
    let mut bench = Bench::new(&[(Hook::OnBackup, "env | grep HAAGENT_ | sort > $F/log; echo done")]);
    bench.turn(NodeState::Backup);
    let report = bench.ends(Hook::OnBackup, Outcome::Ok).await;
    assert_eq!((report.exit_code, report.attempts, report.detail.as_deref()), (Some(0), 1, Some("done")));
    let expected = [
        "HAAGENT_ADDRESS=203.0.113.10",
        "HAAGENT_ATTEMPT=1",
        "HAAGENT_EVIDENCE=web-1 fell silent;last heard 1.5 s before",
        "HAAGENT_GROUP=web",
        "HAAGENT_HOOK=on_backup",
        "HAAGENT_NODE=web-2",
        "HAAGENT_PREVIOUS_MASTER=web-1",
        "HAAGENT_PREVIOUS_STATE=backup",
        "HAAGENT_PRIORITY=100",
        "HAAGENT_REASON=silent",
        "HAAGENT_STATE=backup",
        "HAAGENT_TERM=7",
    ];
    assert_eq!(bench.log(), expected);
    let mut told: Vec<&str> = expected.iter().filter_map(|line| line["HAAGENT_".len()..].split('=').next()).collect();
    let mut documented = documented();
    told.sort();
    documented.sort();
    assert_eq!(told, documented);
}

#[tokio::test]
async fn on_master_waits_for_the_gate_and_for_the_gate_of_its_own_mastership() {
    let mut bench = Bench::new(&[(Hook::OnMaster, "echo $HAAGENT_TERM >> $F/log"), (Hook::OnFault, "true")]);
    let first = bench.turn(NodeState::Master);
    let second = bench.turn(NodeState::Master);
    bench.started.hooks.promoted(first);
    // What would have been begun for the first is seen to be not: a later state's hook runs and ends.
    bench.turn(NodeState::Fault);
    bench.ends(Hook::OnFault, Outcome::Ok).await;
    bench.started.hooks.promoted(second);
    let third = bench.turn(NodeState::Master);
    assert_eq!(bench.log(), Vec::<String>::new());
    bench.started.hooks.promoted(third);
    bench.ends(Hook::OnMaster, Outcome::Ok).await;
    assert_eq!(bench.log(), ["7"]);
}

#[tokio::test]
async fn a_failed_hook_is_run_again_until_it_succeeds() {
    let mut bench = Bench::new(&[(Hook::OnFault, "echo x >> $F/log; echo no luck; test -e $F/luck || exit 3")]);
    bench.turn(NodeState::Fault);
    let report = bench.ends(Hook::OnFault, Outcome::Failed).await;
    assert_eq!((report.exit_code, report.attempts, report.detail.as_deref()), (Some(3), 1, Some("no luck")));
    fs::write(bench.folder.path().join("luck"), "").unwrap();
    let report = bench.ends(Hook::OnFault, Outcome::Ok).await;
    assert_eq!(usize::try_from(report.attempts).unwrap(), bench.log().len());
    assert!(report.attempts >= 2);
}

#[tokio::test]
async fn a_promotion_answers_with_its_last_word_and_waits_for_no_other_hook() {
    let mut bench = Bench::new(&[
        (Hook::OnBackup, "while :; do sleep 1; done"),
        (Hook::Promote, "echo try $HAAGENT_ATTEMPT $HAAGENT_STATE; test $HAAGENT_ATTEMPT -ge 2"),
    ]);
    bench.turn(NodeState::Backup);
    bench.ends(Hook::OnBackup, Outcome::Running).await;
    bench.turn(NodeState::Master);
    let refused = timeout(DEADLINE, bench.started.promotion.run()).await.unwrap().unwrap_err();
    assert!(refused.starts_with("the promote hook failed with exit code 1: try 1 master;"), "{refused}");
    timeout(DEADLINE, bench.started.promotion.run()).await.unwrap().unwrap();
    let reports = bench.started.hooks.reports();
    let [promote, on_backup] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((promote.outcome, promote.attempts), (Outcome::Ok, 2));
    assert_eq!(on_backup.outcome, Outcome::Running);
}

#[tokio::test]
async fn a_promotion_that_nobody_waits_for_any_more_runs_to_its_end_and_the_next_one_after_it() {
    let bench = Bench::new(&[(
        Hook::Promote,
        "echo begin >> $F/log; until test -e $F/go; do sleep 0.01; done; echo end >> $F/log",
    )]);
    let waiting = tokio::spawn({
        let promotion = bench.started.promotion.clone();
        async move { promotion.run().await }
    });
    bench.ends(Hook::Promote, Outcome::Running).await;
    waiting.abort();
    let next = bench.started.promotion.run();
    fs::write(bench.folder.path().join("go"), "").unwrap();
    timeout(DEADLINE, next).await.unwrap().unwrap();
    assert_eq!(bench.log(), ["begin", "end", "begin", "end"]);
}

#[tokio::test]
async fn other_settings_take_effect_and_run_nothing_again_that_has_succeeded() {
    let mut bench = Bench::new(&[(Hook::OnBackup, "echo backup >> $F/log")]);
    bench.turn(NodeState::Backup);
    bench.ends(Hook::OnBackup, Outcome::Ok).await;
    let other =
        [(Hook::OnBackup, "echo other >> $F/log"), (Hook::OnFault, "echo fault >> $F/log"), (Hook::Promote, "true")];
    bench.started.hooks.replace(settings(bench.folder.path(), &other));
    bench.turn(NodeState::Fault);
    bench.ends(Hook::OnFault, Outcome::Ok).await;
    assert_eq!(bench.log(), ["backup", "fault"]);
    bench.started.hooks.replace(types::Hooks::default());
    bench.until("no hook is shown", <[Report]>::is_empty).await;
    assert_eq!(timeout(DEADLINE, bench.started.promotion.run()).await.unwrap(), Ok(()), "no gate, no obstacle");
}

#[tokio::test]
async fn what_others_may_replace_is_refused_at_each_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bench = Bench::new(&[(Hook::OnBackup, "true")]);
    let path = bench.folder.path().join("on_backup");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    bench.turn(NodeState::Backup);
    let report = bench.ends(Hook::OnBackup, Outcome::Refused).await;
    let detail = report.detail.unwrap();
    assert!(detail.contains("chmod go-w"), "{detail}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    bench.ends(Hook::OnBackup, Outcome::Ok).await;
}

#[test]
fn what_is_wrong_with_the_programs_of_a_file_is_told_by_their_keys() {
    let folder = safe_folder();
    let good = script(folder.path(), "good", "true");
    let text = format!(
        "[digitalocean]\ntoken.file = \"/t\"\n[heartbeat]\nkey.file = \"/k\"\n[group.web]\npeers = [\"10.0.0.1\", \"10.0.0.2\"]\n\
         [[group.web.claim]]\ndigitalocean.reserved_ip = \"203.0.113.10\"\n\
         [group.web.hooks]\npromote = [{good:?}]\non_master = [\"/no/such\", \"x\"]\n"
    );
    let loaded = crate::config::parse("haagent.toml", text.as_bytes()).unwrap();
    let wrong = vet(&loaded.config);
    let [(key, error)] = wrong.as_slice() else { panic!("{wrong:?}") };
    assert_eq!(key, "group.web.hooks.on_master");
    assert!(loaded.written(key).is_some(), "the place of this key is known");
    assert!(error.to_string().contains("there is no such file"), "{error}");
}

#[tokio::test]
async fn a_token_or_key_that_a_hook_prints_is_told_to_nobody() {
    let key = "6b65796b65796b65796b65796b65796b".repeat(2);
    let text = format!("echo 'Authorization: Bearer dop_v1_aabbccdd, signed {key}'; exit 3");
    let mut bench = Bench::new(&[(Hook::OnBackup, text.as_str()), (Hook::Promote, text.as_str())]);
    bench.turn(NodeState::Backup);
    let report = bench.ends(Hook::OnBackup, Outcome::Failed).await;
    let refused = bench.started.promotion.run().await.unwrap_err();
    for told in [report.detail.as_deref().unwrap_or_default(), &refused] {
        assert!(told.contains("Bearer dop_v1_********, signed ****"), "{told}");
        assert!(!told.contains("aabbccdd") && !told.contains("6b65"), "{told}");
    }
}
