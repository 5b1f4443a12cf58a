//! `haagent config check|show|example`: the file, before and without the agent.

use std::io::{self, Write};
use std::path::Path;

use crate::config::secret::{SecretError, Secrets};
use crate::config::{self, EXAMPLE, Loaded, Problems, Setting, Severity, Value};
use crate::hooks;
use crate::sys::program::ProgramError;

/// The columns before `# default`.
const MARGIN: usize = 48;

/// `config check [FILE] [--strict]`: 0 if the agent would start with the file, 1 if
/// not. What is wrong or odd goes to `err`; what is odd fails only if `strict`.
///
/// Secrets are read too, where that can be done from here: a variable or a systemd
/// credential that is set for the agent's unit alone is told as a warning.
pub fn check(file: &Path, strict: bool, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let shown = file.display();
    let problems = match config::load(file) {
        Ok(loaded) => with_hooks(&shown.to_string(), &loaded, with_secrets(&shown.to_string(), &loaded)),
        Err(problems) => problems,
    };
    let (errors, warnings) = (problems.count(Severity::Error), problems.count(Severity::Warning));
    let told = write!(err, "{problems}");
    let counts = match (errors, warnings) {
        (0, 0) => String::new(),
        (0, warnings) => format!(", {}", counted(warnings, "warning")),
        (errors, 0) => counted(errors, "problem"),
        (errors, warnings) => format!("{}, {}", counted(errors, "problem"), counted(warnings, "warning")),
    };
    if errors > 0 {
        let _ = writeln!(err, "{shown}: {counts}");
        return 1;
    }
    let said = writeln!(out, "{shown}: ok{counts}");
    u8::from(told.is_err() || said.is_err() || (strict && warnings > 0))
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// What is odd about a configuration, and what is wrong with its secrets.
fn with_secrets(file: &str, loaded: &Loaded) -> Problems {
    let mut secrets = Problems::of(file);
    for (setting, error) in Secrets::read(&loaded.config).err().unwrap_or_default() {
        let place = loaded.written(setting).cloned();
        match &error {
            SecretError::NotSet(_) => {
                secrets.warning(
                    place,
                    &format!("{error}: not checked"),
                    "run it as the agent's unit does, or ignore this",
                );
            }
            _ => secrets.error(place, &error.to_string(), &error.mend()),
        }
    }
    let mut problems = loaded.warnings.clone();
    problems.append(secrets);
    problems
}

/// And what is wrong with its hooks. Whose programs the agent may run depends on its user:
/// root, who may run anybody's, cannot tell from here.
fn with_hooks(file: &str, loaded: &Loaded, mut problems: Problems) -> Problems {
    let mut hooks = Problems::of(file);
    for (setting, error) in hooks::vet(&loaded.config) {
        let place = loaded.written(&setting).cloned();
        match &error {
            ProgramError::Owner { user: 0, .. } => {
                hooks.warning(place, &error.to_string(), &format!("{}, or let that be the agent's user", error.mend()));
            }
            _ => hooks.error(place, &error.to_string(), &error.mend()),
        }
    }
    problems.append(hooks);
    problems
}

/// `config show`: the configuration in force, each default marked, as a file that
/// means the same. Of secrets only where they are read from.
///
/// 0, or 1 if the file cannot be used.
pub fn show(file: &Path, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match config::load(file) {
        Ok(loaded) => u8::from(write_settings(&loaded, out).is_err()),
        Err(problems) => {
            let _ = write!(err, "{problems}");
            1
        }
    }
}

fn write_settings(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let mut table = None;
    for setting in loaded.config.settings() {
        if table.as_ref() != Some(&setting.table) {
            let gap = if table.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}{}", setting.header)?;
            table = Some(setting.table.clone());
        }
        writeln!(out, "{}", line(loaded, &setting))?;
    }
    out.flush()
}

fn line(loaded: &Loaded, setting: &Setting) -> String {
    let key = setting.key;
    match &setting.value {
        Value::Unset(instead) => format!("# {:MARGIN$}  # default: {instead}", key, MARGIN = MARGIN - 2),
        Value::Toml(value) => {
            let line = format!("{key} = {value}");
            let default = loaded.written(&setting.path()).is_none();
            if default { format!("{line:MARGIN$}  # default") } else { line }
        }
    }
}

/// `config example`: a file to begin with. 0, or 1 if `out` cannot be written to.
pub fn example(out: &mut dyn Write) -> u8 {
    u8::from(out.write_all(EXAMPLE.as_bytes()).and_then(|()| out.flush()).is_err())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    /// A folder with a configuration whose secrets lie beside it.
    struct Host {
        folder: tempfile::TempDir,
    }

    impl Host {
        fn new() -> Self {
            let host = Self { folder: tempfile::tempdir().unwrap() };
            host.write("do-token", "dop_v1_geheim\n", 0o640);
            host.write("heartbeat.key", KEY, 0o640);
            host.config(|example| example);
            host
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            fs::write(self.path(name), text).unwrap();
            fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        }

        fn config(&self, change: impl Fn(String) -> String) {
            let here = self.folder.path().display().to_string();
            self.write("haagent.toml", &change(EXAMPLE.replace("/etc/haagent", &here)), 0o644);
        }

        /// The exit code and both outputs, `.` standing for the folder.
        fn run(&self, command: impl Fn(&Path, &mut dyn Write, &mut dyn Write) -> u8) -> (u8, String, String) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = command(&self.path("haagent.toml"), &mut out, &mut err);
            let here = self.folder.path().display().to_string();
            let text = |bytes| String::from_utf8(bytes).unwrap().replace(&here, ".");
            let (out, err) = (text(out), text(err));
            assert!(!format!("{out}{err}").contains("geheim") && !format!("{out}{err}").contains(&KEY[..16]));
            (code, out, err)
        }

        fn check(&self, strict: bool) -> (u8, String, String) {
            self.run(|file, out, err| check(file, strict, out, err))
        }
    }

    fn says(code: u8, out: &str, err: &str) -> (u8, String, String) {
        (code, out.to_owned(), err.to_owned())
    }

    #[test]
    fn a_good_file_is_ok() {
        let host = Host::new();
        assert_eq!(host.check(true), says(0, "./haagent.toml: ok\n", ""));
    }

    #[test]
    fn warnings_fail_only_if_strict() {
        let host = Host::new();
        host.config(|example| example.replace("docker.label = ", "# "));
        let warned = "./haagent.toml:52:1: warning: every container of this host counts, also one started by hand or by another service
   52 | docker.running = 10                   # exactly; or docker.min and docker.max
      | ^^^^^^
  mend: choose them: `docker.label = \"app=web\"` or `docker.name = \"web\"`
";
        assert_eq!(host.check(false), says(0, "./haagent.toml: ok, 1 warning\n", warned));
        assert_eq!(host.check(true), says(1, "./haagent.toml: ok, 1 warning\n", warned));
    }

    #[test]
    fn a_mistake_is_told_and_counted_on_stderr() {
        let host = Host::new();
        host.config(|example| example.replace("docker.running = 10 ", "docker.runing = 10 "));
        let err = "./haagent.toml:52:8: unknown key `runing` in `docker`
   52 | docker.runing = 10                   # exactly; or docker.min and docker.max
      |        ^^^^^^
  mend: did you mean `running`?
./haagent.toml: 1 problem
";
        assert_eq!(host.check(false), says(1, "", err));
    }

    #[test]
    fn secrets_that_cannot_be_used_are_told_where_they_are_named() {
        let host = Host::new();
        host.write("do-token", "dop_v1_geheim", 0o644);
        host.write("heartbeat.key", "geheim", 0o640);
        let (code, out, err) = host.check(false);
        assert_eq!((code, out.as_str()), (1, ""));
        let told: Vec<&str> = err.lines().filter(|line| !line.contains(" | ")).collect();
        assert_eq!(
            told,
            [
                "./haagent.toml:16:1: ./heartbeat.key holds 6 characters that are no heartbeat key",
                "  mend: a key is 64 hex digits: haagent keygen FILE",
                "./haagent.toml:26:1: ./do-token is open to every user of this host (mode 0644)",
                "  mend: chmod o-rwx ./do-token",
                "./haagent.toml: 2 problems",
            ]
        );
    }

    #[test]
    fn a_secret_of_the_unit_alone_is_a_warning() {
        let host = Host::new();
        let here = host.folder.path().display().to_string();
        let file = format!("token.file = \"{here}/do-token\" ");
        host.config(|example| example.replace(&file, "token.env = \"HAAGENT_TEST_THAT_NOBODY_SETS\" "));
        let (code, out, err) = host.check(false);
        assert_eq!((code, out.as_str()), (0, "./haagent.toml: ok, 1 warning\n"));
        let first = "./haagent.toml:26:1: warning: the environment variable HAAGENT_TEST_THAT_NOBODY_SETS is not set here: not checked\n";
        assert!(err.starts_with(first), "{err}");
    }

    #[test]
    fn what_is_in_force_is_shown_as_a_file_that_means_the_same() {
        let host = Host::new();
        let (code, out, err) = host.run(show);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(
            out,
            "[node]
# name                                            # default: the host name
address = \"auto\"                                  # default
state_dir = \"/var/lib/haagent\"                    # default
on_stop = \"resign\"                                # default
realtime = true                                   # default

[heartbeat]
port = 17112                                      # default
interval = \"500ms\"                                # default
key.file = \"./heartbeat.key\"
# old_key                                         # default: none
insecure = false                                  # default

[control]
socket = \"/run/haagent/haagent.sock\"              # default

[digitalocean]
token.file = \"./do-token\"
api_url = \"https://api.digitalocean.com\"          # default
# ca_file                                         # default: the system's authorities
metadata_url = \"http://169.254.169.254\"           # default
droplet_id = \"auto\"                               # default
timeout = \"5s\"                                    # default
calls_per_minute = 60                             # default

[docker]
socket = \"/var/run/docker.sock\"                   # default

[group.web]
peers = [\"10.114.0.4\", \"10.114.0.5\"]
priority = 100                                    # default
# priorities                                      # default: none
# probe.http                                      # default: none
# probe.tcp                                       # default: none
majority = \"auto\"                                 # default
preempt = false                                   # default
claim_timeout = \"1m\"                              # default
verify_interval = \"1s\"                            # default
readiness_interval = \"5m\"                         # default

[[group.web.check]]
docker.running = 10
# docker.name                                     # default: every container
docker.label = \"app=web\"
docker.healthy = false                            # default
name = \"docker\"                                   # default
interval = \"1s\"                                   # default
timeout = \"2s\"                                    # default
rise = 2                                          # default
fall = 2                                          # default
start_period = \"0s\"                               # default
# weight                                          # default: failing means Fault

[[group.web.claim]]
digitalocean.reserved_ip = \"203.0.113.10\"

[group.web.hooks]
# promote                                         # default: none: the address may come at once
# on_master                                       # default: none
# on_backup                                       # default: none
# on_fault                                        # default: none
timeout = \"30s\"                                   # default
"
        );
        let before = config::load(&host.path("haagent.toml")).unwrap().config;
        let absolute = out.replace("\"./", &format!("\"{}/", host.folder.path().display()));
        assert_eq!(config::parse("shown", absolute.as_bytes()).unwrap().config, before);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_not_shown() {
        let host = Host::new();
        host.config(|example| example.replace("[docker]", "[dokcer]"));
        let (code, out, err) = host.run(show);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("did you mean `[docker]`?"), "{err}");
    }

    #[test]
    fn the_example_is_the_file_that_is_installed() {
        let mut out = Vec::new();
        assert_eq!(example(&mut out), 0);
        let file = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/haagent.toml")).unwrap();
        assert_eq!(out, file);
        assert!(config::parse("conf/haagent.toml", &out).is_ok());
    }
}
