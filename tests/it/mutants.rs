//! The faults that are put in on purpose: every patch of `mutants/` still fits the code.
//!
//! Owns that none is left behind by a change. Whether each is found is hunted by scripts/mutants.sh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// So many at least are found.
const LEAST: usize = 16;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn patches() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("mutants")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut patches: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .collect();
    patches.sort();
    patches
}

#[test]
fn each_still_applies() {
    let patches = patches();
    assert!(patches.len() >= LEAST, "{}", patches.len());
    let above = root().parent().expect("a checkout is in a folder");
    for patch in patches {
        let checked = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root())
            // A repository around this one would take the paths for its own.
            .env("GIT_CEILING_DIRECTORIES", above)
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .expect("git is there");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success(),
            "{} doesn't apply any more: {said}",
            patch.display()
        );
    }
}

#[test]
fn each_says_what_it_breaks_and_stands_in_the_table() {
    let table = fs::read_to_string(root().join("mutants/README.md")).expect("it is there");
    let patches = patches();
    for patch in &patches {
        let text = fs::read_to_string(patch).expect("it can be read");
        let name = patch.file_stem().expect("it has a name").to_string_lossy();
        let mut lines = text.lines();
        let what = lines.next().and_then(|line| line.strip_prefix("What: "));
        let by = lines
            .next()
            .and_then(|line| line.strip_prefix("Caught by: "));
        let what = what.unwrap_or_else(|| panic!("{name} doesn't say what it breaks"));
        let by = by.unwrap_or_else(|| panic!("{name} doesn't say who is to catch it"));
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| {name} | {what} | ")));
        let row = row.unwrap_or_else(|| panic!("{name} has no row: run `make mutants`"));
        assert!(row.contains(&format!(" | {by}")), "{row}");
    }
    let rows = table.lines().filter(|line| line.starts_with("| "));
    // The heading, and the code as it is.
    assert_eq!(rows.count(), patches.len() + 2);
}
