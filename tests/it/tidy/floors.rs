//! The floors of the house: which room may name which.
//!
//! Owns the table of directions and the circles that are still open. An import goes down, from a room to one
//! on a lower floor; within a room no files name each other in a circle. Invariant: the lists of exceptions
//! hold exactly what is needed, so they only shrink.

use super::{Source, check_exceptions, files};
use std::collections::{BTreeMap, BTreeSet};

/// From the top: the platform, what is built of sessions, sessions, what they run, how one turn goes, and
/// what all of them stand on. Rooms of one floor don't name each other.
const FLOORS: [&[&str]; 14] = [
    &["cloudflare", "native"],
    &["plain", "ready"],
    &["session", "tasks"],
    &["run", "ship"],
    &["turn"],
    &["api"],
    &["config"],
    &["log", "upstream"],
    &["ops"],
    &["wire"],
    &["store"],
    &["json"],
    &["ids"],
    &["caps", "certain", "ports"],
];

/// Imports that go up, as `from -> to`.
const UPWARDS: [&str; 0] = [];

/// Files of one room that name each other in a circle. The runner's six are one machine whose parts are still
/// to be told apart; the faults of the tests stand in for a driver of the platform that holds them.
const CIRCLES: [&str; 2] = [
    "src/cloudflare: faults platform",
    "src/run: drive durable journal ops options wait",
];

/// The room of a source: its folder below `src`, or its own name there.
fn room(source: &Source) -> &str {
    let below = source.path.strip_prefix("src/").expect("it lies in src");
    let name = below.split('/').next().unwrap_or(below);
    name.strip_suffix(".rs").unwrap_or(name)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// The names right behind each `prefix::`, or in the braces there.
fn named_behind(code: &str, prefix: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let first = |text: &str| -> String { text.chars().take_while(|c| is_name(*c)).collect() };
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split(';').next().unwrap_or(group);
                let mut depth = 0;
                for part in group.split_inclusive([',', '{', '}']) {
                    if depth == 0 {
                        names.insert(first(part.trim_start()));
                    }
                    depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                    if depth < 0 {
                        break;
                    }
                }
            }
            None => drop(names.insert(first(rest))),
        }
    }
    names.remove("");
    names
}

#[test]
fn names_behind_a_path_are_found() {
    let code = "use crate::log::{Body, Live};\nuse crate::{caps, store::{self, Run}, wire};\ncrate::ids::run_id(a);";
    let found: Vec<String> = named_behind(code, "crate::").into_iter().collect();
    assert_eq!(found, ["caps", "ids", "log", "store", "wire"]);
}

#[test]
fn imports_go_down() {
    let mut upwards = BTreeSet::new();
    let mut rooms = BTreeSet::new();
    for source in files("src", ".rs") {
        let from = room(&source);
        if from == "lib" {
            continue;
        }
        rooms.insert(from.to_owned());
        let own = floor(from);
        assert!(own.is_some(), "{from} stands on no floor");
        for to in named_behind(&source.code(), "crate::") {
            if to != from && floor(&to).is_none_or(|floor| Some(floor) <= own) {
                upwards.insert(format!("{from} -> {to}"));
            }
        }
    }
    check_exceptions(&upwards.into_iter().collect::<Vec<_>>(), &UPWARDS);
    let known: BTreeSet<String> = FLOORS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(
        rooms, known,
        "every room stands on a floor, and none is empty"
    );
}

/// The files of a circle that `start` is part of, itself included.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut left = vec![from.to_owned()];
        while let Some(file) = left.pop() {
            for next in imports.get(&file).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        seen
    };
    let ahead = reach(start);
    let back = ahead.iter().filter(|file| reach(file).contains(start));
    back.cloned().collect()
}

#[test]
fn no_files_of_a_room_name_each_other_in_a_circle() {
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for source in files("src", ".rs") {
        let (folder, file) = source.path.rsplit_once('/').expect("it lies in a folder");
        let file = file.strip_suffix(".rs").expect("it is Rust");
        if matches!(file, "mod" | "lib" | "tests") {
            continue;
        }
        let path = folder.replace("src/", "crate::").replace('/', "::") + "::";
        let mut names = named_behind(&source.code(), "super::");
        names.extend(named_behind(&source.code(), &path));
        names.remove(file);
        let folder = folders.entry(folder.to_owned()).or_default();
        folder.insert(file.to_owned(), names);
    }
    let mut circles = BTreeSet::new();
    for (folder, imports) in &mut folders {
        let there: BTreeSet<String> = imports.keys().cloned().collect();
        for names in imports.values_mut() {
            names.retain(|name| there.contains(name));
        }
        for file in &there {
            let files = circle(imports, file);
            if !files.is_empty() {
                let files: Vec<String> = files.into_iter().collect();
                circles.insert(format!("{folder}: {}", files.join(" ")));
            }
        }
    }
    check_exceptions(&circles.into_iter().collect::<Vec<_>>(), &CIRCLES);
}
