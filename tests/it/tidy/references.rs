//! What is cited is there: sections of the protocol, weaknesses, invariants.
//!
//! Owns the search for citations in every committed text, and the tables of `docs/` that they lead to.
//! Whether a row says what its test checks is for readers. Invariant: a number without a row fails, and so
//! does a row that nothing cites, or whose test doesn't name it.

use super::{Source, read};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where a letter's numbers have their rows.
const PAGES: [(char, &str); 3] = [
    ('T', "docs/weaknesses.md"),
    ('I', "docs/invariants.md"),
    ('L', "docs/invariants.md"),
];
/// Generated, measured, or bytes for parsers: nobody cites anything there.
const UNWRITTEN: [&str; 6] = [
    "Cargo.lock",
    "package-lock.json",
    "bench/package-lock.json",
    "bench/report",
    "fuzz/Cargo.lock",
    "fuzz/corpus",
];
const SECTION: char = '§';

/// Every text that a person wrote for this repository. `.gitignore` holds paths from the root and no patterns.
fn texts() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = read(".gitignore");
    let mut left_out: BTreeSet<&str> = ignored
        .lines()
        .map(|line| line.trim_start_matches('/'))
        .collect();
    left_out.extend(UNWRITTEN);
    left_out.insert(".git");
    // The samples below are no citations.
    left_out.insert(file!());
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("the folder is there") {
            let entry = entry.expect("it can be read");
            let name = entry.file_name().into_string().expect("names are UTF-8");
            let path = match folder.as_str() {
                "" => name,
                folder => format!("{folder}/{name}"),
            };
            if left_out.contains(path.as_str()) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The numbers of a document's headings, `2.1` of `### 2.1 Submit`.
fn headings(document: &str) -> BTreeSet<&str> {
    let titles = document.lines().filter(|line| line.starts_with('#'));
    let numbers = titles.filter_map(|line| line.trim_start_matches('#').split_whitespace().next());
    numbers
        .map(|number| number.trim_end_matches('.'))
        .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// The sections of the protocol that a text cites. A section belongs to the document that was named last
/// before it in its line, and to the protocol where none was.
fn sections(text: &str) -> BTreeSet<&str> {
    let mut cited = BTreeSet::new();
    for line in text.lines() {
        for (at, _) in line.match_indices(SECTION) {
            let before = &line[..at];
            let is_foreign = before.rfind("RFC ") > before.rfind("PROTOCOL");
            let number = &line[at + SECTION.len_utf8()..];
            let end = number.find(|c: char| !c.is_ascii_digit() && c != '.');
            let number = number[..end.unwrap_or(number.len())].trim_end_matches('.');
            if !number.is_empty() && !is_foreign {
                cited.insert(number);
            }
        }
    }
    cited
}

/// The numbers of one letter that a text cites, `T9` or, with all between, `T22–T24`.
fn numbers(text: &str, letter: char) -> BTreeSet<u32> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut cited = BTreeSet::new();
    let mut last: Option<(usize, u32)> = None;
    for (at, _) in text.match_indices(letter) {
        let rest = &text[at + letter.len_utf8()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let digits = &rest[..digits.unwrap_or(rest.len())];
        let behind = rest[digits.len()..].chars().next();
        let is_alone = !text[..at].ends_with(is_part) && !behind.is_some_and(is_part);
        let (1..=2, true, Ok(number)) = (digits.len(), is_alone, digits.parse()) else {
            continue;
        };
        let from = last.filter(|(end, _)| text[*end..at] == *"–");
        cited.extend(from.map_or(number, |(_, from)| from)..=number);
        last = Some((at + letter.len_utf8() + digits.len(), number));
    }
    cited
}

/// A row of a page.
struct Row {
    rule: String,
    held_by: Vec<String>,
}

/// The rows of a page for one letter: number, rule, and the files in backticks that hold it.
fn rows(page: &str, letter: char) -> BTreeMap<u32, Row> {
    let mut found = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", number, rule, held_by, ""] = cells[..] else {
            continue;
        };
        let number = number.strip_prefix(letter).map(str::parse);
        let Some(Ok(number)) = number else { continue };
        let held_by = held_by.split('`').skip(1).step_by(2);
        let row = Row {
            rule: rule.to_owned(),
            held_by: held_by.map(str::to_owned).collect(),
        };
        let is_second = found.insert(number, row).is_some();
        assert!(!is_second, "{letter}{number} has two rows");
    }
    found
}

#[test]
fn the_search_finds_citations_and_only_citations() {
    let document = "# Protocol\n## 1. Identity\n### 2.1 Submit: `POST`\n#### Refusals\n10 things\n";
    assert_eq!(headings(document), ["1", "2.1"].into());
    let text =
        "PROTOCOL §2.1, §1's, §9.9.\nRFC 9110 §12.4.2, PROTOCOL §3; RFC 8259 §6\n§7 each §\n";
    assert_eq!(sections(text), ["1", "2.1", "3", "7", "9.9"].into());
    let text = "T1, T2: x. `T30` (T22–T24, T27-T29) AT4 T5x T123 T_6 RT7 T8–T 9 fn t9_a() TT";
    let cited = [1, 2, 8, 22, 23, 24, 27, 29, 30].into();
    assert_eq!(numbers(text, 'T'), cited);
    let page = "| number | rule | by |\n|---|---|---|\n| T1 | It holds. | `a.rs`, `b.rs` |\n| I1 | x | `c` |\n";
    let found = rows(page, 'T');
    assert_eq!(found.len(), 1);
    assert_eq!(found[&1].rule, "It holds.");
    assert_eq!(found[&1].held_by, ["a.rs", "b.rs"]);
}

#[test]
fn every_section_of_the_protocol_that_is_cited_is_there() {
    let protocol = read("PROTOCOL.md");
    let there = headings(&protocol);
    let (mut citing, mut missing) = (0, Vec::new());
    for source in texts() {
        let cited = sections(&source.text);
        citing += usize::from(!cited.is_empty());
        missing.extend(
            cited
                .difference(&there)
                .map(|number| format!("{}: section {number}", source.path)),
        );
    }
    assert!(citing > 30, "{citing} files cite the protocol");
    assert_eq!(missing, [] as [&str; 0], "PROTOCOL.md has no such heading");
}

#[test]
fn every_number_that_is_cited_has_its_row_and_every_row_its_tests() {
    let texts = texts();
    let (mut wrong, mut kept) = (Vec::new(), 0);
    for (letter, page) in PAGES {
        let rows = rows(&read(page), letter);
        kept += rows.len();
        let mut cited = BTreeSet::new();
        for source in &texts {
            let here = numbers(&source.text, letter);
            for number in here.iter().filter(|number| !rows.contains_key(number)) {
                wrong.push(format!(
                    "{}: {letter}{number} has no row in {page}",
                    source.path
                ));
            }
            // A row doesn't cite itself.
            if !source.is_under("docs/") {
                cited.extend(here);
            }
        }
        for (number, row) in &rows {
            if !cited.contains(number) || row.rule.is_empty() || row.held_by.is_empty() {
                wrong.push(format!("{page}: nothing cites or holds {letter}{number}"));
            }
            for path in &row.held_by {
                let holder = texts.iter().find(|source| source.path == *path);
                if !holder.is_some_and(|holder| numbers(&holder.text, letter).contains(number)) {
                    wrong.push(format!("{page}: {path} doesn't name {letter}{number}"));
                }
            }
        }
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert!(kept > 40, "{kept} rows");
}
