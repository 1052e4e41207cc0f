//! The structure that the design keeps, kept by a search through the sources.
//!
//! Owns the rules that no compiler knows: what may stand where, how long files and functions are,
//! that limits and variables are explained, and that what is cited is there (`references`). What a text
//! search can't see is not claimed here.
//! Invariant: exceptions are lists in this file, an entry that is no longer needed fails, and so
//! the lists only shrink.

pub mod codes;
mod floors;
mod panics;
mod references;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use steadfast::wire::content;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
/// An example is read whole, by somebody who knows nothing of this crate yet.
const EXAMPLE_LINES: usize = 150;

/// Files beyond [`FILE_LINES`] without their tests.
const LONG_FILES: [&str; 0] = [];
/// Functions beyond [`FUNCTION_LINES`], as `file name`.
const LONG_FUNCTIONS: [&str; 0] = [];

/// PROTOCOL §5, secrets last.
const VARIABLES: [&str; 21] = [
    "AUTH_MODE",
    "CORS_ORIGINS",
    "PROJECT",
    "UPSTREAM",
    "UPSTREAM_URL",
    "UPSTREAM_MODEL",
    "UPSTREAM_IDLE_MS",
    "UPSTREAM_ATTEMPTS",
    "UPSTREAM_STARTS",
    "TURN_TIMEOUT_MS",
    "TURN_MAX_BYTES",
    "HISTORY_MESSAGES",
    "HISTORY_BYTES",
    "SYSTEM_PROMPT",
    "COMMIT_WINDOW_MS",
    "SHIP_INTERVAL_MS",
    "WATCHDOG_MS",
    "RETENTION_DAYS",
    "D1_LOG_DAYS",
    "API_TOKENS",
    "UPSTREAM_KEY",
];

/// One source file.
#[derive(Clone)]
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A file of this repository.
pub fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files of a folder with this ending, and of those within.
pub fn files(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder));
        for entry in entries.expect("the folder is there") {
            let entry = entry.expect("it can be read");
            let name = entry.file_name().into_string().expect("names are UTF-8");
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(ending) {
                let text = read(&path);
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has files");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// What is compiled into the library: no comments, and none of the tests at the file's end.
    fn code(&self) -> String {
        if self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let lines = self.without_tests().lines();
        let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| format!("{line}\n")).collect()
    }

    fn without_tests(&self) -> &str {
        let at = self.text.find("#[cfg(test)]\nmod tests {");
        at.map_or(self.text.as_str(), |at| &self.text[..at])
    }
}

/// Whether `text` has `word` and not as a part of a longer one.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (first, last) = (word.chars().next(), word.chars().next_back());
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !(is_part(before) && is_part(first) || is_part(last) && is_part(after))
    })
}

/// No file of `sources` names any of `words` in its code.
fn check_absent(sources: &[&Source], words: &[&str]) {
    assert!(!sources.is_empty());
    let mut found = Vec::new();
    for source in sources {
        for line in source.code().lines() {
            for word in words.iter().filter(|word| names(line, word)) {
                found.push(format!("{}: {word} in {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The ports natively: a platform in one file.
const NATIVE: &str = "src/native.rs";

fn core(sources: &[Source]) -> Vec<&Source> {
    let core = sources
        .iter()
        .filter(|source| !source.is_under("src/cloudflare/") && source.path != NATIVE);
    core.collect()
}

fn under<'s>(sources: &'s [Source], folder: &str) -> Vec<&'s Source> {
    sources
        .iter()
        .filter(|source| source.is_under(folder))
        .collect()
}

/// The exceptions are exactly those that are needed.
fn check_exceptions(needed: &[String], listed: &[&str]) {
    let needed: BTreeSet<&str> = needed.iter().map(String::as_str).collect();
    let listed: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(needed, listed, "needed on the left, listed on the right");
}

#[test]
fn the_search_finds_words_and_only_words() {
    assert!(names("let x = Arc::new(1);", "Arc"));
    assert!(names("use worker::Env;", "worker::"));
    assert!(!names("let archive = Search;", "Arc"));
    assert!(!names("let coworker::x = 1;", "worker::"));
    let source = Source {
        path: "src/x.rs".to_owned(),
        text: "//! Arc\nfn a() {} // end\n#[cfg(test)]\nmod tests {\n    Arc\n}\n".to_owned(),
    };
    assert_eq!(source.code(), "fn a() {} // end\n");
}

#[test]
fn the_platform_is_named_in_its_folder_only() {
    let sources = files("src", ".rs");
    check_absent(
        &core(&sources),
        &[
            "worker::",
            "use worker",
            "wasm_bindgen",
            "wasm_bindgen_futures",
            "js_sys",
            "web_sys",
            "JsValue",
        ],
    );
}

#[test]
fn time_and_chance_come_through_the_ports() {
    let sources = files("src", ".rs");
    let words = [
        "SystemTime",
        "Instant",
        "getrandom",
        "rand",
        "HashMap",
        "HashSet",
    ];
    check_absent(&core(&sources), &words);
    check_absent(
        &core(&sources),
        &["tokio", "spawn_local", "thread", "setTimeout"],
    );
    let outside_ports: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path != "src/cloudflare/ports.rs" && source.path != NATIVE)
        .collect();
    check_absent(&outside_ports, &["Date", "getrandom", "HashMap", "HashSet"]);
}

#[test]
fn sql_stands_in_the_schema_and_one_module() {
    let sources = files("src", ".rs");
    let elsewhere: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path != "src/store/sql.rs")
        .collect();
    check_absent(
        &elsewhere,
        &[
            "SELECT",
            "INSERT INTO",
            "INSERT OR",
            "UPDATE",
            "DELETE FROM",
            "CREATE TABLE",
            "CREATE INDEX",
            "ALTER TABLE",
            "DROP TABLE",
            "PRAGMA",
            "WHERE",
        ],
    );
    let made = [
        "CREATE TABLE",
        "CREATE INDEX",
        "CREATE UNIQUE",
        "ALTER TABLE",
        "DROP TABLE",
    ];
    check_absent(&under(&sources, "src/store/sql.rs"), &made);
}

#[test]
fn what_upstreams_say_is_named_in_one_place() {
    let sources = files("src", ".rs");
    let quoted = content::NAMES.map(|name| format!("\"{name}\""));
    let mut found = Vec::new();
    for source in &sources {
        if source.path == "src/wire/content.rs" {
            continue;
        }
        for line in source.code().lines() {
            for name in quoted.iter().filter(|name| line.contains(name.as_str())) {
                found.push(format!("{}: {name} in {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_layer_knows_only_what_it_may() {
    let sources = files("src", ".rs");
    // Which room may name which is the table in `floors`.
    check_absent(&under(&sources, "src/store/"), &["session.run"]);
    let http = ["Http", "HttpRequest", "HttpResponse", "http", "url"];
    check_absent(&under(&sources, "src/turn/"), &http);
}

#[test]
fn the_core_is_plain_single_threaded_rust() {
    let sources = files("src", ".rs");
    let words = [
        "+ Send",
        ": Send",
        "dyn Send",
        ": Sync",
        "+ Sync",
        "Arc",
        "Mutex",
        "RwLock",
        "unsafe",
        "async_trait",
        "static mut",
    ];
    check_absent(&core(&sources), &words);
}

#[test]
fn nothing_is_borrowed_from_a_cell_across_an_await() {
    // Within one statement; a guard that is kept is for clippy's `await_holding_refcell_ref`.
    let mut found = Vec::new();
    for source in files("src", ".rs") {
        for statement in source.code().split([';', '{', '}']) {
            let borrows = statement.contains(".borrow()") || statement.contains(".borrow_mut()");
            if borrows && statement.contains(".await") {
                found.push(format!("{}: {}", source.path, statement.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_code_panics_on_purpose_or_is_unfinished() {
    let sources = files("src", ".rs");
    let shipped: Vec<&Source> = sources.iter().collect();
    check_absent(&shipped, &["todo!", "unimplemented!", "dbg!", "println!"]);
    // Natively the log is the standard error output.
    let silent: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path != NATIVE)
        .collect();
    check_absent(&silent, &["eprintln!"]);
    let mut found = Vec::new();
    for source in &sources {
        let unfinished = ["TODO", "FIXME", "XXX"];
        if unfinished.iter().any(|word| names(&source.text, word)) {
            found.push(format!("{}: unfinished", source.path));
        }
        if source.code().contains(".unwrap()") {
            found.push(format!("{}: unwrap", source.path));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn tests_are_never_skipped() {
    let mut sources = files("src", ".rs");
    sources.extend(files("tests", ".rs"));
    let skipping = format!("#[{}", "ignore");
    let skipped: Vec<&str> = sources
        .iter()
        .filter(|source| source.text.contains(&skipping))
        .map(|source| source.path.as_str())
        .collect();
    assert_eq!(skipped, [] as [&str; 0]);
}

#[test]
fn files_say_what_they_own_and_are_short() {
    let mut sources = files("src", ".rs");
    sources.extend(files("tests", ".rs"));
    let silent: Vec<&str> = sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.as_str())
        .collect();
    assert_eq!(silent, [] as [&str; 0]);
    let long: Vec<String> = sources
        .iter()
        .filter(|source| source.without_tests().lines().count() > FILE_LINES)
        .map(|source| source.path.clone())
        .collect();
    check_exceptions(&long, &LONG_FILES);
}

#[test]
fn examples_are_read_in_one_sitting() {
    for source in files("examples", ".rs") {
        assert!(source.text.starts_with("//! "), "{}", source.path);
        assert!(
            source.text.lines().count() < EXAMPLE_LINES,
            "{}",
            source.path
        );
    }
}

/// The functions of a text as rustfmt leaves it: name and lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let Some((head, rest)) = trimmed.split_once("fn ") else {
            continue;
        };
        let modifiers = ["pub", "const", "async", "unsafe", "extern"];
        if !head
            .split_whitespace()
            .all(|word| modifiers.iter().any(|known| word.starts_with(known)))
        {
            continue;
        }
        let close = format!("{}}}", &line[..indent]);
        let end = lines[at..].iter().position(|line| {
            *line == close || line.ends_with(';') && line.len() - line.trim_start().len() == indent
        });
        let name = rest.split(['(', '<']).next().unwrap_or(rest);
        found.push((name.to_owned(), end.map_or(1, |end| end + 1)));
    }
    found
}

#[test]
fn functions_are_short() {
    let sample = "fn a() {\n    b();\n}\n\npub(super) async fn c<T>(\n    x: T,\n) -> T {\n    x\n}\ntrait D {\n    fn e();\n}\n";
    let counted = [("a", 3), ("c", 5), ("e", 1)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(sample), counted);
    let mut long = Vec::new();
    for source in files("src", ".rs") {
        for (name, lines) in functions(source.without_tests()) {
            if lines > FUNCTION_LINES {
                long.push(format!("{} {name}", source.path));
            }
        }
    }
    check_exceptions(&long, &LONG_FUNCTIONS);
}

#[test]
fn every_limit_has_its_reason() {
    let caps = read("src/caps.rs");
    let lines: Vec<&str> = caps.lines().collect();
    let mut limits = 0;
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("pub const ") {
            limits += 1;
            assert!(lines[at - 1].starts_with("/// "), "no reason for {line}");
        }
    }
    assert!(limits > 40, "{limits}");
    // A limit that nobody keeps is none.
    let sources = files("src", ".rs");
    for line in lines
        .iter()
        .filter_map(|line| line.strip_prefix("pub const "))
    {
        let name = line.split(':').next().expect("a constant has a type");
        let kept = sources
            .iter()
            .any(|source| source.path != "src/caps.rs" && names(&source.code(), name));
        let related = caps.matches(name).count() > 1;
        assert!(kept || related, "{name} is never used");
    }
}

/// The names in quotes that look like variables.
fn quoted_variables(code: &str) -> BTreeSet<String> {
    let quoted = code
        .lines()
        .flat_map(|line| line.split('"').skip(1).step_by(2));
    let looks = |text: &&str| {
        text.len() > 3
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    quoted.filter(looks).map(str::to_owned).collect()
}

#[test]
fn every_variable_is_read_and_documented_and_no_other_is() {
    let mut sources = files("src/config", ".rs");
    sources.extend(files("src", "/caps.rs"));
    let read_ones: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| quoted_variables(&source.code()))
        .collect();
    let expected: BTreeSet<String> = VARIABLES.map(str::to_owned).into();
    assert_eq!(read_ones, expected);
    // `make dev` passes on what it names.
    let passed_on = quoted_variables(&read("scripts/dev.mjs"));
    let kept_back: Vec<&String> = expected.difference(&passed_on).collect();
    assert_eq!(
        kept_back,
        [] as [&String; 0],
        "`make dev` doesn't pass them on"
    );
    let readme = read("README.md");
    let silent: Vec<&str> = VARIABLES
        .into_iter()
        .filter(|name| !names(&readme, name))
        .collect();
    assert_eq!(silent, [] as [&str; 0], "the README doesn't name them");
}
