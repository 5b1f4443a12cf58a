//! What there is to play with under `--keep`: commands to paste into another terminal.

use std::path::Path;

use super::DemoError;
use super::show::Show;
use crate::stage::{NAMES, StageError, lab_program};

/// A part: what its commands do, and the commands.
type Part = (&'static str, Vec<String>);

/// Prints the commands.
///
/// # Errors
/// Standard output is gone.
pub(super) fn print(show: &Show) -> Result<(), DemoError> {
    show.page.heading("5. Yours")?;
    let page = show.stage.front_url();
    show.page.text(&format!("All of it goes on. The page behind the reserved IP: {page}. In another terminal:"))?;
    let program = lab_program()?;
    let programs = program.parent().ok_or_else(|| StageError::NoProgram(program.clone()))?;
    for (about, commands) in parts(show, programs) {
        show.page.blank()?;
        show.page.lines(&[format!("   # {about}")])?;
        show.page.lines(&commands.iter().map(|command| format!("   {command}")).collect::<Vec<_>>())?;
    }
    show.page.blank()?;
    show.page.text("Ctrl-C ends all of it, and removes the files.")?;
    Ok(())
}

fn parts(show: &Show, programs: &Path) -> Vec<Part> {
    let [first, second] = NAMES;
    let at = |command: &str, host: &str| format!("haagent {command} --socket {host}/haagent.sock");
    let stage = &show.stage;
    vec![
        (
            "first, once: where the programs, the files and the endpoints are",
            vec![
                format!("PATH={}:$PATH", programs.display()),
                format!("cd {}", stage.folder().display()),
                format!("export HAAGENT_LAB_CLOUD={}", stage.cloud_url()),
                format!("export HAAGENT_LAB_NETWORK={}", stage.network_url()),
            ],
        ),
        (
            "who holds the address by both agents, why, and what happened",
            vec![at("status", first), at("status", second), at("why", second), at("history", first)],
        ),
        ("maintenance: the address goes to web-2 and stays there", vec![at("drain", first), at("resume", first)]),
        (
            "a container stops and starts",
            vec![
                format!("haagent-lab tell docker --socket {second}/docker.sock die app-3"),
                format!("haagent-lab tell docker --socket {second}/docker.sock start app-3"),
            ],
        ),
        (
            "the API answers 503: nothing moves, only a hand-over has to wait; its log tells what was moved",
            vec![
                "haagent-lab tell cloud fail --for 20s unavailable".to_owned(),
                "haagent-lab tell cloud heal".to_owned(),
                "haagent-lab tell cloud events --event moved".to_owned(),
            ],
        ),
        (
            "the private link is cut, and is whole again",
            vec!["haagent-lab tell network cut".to_owned(), "haagent-lab tell network heal".to_owned()],
        ),
    ]
}
