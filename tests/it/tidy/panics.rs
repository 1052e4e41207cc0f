//! A panic's words go to the operator's log: none of them can hold what a user wrote.
//!
//! Owns what clippy can't see: the words of the macros that panic, and of the methods that are given some.
//! Which methods print a value is `clippy.toml`'s. Invariant: in what is deployed, and in the examples, each of them is a literal without a
//! place for a value.

use super::{files, names};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What is deployed, and what is copied from. Tests say what they found.
const FOLDERS: [&str; 4] = ["src", "worker", "examples", "bench/runner/src"];

/// They print what they compare.
const COMPARING: [&str; 6] = [
    "assert_eq",
    "assert_ne",
    "assert_matches",
    "debug_assert_eq",
    "debug_assert_ne",
    "debug_assert_matches",
];
const ENDING: [&str; 4] = ["panic", "unreachable", "todo", "unimplemented"];
const ASSERTING: [&str; 2] = ["assert", "debug_assert"];
/// Methods that say the words that they are given.
const SAYING: [&str; 2] = ["expect", "certain"];
/// It hands on the words that it is given, and they are looked at where they are given.
const HANDING_ON: &str = "src/certain.rs: expect(why)";
/// They give a value to the log, or to JavaScript.
const TELLING: [&str; 6] = [
    "panic_any",
    "resume_unwind",
    "throw_str",
    "throw_val",
    "unwrap_throw",
    "expect_throw",
];

/// Whether this is one literal that shows nothing.
fn is_fixed(words: &[TokenTree]) -> bool {
    let [TokenTree::Literal(literal)] = words else {
        return false;
    };
    let text = literal.to_string();
    let is_text = text.starts_with(['"', 'r']);
    is_text && !text.replace("{{", "").contains('{')
}

fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// What stands between the commas, of which the last may be followed by nothing.
fn arguments(stream: TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let parts = tokens.split(|token| is_mark(Some(token), ','));
    let mut parts: Vec<Vec<TokenTree>> = parts.map(<[TokenTree]>::to_vec).collect();
    if parts.last().is_some_and(Vec::is_empty) {
        parts.pop();
    }
    parts
}

/// Whether a macro of this name may be given these arguments.
fn may_be_asked(name: &str, arguments: &[Vec<TokenTree>]) -> bool {
    if COMPARING.contains(&name) {
        return false;
    }
    if ENDING.contains(&name) {
        return match arguments {
            [] => true,
            [words] => is_fixed(words),
            _ => false,
        };
    }
    if ASSERTING.contains(&name) {
        return match arguments {
            [_] => true,
            [_, words] => is_fixed(words),
            _ => false,
        };
    }
    true
}

/// How many of these tokens are an item that only tests have; 0 where there is none.
fn test_item(tokens: &[TokenTree]) -> usize {
    let [hash, TokenTree::Group(attribute), rest @ ..] = tokens else {
        return 0;
    };
    if !is_mark(Some(hash), '#') || attribute.stream().to_string().replace(' ', "") != "cfg(test)" {
        return 0;
    }
    let end = rest.iter().position(|token| {
        let is_body = |token: &TokenTree| {
            matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
        };
        is_mark(Some(token), ';') || is_body(token)
    });
    2 + end.map_or(rest.len(), |end| end + 1)
}

/// Every place whose words could hold a value.
fn speaking(stream: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += test_item(&tokens[at..]).max(1);
        match (token, tokens.get(at), tokens.get(at + 1)) {
            (TokenTree::Ident(name), Some(mark), Some(TokenTree::Group(group)))
                if is_mark(Some(mark), '!')
                    && !may_be_asked(&name.to_string(), &arguments(group.stream())) =>
            {
                found.push(format!("{name}!({})", group.stream()));
            }
            (TokenTree::Ident(name), Some(TokenTree::Group(group)), _)
                if SAYING.iter().any(|saying| name == saying)
                    && is_mark(at.checked_sub(2).map(|before| &tokens[before]), '.')
                    && !matches!(&arguments(group.stream())[..], [words] if is_fixed(words)) =>
            {
                found.push(format!("{name}({})", group.stream()));
            }
            (TokenTree::Ident(name), _, _) if TELLING.iter().any(|telling| name == telling) => {
                found.push(name.to_string());
            }
            (TokenTree::Group(group), _, _) => speaking(group.stream(), found),
            _ => {}
        }
    }
}

fn found_in(text: &str) -> Vec<String> {
    let stream = text.parse().expect("it is Rust");
    let mut found = Vec::new();
    speaking(stream, &mut found);
    found
}

#[test]
fn what_could_hold_a_value_is_found() {
    for silent in [
        "panic!()",
        "panic!(\"why {{so}}\")",
        "fn a() { assert!(b, \"why\"); }",
        "assert!(a == b(c, d),)",
        "debug_assert!(a)",
        "unreachable!(r#\"why\"#)",
        "a.expect(\"why\")",
        "fn certain(self, why: &'static str) -> T;",
        "#[expect(clippy::panic, reason = \"why\")] fn a() {}",
        "// panic!(\"{a}\")\n/// assert_eq!(a, b);\nfn a() {}",
        "#[cfg(test)] mod tests { fn a() { panic!(\"{b}\") } }",
        "#[cfg(test)] use a::{b}; fn c() {}",
        "format!(\"{a}\")",
    ] {
        assert_eq!(found_in(silent), [] as [String; 0], "{silent}");
    }
    for speaking in [
        "panic!(\"why {a}\")",
        "panic!(\"{}\", a)",
        "panic!(concat!(\"a\", b))",
        "fn a() { if b { vec![std::panic!(\"{b:?}\")] } }",
        "unreachable!(\"{a}\")",
        "todo!(\"{a}\")",
        "unimplemented!(\"{}\", a)",
        "assert!(a, \"{b}\")",
        "assert!(a, \"{}\", b)",
        "debug_assert!(a, \"{b}\",)",
        "assert_eq!(a, b)",
        "assert_ne!(a, b, \"why\")",
        "debug_assert_eq!(a, b)",
        "a.expect(b)",
        "a.expect(&format!(\"{b}\"))",
        "a.certain(b)",
        "std::panic::panic_any(a)",
        "a.expect_throw(\"why\")",
        "#[cfg(test)] mod tests {} fn a() { panic!(\"{b}\") }",
        "#[cfg(test)] mod tests; fn a() { panic!(\"{b}\") }",
        "macro_rules! a { ($b:expr) => { panic!(\"{}\", $b) }; }",
    ] {
        assert_eq!(found_in(speaking).len(), 1, "{speaking}");
    }
}

#[test]
fn no_panic_says_a_value() {
    let mut found = Vec::new();
    for source in FOLDERS.iter().flat_map(|folder| files(folder, ".rs")) {
        if source.path.ends_with("/tests.rs") {
            continue;
        }
        let places = found_in(&source.text);
        found.extend(
            places
                .iter()
                .map(|place| format!("{}: {place}", source.path)),
        );
    }
    assert_eq!(found, [HANDING_ON], "only this may");
}

#[test]
fn nothing_sleeps_to_wait_for_something() {
    let mut found = Vec::new();
    for source in ["src", "tests", "fuzz/src", "bench/runner"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
    {
        for line in source.text.lines().map(str::trim_start) {
            let is_imported =
                line.starts_with("use ") && names(line, "thread") && names(line, "sleep");
            if source.path != file!() && (names(line, "thread::sleep") || is_imported) {
                found.push(format!("{}: {line}", source.path));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
