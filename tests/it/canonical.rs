//! Canonical JSON against ECMAScript: Node does what the rule says, on the same random documents.
//!
//! Owns the comparison, line by line. What single rules say by value is tested beside the code.
//! `CANONICAL_SEED` chooses other documents.

mod document;

use document::{Dice, document};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use steadfast::json::canonical::{Invalid, canonical_text, hash};

const DOCUMENTS: usize = 5_000;

/// What Node makes of each document.
fn reference(documents: &[String]) -> Vec<String> {
    let input = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("canonical-{}.ndjson", std::process::id()));
    fs::write(&input, documents.join("\n")).expect("the build's folder can be written to");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/canonical/reference.mjs"
    );
    let ran = Command::new("node").arg(script).arg(&input).output();
    fs::remove_file(&input).expect("it is ours");
    let output = ran.unwrap_or_else(|error| {
        panic!("this test needs `node` on the PATH, which `make setup` provides: {error}")
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "node failed: {complaint}");
    let text = String::from_utf8(output.stdout).expect("node writes UTF-8");
    text.split('\n').map(str::to_owned).collect()
}

fn ours(document: &str) -> String {
    match canonical_text(document) {
        Ok(text) => format!("{} {text}", hash(&text)),
        Err(Invalid::NotFinite) => "refused".to_owned(),
        Err(other) => other.to_string(),
    }
}

#[test]
fn canonical_text_is_what_ecmascript_writes() {
    let seed = std::env::var("CANONICAL_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("CANONICAL_SEED={seed}");
    let mut dice = Dice::new(seed);
    let documents: Vec<String> = (0..DOCUMENTS).map(|_| document(&mut dice)).collect();
    let expected = reference(&documents);
    assert_eq!(expected.len(), DOCUMENTS);
    let pairs = documents.iter().zip(&expected);
    let wrong = pairs.filter(|(document, expected)| ours(document) != **expected);
    // The shortest one says most.
    if let Some((document, expected)) = wrong.min_by_key(|(document, _)| document.len()) {
        assert_eq!(&ours(document), expected, "seed {seed}, of {document}");
    }
    // A generator that is refused, or that yields little, would prove nothing.
    let refused = expected
        .iter()
        .filter(|answer| *answer == "refused")
        .count();
    assert!(
        (1..DOCUMENTS / 2).contains(&refused),
        "{refused} are refused"
    );
}
