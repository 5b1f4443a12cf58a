use super::*;

/// The macros of man(7) that a page may use, and the preamble's.
const MACROS: [&str; 16] =
    ["TH", "SH", "SS", "PP", "TP", "IP", "nr", "nh", "ad", "EX", "EE", "br", "RS", "RE", "ie", "el"];

#[test]
fn every_command_and_the_configuration_has_a_page() {
    let pages = pages().unwrap();
    let names: Vec<String> = pages.iter().map(|page| format!("{}({})", page.name, page.section)).collect();
    assert_eq!(names[0], "haagent(8)");
    for name in ["haagent-status(8)", "haagent-config(8)", "haagent-config-check(8)", "haagent.toml(5)"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
}

#[test]
fn a_page_has_every_option_its_exit_codes_and_its_examples() {
    let pages = pages().unwrap();
    let failover = pages.iter().find(|page| page.name == "haagent-failover").unwrap();
    for part in [
        "\\-\\-dry\\-run",
        ".SH \"EXIT STATUS\"",
        "\\fB2\\fR\nbegun and not finished",
        ".SH EXAMPLES",
        ".SH \"SEE ALSO\"",
    ] {
        assert!(failover.text.contains(part), "{part} is not in:\n{}", failover.text);
    }
    let main = &pages[0].text;
    for part in [".SH FILES", "/var/lib/haagent", "/run/haagent/haagent.sock", ".SH ENVIRONMENT", "NO_COLOR"] {
        assert!(main.replace("\\-", "-").contains(part), "{part} is not in:\n{main}");
    }
}

#[test]
fn the_page_of_the_configuration_has_every_key() {
    let page = configuration().text;
    let loaded = crate::config::parse("example", crate::config::EXAMPLE.as_bytes()).unwrap();
    for setting in loaded.config.settings() {
        let key = format!("\\fB{}\\fR", setting.key);
        assert!(setting.key == "old_key" || page.contains(&key), "{key} is not on the page");
    }
    assert!(page.contains("\\fBtimeout\\fR  [\"5s\"]"), "defaults stand in brackets");
}

#[test]
fn exit_codes_are_told_one_by_one() {
    assert_eq!(
        exit_codes("0 ok; 3 unknown: cannot tell; usage error."),
        [("0", "ok".to_owned()), ("3", "unknown: cannot tell; usage error".to_owned())]
    );
}

#[test]
fn pages_use_known_macros_and_one_preamble() {
    for page in pages().unwrap() {
        for line in page.text.lines().filter(|line| line.starts_with('.')) {
            let name = line[1..].split(' ').next().unwrap();
            assert!(MACROS.contains(&name), "{}: {line}", page.name);
        }
        assert_eq!(page.text.matches(".ie ").count(), 1, "{}", page.name);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let page = configuration();
    assert!(page.write(&page.place(&file)).is_err());
    assert!(page.write(&page.place(folder.path())).is_ok());
    assert!(folder.path().join("man5/haagent.toml.5").is_file());
}
