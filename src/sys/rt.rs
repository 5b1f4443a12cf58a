//! What keeps the heart on time and secrets in: scheduling, locked memory, privileges.
//!
//! Each of these may be refused, by the unit, the container or the kernel. Then the
//! agent works all the same, less punctually, and says so: every answer here has a
//! line for the log with the reason and the mend.

use std::fmt;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Above everything ordinary, below the kernel's threaded interrupts (50), which the
/// heart waits for.
pub const REALTIME_PRIORITY: libc::c_int = 10;

/// The strongest wish that `setpriority(2)` takes.
const NICEST: libc::c_int = -20;

/// glibc gives each thread that allocates an arena of its own; a daemon of few threads needs two.
const ARENAS: libc::c_int = 2;

/// Bit of `CAP_IPC_LOCK` in a capability set (`linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;

/// Whether pages of this process may be paged out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Every page stays once it has been touched.
    Locked,
    /// Not tried: under a limit, a lock on all future memory would let a later allocation fail.
    Limited { bytes: u64 },
    /// The kernel refused.
    Refused(Errno),
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => write!(f, "memory is locked"),
            Self::Limited { bytes } => write!(
                f,
                "memory is not locked (limit {} KiB): a host short of memory may delay heartbeats; grant CAP_IPC_LOCK \
                 or LimitMEMLOCK=infinity",
                bytes / 1024
            ),
            Self::Refused(errno) => write!(
                f,
                "memory is not locked (mlockall: {}): a host short of memory may delay heartbeats; grant CAP_IPC_LOCK",
                errno.desc()
            ),
        }
    }
}

/// Gives back the pages of the program's own code that only the start has needed: arguments, configuration.
/// Locked, they would stay for ever. What is needed again is mapped again from the page cache. To be called
/// before memory is locked; where the system tells nothing of its mappings, nothing is given back.
#[allow(unsafe_code)]
pub fn release_startup_pages() {
    let (Ok(program), Ok(maps)) = (fs::read_link("/proc/self/exe"), fs::read_to_string("/proc/self/maps")) else {
        return;
    };
    for (begin, length) in program_pages(&maps, &program.to_string_lossy()) {
        // SAFETY: code and constants of the program's file, mapped privately and never written to: whoever
        // touches them next finds the same bytes, read from the file again (madvise(2), MADV_DONTNEED).
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(begin), length, libc::MADV_DONTNEED) };
    }
}

/// Begin and length of the mappings of the program's code and constants, by `/proc/PID/maps`
/// (proc_pid_maps(5)). What the loader has relocated is read-only too, and lies further back in the file.
fn program_pages(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let one = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (range, mode, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let path = fields.nth(2)?;
        let unchanged = mode == "r-xp" || (mode == "r--p" && offset.bytes().all(|digit| digit == b'0'));
        let (begin, end) = range.split_once('-').filter(|_| unchanged && path == program)?;
        let begin = usize::from_str_radix(begin, 16).ok()?;
        Some((begin, usize::from_str_radix(end, 16).ok()?.checked_sub(begin)?))
    };
    maps.lines().filter_map(one).collect()
}

/// Keeps the process small and, where that is permitted, in memory. To be called once,
/// before threads are started; a privilege to lock must be kept afterwards.
pub fn prepare_memory() -> Memory {
    limit_arenas();
    match lock_limit() {
        Some(bytes) => Memory::Limited { bytes },
        None => lock_memory(),
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn limit_arenas() {
    // SAFETY: mallopt takes two numbers and touches nothing but the allocator's own settings.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
}

#[cfg(not(target_env = "gnu"))]
fn limit_arenas() {}

/// How much this process may lock, if that is limited.
fn lock_limit() -> Option<u64> {
    if has_effective_capability(CAP_IPC_LOCK) {
        return None;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
    let raised = hard == RLIM_INFINITY && setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_ok();
    (!raised).then_some(hard)
}

/// `MCL_ONFAULT`: pages stay once touched, and what is never touched costs nothing
/// (without it the stacks of all threads would be made resident: 17 to 30 MB).
#[allow(unsafe_code)]
fn lock_memory() -> Memory {
    // SAFETY: mlockall takes flags only and changes no memory's contents or mapping.
    let answer = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if answer == 0 { Memory::Locked } else { Memory::Refused(Errno::last()) }
}

fn has_effective_capability(bit: u32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_capabilities(&status) >> bit & 1 == 1)
}

/// The `CapEff` line of `/proc/PID/status` (`proc_pid_status(5)`).
fn effective_capabilities(status: &str) -> u64 {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

/// How the calling thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// SCHED_RR: before every ordinary thread of the host.
    Realtime,
    /// Ordinary, with the strongest wish.
    Nice { realtime_refused: Errno },
    /// Like everybody else.
    Normal { realtime_refused: Errno, nice_refused: Errno },
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEND: &str = "heartbeats may be late on a busy host; grant CAP_SYS_NICE or LimitRTPRIO=";
        match self {
            Self::Realtime => write!(f, "the heart runs with SCHED_RR, priority {REALTIME_PRIORITY}"),
            // Refused even to root where the kernel has RT_GROUP_SCHED and the group no share.
            Self::Nice { realtime_refused } => write!(
                f,
                "the heart runs at nice {NICEST}, not with SCHED_RR ({}): {MEND}, and give its cpu cgroup a \
                 cpu.rt_runtime_us where there is such a file",
                realtime_refused.desc()
            ),
            Self::Normal { realtime_refused, nice_refused } => write!(
                f,
                "the heart runs as an ordinary thread (SCHED_RR: {}; nice {NICEST}: {}): {MEND}",
                realtime_refused.desc(),
                nice_refused.desc()
            ),
        }
    }
}

/// Puts the calling thread before the others of the host, as far as that is permitted.
/// Threads and children that it starts do not inherit SCHED_RR.
pub fn make_realtime() -> Scheduling {
    let Err(realtime_refused) = set_round_robin() else { return Scheduling::Realtime };
    match set_nicest() {
        Ok(()) => Scheduling::Nice { realtime_refused },
        Err(nice_refused) => Scheduling::Normal { realtime_refused, nice_refused },
    }
}

#[allow(unsafe_code)]
fn set_round_robin() -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority: REALTIME_PRIORITY };
    // SAFETY: thread 0 is the calling one; the kernel reads `parameters`, which outlives the call.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &parameters) };
    Errno::result(answer).map(drop)
}

/// On Linux this is the calling thread's alone (`setpriority(2)`, "C library/kernel differences").
#[allow(unsafe_code)]
fn set_nicest() -> nix::Result<()> {
    // SAFETY: setpriority takes numbers only.
    let answer = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICEST) };
    Errno::result(answer).map(drop)
}

/// No core dump, and no reading of this process's memory by others of the same user:
/// both would hold the token and the key.
///
/// # Errors
/// The kernel refused, which it has no reason to.
pub fn protect_secrets() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// No child inherits a capability of this process. To be called when the scheduling is
/// set and before anything is started.
///
/// # Errors
/// The kernel is older than 4.3.
#[allow(unsafe_code)]
pub fn clear_ambient_capabilities() -> io::Result<()> {
    // SAFETY: this prctl takes numbers only; the last three must be zero.
    let answer = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    Ok(Errno::result(answer).map(drop)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Policy and nice value of the calling thread, by the kernel.
    #[allow(unsafe_code)]
    fn scheduled() -> (libc::c_int, libc::c_int) {
        // SAFETY: both take numbers only; 0 is the calling thread.
        unsafe { (libc::sched_getscheduler(0), libc::getpriority(libc::PRIO_PROCESS, 0)) }
    }

    #[test]
    fn what_is_said_of_the_scheduling_is_so_and_no_other_thread_has_it() {
        let before = scheduled();
        let (told, is, child) = thread::spawn(|| {
            let told = make_realtime();
            (told, scheduled(), thread::spawn(scheduled).join().unwrap())
        })
        .join()
        .unwrap();
        match told {
            Scheduling::Realtime => {
                assert_eq!(is.0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK);
                assert_eq!(child.0, libc::SCHED_OTHER);
            }
            Scheduling::Nice { .. } => assert_eq!(is, (before.0, NICEST)),
            Scheduling::Normal { .. } => assert_eq!(is, before),
        }
        assert_eq!(scheduled(), before);
    }

    #[test]
    fn of_the_mappings_only_code_and_constants_of_the_program_are_given_back() {
        let maps = "\
            55d0c0a00000-55d0c0b21000 r--p 00000000 fe:00 1311 /usr/bin/haagent\n\
            55d0c0b21000-55d0c0e80000 r-xp 00120000 fe:00 1311 /usr/bin/haagent\n\
            55d0c0e81000-55d0c0e9d000 r--p 0047f000 fe:00 1311 /usr/bin/haagent\n\
            55d0c0e9d000-55d0c0ea0000 rw-p 0049a000 fe:00 1311 /usr/bin/haagent\n\
            7f0000000000-7f0000100000 r-xp 00028000 fe:00 99 /usr/lib/libc.so.6\n\
            7ffd4a875000-7ffd4a877000 r-xp 00000000 00:00 0 [vdso]\n\
            nonsense\n";
        let expected = [(0x55d0_c0a0_0000, 0x12_1000), (0x55d0_c0b2_1000, 0x35_f000)];
        assert_eq!(program_pages(maps, "/usr/bin/haagent"), expected);
        // What runs here goes on: it is mapped again.
        release_startup_pages();
        let program = std::env::current_exe().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(program_pages(&maps, &program.to_string_lossy()).len() >= 2, "{maps}");
    }

    #[test]
    #[allow(unsafe_code)]
    fn what_is_said_of_the_memory_is_so() {
        let told = prepare_memory();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        // SAFETY: takes nothing; the other tests' memory is as it was before.
        unsafe { libc::munlockall() };
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert_eq!(told == Memory::Locked, locked > 0, "{told}: {locked} kB");
    }

    #[test]
    fn secrets_cannot_be_dumped() {
        protect_secrets().unwrap();
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
        nix::sys::prctl::set_dumpable(true).unwrap();
    }

    #[test]
    fn no_ambient_capability_is_left() {
        clear_ambient_capabilities().unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let ambient = status.lines().find_map(|line| line.strip_prefix("CapAmb:")).unwrap();
        assert_eq!(ambient.trim(), "0000000000000000");
    }

    #[test]
    fn the_capability_set_is_read_from_its_line() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000004000\n";
        assert_eq!(effective_capabilities(status) >> CAP_IPC_LOCK & 1, 1);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }

    #[test]
    fn every_refusal_names_its_reason_and_its_mend() {
        let refused = Errno::EPERM;
        let nice = Scheduling::Nice { realtime_refused: refused }.to_string();
        let normal = Scheduling::Normal { realtime_refused: refused, nice_refused: Errno::EACCES }.to_string();
        let memory = Memory::Limited { bytes: 8 << 20 }.to_string();
        assert!(nice.contains("Operation not permitted") && nice.contains("CAP_SYS_NICE"), "{nice}");
        assert!(normal.contains("Permission denied") && normal.contains("LimitRTPRIO="), "{normal}");
        assert!(memory.contains("8192 KiB") && memory.contains("CAP_IPC_LOCK"), "{memory}");
    }
}
