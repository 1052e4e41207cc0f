//! ECMAScript's own answer: one Node for all executions of a process.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const REFERENCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/it/canonical/reference.mjs"
);

struct Node {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

thread_local! {
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// Hash and canonical text of a document of one line, or `refused`, or `invalid`.
pub fn answer(document: &str) -> String {
    NODE.with_borrow_mut(|node| {
        let node = node.get_or_insert_with(started);
        writeln!(node.questions, "{document}").expect("Node listens");
        let mut answer = String::new();
        node.answers.read_line(&mut answer).expect("Node answers");
        assert!(answer.ends_with('\n'), "Node ended");
        answer.pop();
        answer
    })
}

/// Its input ends with this process, and so does it.
fn started() -> Node {
    let mut process = Command::new("node")
        .arg(REFERENCE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`node` is on the PATH");
    Node {
        questions: process.stdin.take().expect("it is piped"),
        answers: BufReader::new(process.stdout.take().expect("it is piped")),
        _process: process,
    }
}
