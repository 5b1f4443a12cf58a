//! What the figures were measured on.

use std::fs;

/// The machine and the build, in one line.
pub(crate) fn facts() -> String {
    let kernel = first_line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "an unknown kernel".to_owned());
    let cpus = std::thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cpus| cpus.to_string());
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.map(|model| format!(" ({model})")).unwrap_or_default();
    let build = if cfg!(debug_assertions) { "DEBUG build" } else { "release build" };
    format!("haagent {}, {build}; Linux {kernel}, {cpus} CPUs{model}", env!("CARGO_PKG_VERSION"))
}

/// How busy it is: the load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let averages = first_line("/proc/loadavg");
    averages.map_or_else(|| "unknown".to_owned(), |line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn first_line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().next().map(str::to_owned)
}
