//! Bodies over a scripted log: every view at every cursor, and views that say little.

use super::super::follow::Standing;
use super::*;
use crate::store::LogRow;
use crate::wire::line;
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A log that grows by a script: each wait brings the next rows, and time goes on by what it took.
#[derive(Clone, Default)]
struct Scripted(Rc<Script>);

#[derive(Default)]
struct Script {
    rows: RefCell<Vec<LogRow>>,
    /// What a wait brings, behind so many ms; nothing for a wake-up without a line.
    coming: RefCell<VecDeque<(u64, Vec<String>)>>,
    over: Cell<bool>,
    now: Cell<i64>,
    tended: Cell<u32>,
    /// How long a page takes to read, in ms.
    page_ms: Cell<i64>,
}

impl Scripted {
    fn append(&self, lines: &[String]) {
        let mut rows = self.0.rows.borrow_mut();
        let first_seq = rows.last().map_or(0, LogRow::next_seq);
        rows.push(LogRow {
            first_seq,
            count: lines.len() as u64,
            attempt: 1,
            epoch: 1,
            cursor: None,
            frame_ids: "[]".to_owned(),
            lines: lines.iter().map(|line| format!("{line}\n")).collect(),
        });
        drop(rows);
        let ends = lines
            .last()
            .and_then(|line| line::parse_kind_and_data(line));
        if ends.is_some_and(|(kind, _)| line::is_terminal(kind)) {
            self.0.over.set(true);
        }
    }

    fn lines(&self) -> u64 {
        self.0.rows.borrow().last().map_or(0, LogRow::next_seq)
    }
}

impl Source for Scripted {
    type Mark = ();

    fn mark(&self) -> Result<(), FollowerCut> {
        Ok(())
    }

    async fn page(&self, next_seq: u64) -> Result<Vec<LogRow>, FollowerCut> {
        self.0.now.set(self.0.now.get() + self.0.page_ms.get());
        let rows = self.0.rows.borrow();
        // Two rows a page, of which the first may begin before the line that is asked for.
        let rows = rows.iter().filter(|row| row.next_seq() > next_seq);
        Ok(rows.take(2).cloned().collect())
    }

    async fn standing(&self) -> Result<Standing, FollowerCut> {
        Ok(if self.0.over.get() {
            Standing::Over {
                lines: self.lines(),
            }
        } else {
            Standing::Open
        })
    }

    async fn wait(&mut self, _: (), _: Standing, most_ms: u64) -> Result<(), FollowerCut> {
        let coming = self.0.coming.borrow_mut().pop_front();
        let Some((wait_ms, lines)) = coming else {
            return Err(FollowerCut);
        };
        if wait_ms > most_ms {
            let rest = (wait_ms - most_ms, lines);
            self.0.coming.borrow_mut().push_front(rest);
            self.0.now.set(self.0.now.get() + most_ms as i64);
            return Ok(());
        }
        self.0.now.set(self.0.now.get() + wait_ms as i64);
        if !lines.is_empty() {
            self.append(&lines);
        }
        Ok(())
    }

    async fn tend(&self) -> Result<(), FollowerCut> {
        self.0.tended.set(self.0.tended.get() + 1);
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.0.now.get()
    }
}

/// Words in order with a number of their own: a line gives as many items as its delta has words, and one
/// before it when the speaker changes.
#[derive(Default)]
struct Words {
    speaker: String,
}

impl View for Words {
    fn content_type(&self) -> &'static str {
        "text/plain"
    }

    fn line(&mut self, _seq: u64, line: &str, items: &mut Items) {
        let Some((kind, data)) = line::parse_kind_and_data(line) else {
            return;
        };
        if kind != "say" {
            return;
        }
        let said: (String, String) = serde_json::from_str(data).unwrap();
        let mut give = |text: &str| {
            let place = items.next();
            items.push(|out| out.extend(format!("{place} {text}\n").bytes()));
        };
        if said.0 != self.speaker {
            give(&format!("<{}>", said.0));
            self.speaker = said.0;
        }
        for word in said.1.split(' ').filter(|word| !word.is_empty()) {
            give(word);
        }
    }

    fn heartbeat(&self) -> &'static str {
        "hb\n"
    }
}

fn say(seq: u64, speaker: &str, text: &str) -> String {
    let data = serde_json::to_string(&(speaker, text)).unwrap();
    line::upstream(seq, "say", Some(&data))
}

/// A turn in four rows, whose lines give no item, one or several.
fn turn() -> Vec<Vec<String>> {
    vec![
        vec![line::started(0, "s", "t", 0, "t:s:0")],
        vec![say(1, "ann", "one two"), say(2, "ann", "")],
        vec![
            line::upstream(3, "usage", None),
            say(4, "bob", "three"),
            say(5, "ann", "four five six"),
        ],
        vec![line::completed(6, "s")],
    ]
}

fn told(rows: &[Vec<String>]) -> Scripted {
    let log = Scripted::default();
    for row in rows {
        log.append(row);
    }
    log
}

async fn words(log: &Scripted, have: u64, live: bool) -> Result<Body<Scripted, Words>, NoBody> {
    let start = Start::Item(have);
    let follower = Follower::new(log.clone(), first_line(start), live, false);
    Body::of(follower, Words::default(), start).await
}

/// The rest of a body, and whether it ended by itself.
fn rest<V: View>(mut body: Body<Scripted, V>) -> (String, bool) {
    let mut bytes = Vec::new();
    let ended = block_on(async {
        loop {
            match body.next().await {
                Ok(Some(more)) => bytes.extend(more),
                Ok(None) => return true,
                Err(FollowerCut) => return false,
            }
        }
    });
    (String::from_utf8(bytes).unwrap(), ended)
}

const ALL: &str = "0 <ann>\n1 one\n2 two\n3 <bob>\n4 three\n5 <ann>\n6 four\n7 five\n8 six\n";

#[test]
fn a_view_with_a_state_goes_on_behind_each_of_its_items() {
    let rows = turn();
    for shown in 1..=rows.len() {
        for have in 0..=9 {
            let log = told(&rows[..shown]);
            for row in &rows[shown..] {
                log.0.coming.borrow_mut().push_back((10, row.clone()));
            }
            let there = [0, 3, 9, 9][shown - 1];
            let body = block_on(words(&log, have, true));
            if have > there {
                assert_eq!(body.err(), Some(NoBody::OutOfRange), "{shown} {have}");
                continue;
            }
            let prefix: String = ALL.split_inclusive('\n').take(have as usize).collect();
            let (rest, ended) = rest(body.unwrap());
            assert_eq!(prefix + &rest, ALL, "{shown} {have}");
            assert!(ended, "{shown} {have}");
        }
    }
}

#[test]
fn a_finished_turn_with_nothing_left_ends_at_once() {
    let log = told(&turn());
    let body = block_on(words(&log, 9, true)).unwrap();
    assert_eq!(rest(body), (String::new(), true));
}

#[test]
fn what_shows_nothing_of_the_last_lines_ends_as_the_log_does() {
    for live in [true, false] {
        let log = told(&turn());
        let body = block_on(words(&log, 0, live)).unwrap();
        assert_eq!(rest(body), (ALL.to_owned(), true), "{live}");
    }
    // Without a live end the log's present end is one, whatever the view gave.
    let log = told(&turn()[..1]);
    let body = block_on(words(&log, 0, false)).unwrap();
    assert_eq!(rest(body), (String::new(), true));
}

#[test]
fn lines_that_show_nothing_keep_no_heartbeat_back() {
    let log = told(&turn()[..1]);
    for seq in 1..=10 {
        let silent = line::upstream(seq, "usage", None);
        log.0.coming.borrow_mut().push_back((5_000, vec![silent]));
    }
    let end = vec![line::completed(11, "s")];
    log.0.coming.borrow_mut().push_back((1, end));
    let body = block_on(words(&log, 0, true)).unwrap();
    // 50 s of lines that give nothing: a heartbeat each 15 s.
    assert_eq!(rest(body), ("hb\nhb\nhb\n".to_owned(), true));
}

#[test]
fn a_backlog_that_shows_nothing_keeps_no_heartbeat_back() {
    let log = told(&turn()[..1]);
    for seq in 1..=40 {
        log.append(&[line::upstream(seq, "usage", None)]);
    }
    log.append(&[line::completed(41, "s")]);
    log.0.page_ms.set(5_000);
    let body = block_on(words(&log, 0, true)).unwrap();
    // 21 pages of 5 s, each there at once: a heartbeat each 15 s.
    assert_eq!(rest(body), ("hb\n".repeat(7), true));
}

#[test]
fn wake_ups_without_lines_keep_no_heartbeat_back() {
    let log = told(&turn()[..2]);
    for _ in 0..9 {
        log.0.coming.borrow_mut().push_back((5_000, Vec::new()));
    }
    let body = block_on(words(&log, 0, true)).unwrap();
    let (bytes, ended) = rest(body);
    assert_eq!(bytes, "0 <ann>\n1 one\n2 two\nhb\nhb\nhb\n");
    assert!(!ended, "the source gave out, which is no end");
    assert_eq!(log.0.tended.get(), 3, "the run is looked after as often");
}
