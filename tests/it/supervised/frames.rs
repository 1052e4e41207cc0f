//! An upstream that a Worker hands in by itself, without session object or registry.
//!
//! Owns that its frames become lines by the rules for every upstream's.

use super::{Reading, Stay, Worker, World, input, lines_of};
use futures::stream::{self, Iter};
use std::vec::IntoIter;
use steadfast::plain::run_supervised_turn;
use steadfast::turn::NoHooks;
use steadfast::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};

/// Says these frames.
struct Says(Vec<Frame>);

impl Upstream for Says {
    type Frames = Iter<IntoIter<Result<Signal, Cut>>>;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: false,
            start_idempotent: false,
        }
    }

    async fn start(&self, _ask: &Ask) -> Result<Self::Frames, Refusal> {
        let frames = self.0.iter().cloned().map(|frame| Ok(Signal::Frame(frame)));
        Ok(stream::iter(frames.collect::<Vec<_>>()))
    }

    async fn attach(&self, _ask: &Ask, _cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        Err(Refusal::Gone)
    }

    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

fn event(id: &str, kind: &str, data: &str) -> Frame {
    Frame {
        id: id.to_owned(),
        body: FrameBody::Event {
            kind: kind.to_owned(),
            data: Some(data.to_owned()),
        },
    }
}

fn ending(id: &str, body: FrameBody) -> Frame {
    Frame {
        id: id.to_owned(),
        body,
    }
}

/// The log of a turn on an upstream that says this.
fn log_of(frames: Vec<Frame>) -> String {
    let world = World::new(0);
    let worker = world.worker();
    let turn = |worker: Worker| async move {
        run_supervised_turn(&worker.ports, &worker.store, input(), Says(frames), NoHooks).await
    };
    let reading = Reading::of(&worker, Stay::ToTheEnd, turn(worker.clone()));
    world.settle();
    assert!(reading.has_ended());
    reading.log()
}

#[test]
fn no_upstream_tells_what_the_protocol_refuses() {
    let large = format!("\"{}\"", "x".repeat(1_048_576));
    let long_id = "i".repeat(513);
    for bad in [
        event("2", "session.run.completed", "{}"),
        event("2", "heartbeat", "{}"),
        event("2", "Bad Kind", "{}"),
        event("2", "note", "{not JSON"),
        event("2", "note", "{}\n{\"seq\":9}"),
        event("2", "note", &large),
        event("", "note", "{}"),
        event("a b", "note", "{}"),
        event(&long_id, "note", "{}"),
        ending("", FrameBody::Completed),
    ] {
        let shown = format!("{:.200}", format!("{bad:?}"));
        let log = log_of(vec![
            event("1", "note", "{}"),
            bad,
            event("3", "note", "{}"),
            ending("4", FrameBody::Completed),
        ]);
        let kinds = ["session.run.started", "note", "error", "session.run.failed"];
        assert_eq!(lines_of(&log), kinds, "{shown}");
        assert!(log.contains(r#""code":"upstream_protocol""#), "{shown}");
    }
}

#[test]
fn what_it_says_becomes_a_line_as_the_protocol_has_it() {
    let log = log_of(vec![
        event("1", "error", "{ \"a\" :\n[1.0] }"),
        ending("2", FrameBody::Completed),
        event("3", "note", "{}"),
    ]);
    assert_eq!(
        log.lines().nth(1),
        Some(r#"{"seq":1,"type":"upstream.error","data":{"a":[1.0]}}"#)
    );
    assert_eq!(
        lines_of(&log),
        [
            "session.run.started",
            "upstream.error",
            "session.run.completed"
        ]
    );
    let message = "x".repeat(2_048);
    let said = FrameBody::Failed {
        message: format!("{message}y"),
    };
    let log = log_of(vec![ending("1", said)]);
    assert!(log.contains(&message) && !log.contains("xy"), "{log}");
}
