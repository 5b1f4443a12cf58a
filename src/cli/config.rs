//! `haagent config check|show|example`: the file, before and without the agent.

use std::io::{self, Write};
use std::path::Path;

use crate::config::secret::{SecretError, Secrets};
use crate::config::{self, EXAMPLE, Loaded, Problems, Setting, Severity, Value};

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
        Ok(loaded) => with_secrets(&shown.to_string(), loaded),
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
fn with_secrets(file: &str, loaded: Loaded) -> Problems {
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
    let mut problems = loaded.warnings;
    problems.append(secrets);
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
