use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::*;
use crate::sys::program::tests::{safe_folder, script};

fn order(program: &Path) -> Order {
    Order {
        program: program.to_owned(),
        arguments: Vec::new(),
        environment: Vec::new(),
        deadline: Duration::from_secs(60),
    }
}

async fn run_script(text: &str) -> Ended {
    let folder = safe_folder();
    run(order(&script(folder.path(), "hook", text))).await.unwrap()
}

/// Waits until a process has gone, or is only waited for.
async fn gone(pid: i32) {
    let ended = async {
        loop {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let zombie = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
            if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) || zombie {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.unwrap_or_else(|_| panic!("{pid} still runs"));
}

/// The number that a script wrote down.
async fn number(file: &Path) -> i32 {
    let written = async {
        loop {
            if let Ok(text) = fs::read_to_string(file)
                && text.ends_with('\n')
            {
                return text.trim().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), written).await.unwrap()
}

#[tokio::test]
async fn a_program_tells_its_code_and_what_it_said_on_both_pipes() {
    let ended = run_script("echo out; echo err >&2; exit 3").await;
    assert_eq!(ended.end, End::Exited(3));
    let mut lines = ended.output.lines();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    assert_eq!(run_script("kill -9 $$").await.end, End::Signalled(9));
}

#[tokio::test]
async fn arguments_are_not_read_by_a_shell() {
    let folder = safe_folder();
    let program = script(folder.path(), "hook", "printf '%s\\n' \"$#\" \"$1\" \"$2\"");
    let arguments = vec!["$(id); `id` > /x".to_owned(), String::new()];
    let ended = run(Order { arguments, ..order(&program) }).await.unwrap();
    assert_eq!(ended.output.lines(), ["2", "$(id); `id` > /x"]);
}

/// Design section 9: a hook inherits nothing of the agent.
#[tokio::test]
async fn a_program_has_a_clean_environment_no_powers_and_hears_every_signal() {
    crate::sys::rt::clear_ambient_capabilities().unwrap();
    pass_nothing_on();
    let folder = safe_folder();
    let program = script(
        folder.path(),
        "hook",
        "env; pwd; grep -E '^(CapAmb|SigBlk|SigIgn):' /proc/self/status; ls -l /proc/self/fd | grep -c '^l'; cat",
    );
    let environment = vec![("HAAGENT_NODE", "web-1".to_owned())];
    let ended = run(Order { environment, ..order(&program) }).await.unwrap();
    let mut lines = ended.output.lines();
    // What sh itself sets.
    lines.retain(|line| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)));
    // 32 and 33 are the C library's own (signal(7)): nobody can set them.
    let lines = lines.iter().map(|line| line.replace("SigIgn:0000000180000000", "SigIgn:0000000000000000"));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    // Four descriptors: three, and the folder that ls reads.
    let mut expected = vec![
        "/",
        "4",
        "CapAmb:\t0000000000000000",
        "HAAGENT_NODE=web-1",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
    ]
    .into_iter()
    .map(|line| line.chars().filter(|letter| !letter.is_control()).collect())
    .collect::<Vec<String>>();
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_hangs_is_ended_with_its_grandchildren_also_those_that_do_not_listen() {
    let folder = safe_folder();
    let file = folder.path().join("pid");
    let text = format!(
        "(trap '' TERM; sh -c 'echo $PPID > {0}.new; mv {0}.new {0}'; while :; do sleep 1; done) & wait",
        file.display()
    );
    let program = script(folder.path(), "hook", &text);
    let running = tokio::spawn(run(Order { deadline: Duration::from_millis(500), ..order(&program) }));
    let grandchild = number(&file).await;
    let ended = running.await.unwrap().unwrap();
    assert_eq!(ended.end, End::TimedOut);
    gone(grandchild).await;
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    let folder = safe_folder();
    let program = script(folder.path(), "hook", "trap '' TERM; while :; do sleep 1; done");
    let ended = run(Order { deadline: Duration::from_millis(100), ..order(&program) }).await.unwrap();
    assert_eq!(ended.end, End::TimedOut);
}

#[tokio::test]
async fn who_is_no_longer_waited_for_is_killed_with_its_group() {
    let folder = safe_folder();
    let file = folder.path().join("pid");
    let text = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let program = script(folder.path(), "hook", &text);
    let running = tokio::spawn(run(order(&program)));
    let grandchild = number(&file).await;
    running.abort();
    gone(grandchild).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_lives_on_and_holds_nobody_up() {
    let folder = safe_folder();
    let file = folder.path().join("pid");
    let text = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; echo done", file.display());
    let ended = run(order(&script(folder.path(), "hook", &text))).await.unwrap();
    let daemon = Pid::from_raw(number(&file).await);
    assert_eq!((ended.end, ended.output.lines()), (End::Exited(0), vec!["done".to_owned()]));
    kill(daemon, None).expect("it still runs");
    kill(daemon, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_megabyte_of_words_ends_as_soon_as_it_is_said() {
    let ended = run_script("head -c 1048576 /dev/zero | tr '\\0' 'x'; echo; echo last >&2; exit 0").await;
    assert_eq!(ended.end, End::Exited(0));
    assert!(ended.output.lines().len() < 5);
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_what_to_do() {
    let folder = safe_folder();
    let broken = script(folder.path(), "broken", "true");
    fs::write(folder.path().join("new"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(folder.path().join("new"), fs::metadata(&broken).unwrap().permissions()).unwrap();
    fs::rename(folder.path().join("new"), &broken).unwrap();
    let error = run(order(&broken)).await.unwrap_err();
    assert!(error.to_string().contains("its first line must name a program that exists"), "{error}");
    let error = run(order(&folder.path().join("none"))).await.unwrap_err();
    assert!(matches!(error, StartError::Program(_)), "{error}");
}

/// A file that cannot be opened, as on a disk that hangs: whoever tries waits until the lease is
/// given up (fcntl(2), F_SETLEASE), half a minute and more.
#[allow(unsafe_code)]
fn hung(program: &Path) -> HungDisk {
    use std::os::fd::AsRawFd as _;
    const F_SETSIG: libc::c_int = 10; // asm-generic/fcntl.h
    let file = fs::File::open(program).unwrap();
    // SAFETY: both take numbers only. The signal that tells of the other one is one that nobody hears.
    let leased = unsafe {
        libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
            && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0
    };
    assert!(leased, "{}", std::io::Error::last_os_error());
    HungDisk(file)
}

struct HungDisk(fs::File);

impl Drop for HungDisk {
    /// Closing is not enough: whoever hangs in exec has a copy of every descriptor.
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        use std::os::fd::AsRawFd as _;
        // SAFETY: it takes numbers only.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}

#[tokio::test]
async fn a_program_on_a_disk_that_hangs_is_in_no_other_programs_way_however_often_it_is_tried() {
    let folder = safe_folder();
    let hangs = script(folder.path(), "hangs", "true");
    let well = script(folder.path(), "well", "true");
    let _disk = hung(&hangs);
    let tried: Vec<_> = (0..5).map(|_| tokio::spawn(run(order(&hangs)))).collect();
    // Time enough for all of them to be on their way.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ended = run(order(&well)).await.unwrap();
    assert_eq!(ended.end, End::Exited(0));
    for tried in tried {
        let error = tried.await.unwrap().unwrap_err();
        assert!(matches!(error, StartError::Hangs(_)), "{error}");
    }
}

/// The rights of the calling thread only: the C library's own call would change those of all threads.
#[allow(unsafe_code)]
fn act_as(user: libc::uid_t) {
    // SAFETY: it takes numbers only.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, user, user, -1) }, 0);
}

#[tokio::test]
async fn what_cannot_be_killed_is_told_and_not_started_beside_itself() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = safe_folder();
    let file = folder.path().join("pid");
    let program =
        script(folder.path(), "hook", &format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", file.display()));
    let running = tokio::spawn(run(Order { deadline: Duration::from_millis(300), ..order(&program) }));
    let pid = Pid::from_raw(number(&file).await);
    // As an agent without rights whose hook has become root's, by sudo.
    act_as(65_534);
    assert_eq!(kill(pid, None), Err(Errno::EPERM));
    let ended = running.await.unwrap().unwrap();
    act_as(0);
    assert_eq!(ended.end, End::Unkillable);
    let error = run(order(&program)).await.unwrap_err();
    assert!(matches!(error, StartError::Hangs(_)), "{error}");
    kill(pid, Signal::SIGKILL).unwrap();
    gone(pid.as_raw()).await;
}
