//! The table of codes, against what the documents promise and what the code says.
//!
//! Owns the reading of the tables in PROTOCOL §2.5 and the README. What a code means for a client is for
//! readers. Invariant: a code that can be told stands in both, a code that stands there can be told,
//! and no other file of the library spells one.

use super::{check_exceptions, files, read};
use std::collections::{BTreeMap, BTreeSet};
use steadfast::wire::code::{Code, Told};

/// The cells of the rows of a section's tables, without the head and the line below it. A section goes from
/// its heading to the next one.
pub fn rows<'d>(document: &'d str, heading: &str) -> Vec<Vec<&'d str>> {
    let mut lines = document.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is a section {heading}");
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(str::trim).collect::<Vec<_>>()
    });
    // `|---|---|` has a head above it.
    let rows: Vec<_> = rows.collect();
    let is_rule = |row: &Vec<&str>| row.iter().all(|cell| cell.chars().all(|c| c == '-'));
    let at = |n: usize| rows.get(n).is_some_and(is_rule);
    (0..rows.len())
        .filter(|n| !at(*n) && !at(n + 1))
        .map(|n| rows[n].clone())
        .collect()
}

/// What stands in backticks.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Takes each name in once.
fn set<'d>(names: impl IntoIterator<Item = &'d str>) -> BTreeSet<&'d str> {
    let mut found = BTreeSet::new();
    for name in names {
        assert!(found.insert(name), "{name} stands twice");
    }
    found
}

fn told(told: Told) -> impl Iterator<Item = Code> {
    let all = Code::ALL.iter().copied();
    all.filter(move |code| code.told().contains(&told))
}

fn names(codes: impl Iterator<Item = Code>) -> BTreeSet<&'static str> {
    set(codes.map(Code::name))
}

#[test]
fn a_documents_tables_are_read_whole() {
    let document =
        "## A\n| code | x |\n|---|---|\n| `a` | 1 |\ntext\n| `b`, `c` | |\n\n## B\n| `d` |\n";
    let expected = [vec!["`a`", "1"], vec!["`b`, `c`", ""]];
    assert_eq!(rows(document, "## A"), expected);
    assert_eq!(rows(document, "## B"), [["`d`"]]);
    assert_eq!(quoted("`b`, `c` x"), ["b", "c"]);
}

#[test]
fn the_protocol_tells_every_code_and_no_other() {
    let protocol = read("PROTOCOL.md");
    let refusals = rows(&protocol, "#### Refusals");
    let said: BTreeMap<&str, (&str, &str)> = refusals
        .iter()
        .map(|row| (quoted(row[1])[0], (row[0], row[2])))
        .collect();
    assert_eq!(said.len(), refusals.len(), "a refusal stands twice");
    let statuses: Vec<String> = told(Told::Refusal)
        .map(|code| code.status().number().to_string())
        .collect();
    let expected: BTreeMap<&str, (&str, &str)> = told(Told::Refusal)
        .zip(&statuses)
        .map(|(code, status)| {
            let retryable = if code.is_retryable() { "yes" } else { "no" };
            (code.name(), (status.as_str(), retryable))
        })
        .collect();
    assert_eq!(
        said, expected,
        "PROTOCOL says on the left, the table on the right"
    );
    for (heading, place) in [
        ("#### Failures of a turn", Told::Turn),
        ("#### Failures of one step", Told::Step),
        ("#### Failures of a run without a turn", Told::Run),
    ] {
        let rows = rows(&protocol, heading);
        let said = set(rows.iter().map(|row| quoted(row[0])[0]));
        assert_eq!(said, names(told(place)), "{heading} says on the left");
    }
}

#[test]
fn the_protocol_names_the_refusals_behind_which_something_may_have_been_stored() {
    let protocol = read("PROTOCOL.md");
    let before = "\nNothing was stored, but for ";
    let at = protocol.find(before).expect("the sentence is there") + before.len();
    let end = protocol[at..].find(':').expect("it goes on") + at;
    let expected = told(Told::Refusal).filter(|code| code.may_have_happened());
    assert_eq!(set(quoted(&protocol[at..end])), names(expected));
}

#[test]
fn the_readme_says_what_to_do_about_each_code_that_a_client_is_told() {
    let readme = read("README.md");
    let rows = rows(&readme, "### Codes");
    let (refusals, failures): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.len() == 3);
    let mut said = BTreeSet::new();
    for row in &refusals {
        let statuses: BTreeSet<&str> = row[0].split(", ").collect();
        let codes: Vec<Code> = quoted(row[1])
            .into_iter()
            .map(|name| Code::named(name).unwrap_or_else(|| panic!("{name} is no code")))
            .collect();
        let theirs: BTreeSet<String> = codes
            .iter()
            .map(|code| code.status().number().to_string())
            .collect();
        assert_eq!(statuses, theirs.iter().map(String::as_str).collect());
        for code in codes {
            assert!(said.insert(code.name()), "{code} stands twice");
        }
    }
    assert_eq!(said, names(told(Told::Refusal)));
    let said = set(failures.iter().flat_map(|row| quoted(row[0])));
    assert_eq!(said, names(told(Told::Turn)));
}

/// Words that are codes elsewhere and something else here, as `file word`.
const OTHER_WORDS: [&str; 8] = [
    // Statuses of runs, messages and steps.
    "src/run/replay.rs failed",
    "src/store/operations.rs failed",
    "src/store/record.rs failed",
    "src/store/status.rs cancelled",
    "src/store/status.rs failed",
    "src/turn/finish.rs failed",
    // Why an attempt began, for people.
    "src/turn/state.rs interrupted",
    // The demo agent's own words.
    "src/upstream/demo.rs cancelled",
];

#[test]
fn codes_are_spelled_in_one_place() {
    let mut found = BTreeSet::new();
    for source in files("src", ".rs") {
        let is_table = source.path == "src/wire/code.rs";
        // Its cases are tests that ship.
        if is_table || source.is_under("src/store/conformance/") {
            continue;
        }
        let code = source.code();
        for name in names(Code::ALL.iter().copied()) {
            if code.contains(&format!("\"{name}\"")) {
                found.insert(format!("{} {name}", source.path));
            }
        }
    }
    check_exceptions(&found.into_iter().collect::<Vec<_>>(), &OTHER_WORDS);
}

#[test]
fn lines_for_the_operator_are_written_in_one_place() {
    let elsewhere = files("src", ".rs")
        .into_iter()
        .filter(|source| source.path != "src/ops.rs" && source.code().contains("\"why\":"))
        .map(|source| source.path);
    assert_eq!(elsewhere.collect::<Vec<_>>(), [] as [&str; 0]);
}
