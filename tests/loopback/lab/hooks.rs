//! Scripts that agents run as their hooks.
//!
//! They lie below the build's own folder: what lies below /tmp an agent does not run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The hooks of all nodes; each node has a folder of its own, `$F` in the scripts.
#[derive(Debug)]
pub struct Hooks {
    names: Vec<&'static str>,
    folder: Option<TempDir>,
}

impl Hooks {
    /// Writes the scripts.
    pub fn new(hooks: &[(&'static str, &str)], nodes: &[&str]) -> Self {
        let names: Vec<&'static str> = hooks.iter().map(|(name, _)| *name).collect();
        if names.is_empty() {
            return Self { names, folder: None };
        }
        let folder = tempfile::Builder::new().prefix("hooks-").tempdir().unwrap();
        for node in nodes {
            fs::create_dir(folder.path().join(node)).unwrap();
        }
        for (name, text) in hooks {
            let own = format!("F={}/$HAAGENT_NODE", folder.path().display());
            script(&folder.path().join(name), &format!("{own}\n{text}"));
        }
        Self { names, folder: Some(folder) }
    }

    /// A file in the folder of a node.
    pub fn file(&self, node: &str, name: &str) -> PathBuf {
        self.folder.as_ref().expect("this lab has hooks").path().join(node).join(name)
    }

    /// The program of a hook, one for all nodes: their settings are compared.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("this lab has hooks").path().join(name)
    }

    /// The table of the configuration.
    pub fn configuration(&self, more: &str) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let lines = self.names.iter().map(|name| format!("{name} = [{:?}]\n", self.program(name)));
        format!("\n[group.web.hooks]\n{}{more}\n", lines.collect::<String>())
    }

    /// What the scripts of a node appended to their file `log`.
    pub fn log(&self, node: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(node, "log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}
