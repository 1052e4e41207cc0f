//! A run's log as a stream of events: each id once an attempt, read in pages.

use super::{ID, NOW, fresh, lost, sight};
use crate::store::{SECTIONS, sqlite};
use futures::executor::block_on;
use steadfast::caps;
use steadfast::store::operations::{
    Appended, Error, StreamEvent, StreamLog, append_stream_event, read_stream_events,
};
use steadfast::store::{self, MemoryStore, Store};

fn event(seq: u64, epoch: u64, attempt: u32, id: &str, payload: &str) -> StreamEvent {
    StreamEvent {
        seq,
        epoch,
        attempt,
        event_id: Some(id.to_owned()),
        payload: payload.to_owned(),
    }
}

#[test]
fn an_event_is_logged_once_and_answers_with_the_first() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let mut log = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let first = event(0, 1, 1, "e-0", r#"{"n":1.0}"#);
        let second = event(1, 1, 1, "e-1", "\"é\u{2028}\"");
        for record in [&first, &second] {
            let id = record.event_id.as_deref().expect("it has one");
            let found =
                append_stream_event(&store, &mut log, fence, id, &record.payload, NOW).await;
            let accepted = Appended {
                accepted: true,
                record: record.clone(),
            };
            assert_eq!(found, Ok(accepted));
        }
        let before = sight(&store).await;
        let known = Ok(Appended {
            accepted: false,
            record: first,
        });
        let found = append_stream_event(&store, &mut log, fence, "e-0", "2", NOW).await;
        assert_eq!(found, known);
        // Whoever comes next knows it from the log.
        let mut again = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let found = append_stream_event(&store, &mut again, fence, "e-0", "2", NOW).await;
        assert_eq!(found, known);
        assert_eq!((again.end(), sight(&store).await), (2, before));
    }
    on_each_store!(check);
}

#[test]
fn two_tasks_of_one_acquisition_dont_log_over_each_other() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let mut one = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let mut other = one.clone();
        append_stream_event(&store, &mut one, fence, "a", "1", NOW)
            .await
            .expect("it is ours");
        let found = append_stream_event(&store, &mut other, fence, "b", "1", NOW).await;
        let overtaken = store::Error::SeqMismatch {
            expected: 0,
            found: 1,
        };
        assert_eq!(found, Err(Error::Store(overtaken)));
        let found = append_stream_event(&store, &mut other, fence, "b", "1", NOW).await;
        assert_eq!(found.map(|found| found.record.seq), Ok(1));
        // What the other one logged meanwhile is known at once.
        let found = append_stream_event(&store, &mut one, fence, "b", "2", NOW).await;
        assert_eq!(
            found.map(|found| (found.accepted, found.record.seq)),
            Ok((false, 1))
        );
    }
    on_each_store!(check);
}

/// T17: what a fresh attempt yields under old ids is new, and both attempts can be told apart.
#[test]
fn a_fresh_attempts_events_are_not_taken_for_the_old_ones() {
    async fn check<S: Store>(store: S) {
        let (_, fence) = lost(&store).await;
        for attempt in [1, 2] {
            let mut log = StreamLog::open(&store, ID, attempt)
                .await
                .expect("it is there");
            let payload = attempt.to_string();
            let found = append_stream_event(&store, &mut log, fence, "e", &payload, NOW).await;
            assert!(found.is_ok_and(|found| found.accepted));
        }
        let page = read_stream_events(&store, ID, None, 10)
            .await
            .expect("it is there");
        let expected = [event(0, 2, 1, "e", "1"), event(1, 2, 2, "e", "2")];
        assert_eq!(page.events, expected);
    }
    on_each_store!(check);
}

#[test]
fn what_is_no_line_is_not_logged() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let mut log = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let long_id = "x".repeat(513);
        let long = format!("\"{}\"", "x".repeat(1_048_576));
        for (id, payload) in [
            ("", "1"),
            (long_id.as_str(), "1"),
            ("e", ""),
            ("e", "{\n}"),
            ("e", "{}\r"),
            ("e", "{"),
            ("e", "1 2"),
            ("e", long.as_str()),
        ] {
            let found = append_stream_event(&store, &mut log, fence, id, payload, NOW).await;
            assert_eq!(found, Err(Error::InvalidEvent));
        }
        assert_eq!(store.log_end(ID).await, Ok(0));
    }
    on_each_store!(check);
}

/// T20: a log is read in pages of a bounded size, however long it is and whatever is asked for.
#[test]
fn events_are_read_in_bounded_pages() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let mut log = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let all: u64 = 2 * u64::from(caps::LOG_PAGE_ROWS) + 3;
        for n in 0..all {
            let (id, payload) = (format!("e-{n}"), n.to_string());
            let found = append_stream_event(&store, &mut log, fence, &id, &payload, NOW).await;
            assert_eq!(found.map(|found| found.record.seq), Ok(n));
        }
        // One row of many events, longer than any page.
        let many = 2 * caps::LIST_LIMIT + 1;
        let changes = store::Changes {
            lines: Some(store::Lines {
                attempt: 1,
                cursor: None,
                frame_ids: (0..many).map(|_| None).collect(),
                text: "0\n".repeat(many as usize),
            }),
            ..store::Changes::default()
        };
        store
            .commit("", ID, fence, all, &changes, NOW)
            .await
            .expect("it is ours");
        for limit in [0, 1, 7, 200, u32::MAX] {
            let (mut after, mut read) = (None, vec![]);
            loop {
                let page = read_stream_events(&store, ID, after, limit).await;
                let page = page.expect("it is there");
                let most = limit.clamp(1, 200) as usize;
                assert!(!page.events.is_empty() && page.events.len() <= most);
                read.extend(page.events.into_iter().map(|event| event.seq));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert!(read.into_iter().eq(0..all + u64::from(many)), "{limit}");
        }
        let behind = read_stream_events(&store, ID, Some(9_999), 5).await;
        assert!(behind.is_ok_and(|page| page.events.is_empty() && page.next.is_none()));
    }
    on_each_store!(check);
}
