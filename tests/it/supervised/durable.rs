//! Turns whose answer is made by code: nothing of it can be attached again.

use super::{
    PlainStore, RUN, Reading, SimPorts, Stay, SupervisedTurn, TurnInput, TurnRefused, Worker,
    World, assert_one_writer_at_a_time, input, lines_of, stored, whole_log,
};
use futures::stream::{self, LocalBoxStream, StreamExt};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::caps;
use steadfast::plain::{ProduceError, Produced, run_durable_turn};
use steadfast::ports::Timer;
use steadfast::store::Status;
use steadfast::turn::NoHooks;
use steadfast::upstream::Ask;

/// The execution ids that producers were called under.
type Calls = Rc<RefCell<Vec<String>>>;

fn word(word: &str) -> Produced {
    let data = format!(r#"{{ "part": {{"id":"p","type":"text"}}, "delta": "{word}" }}"#);
    Ok(("message.part.updated".to_owned(), data))
}

/// Four words, 300 ms apart, then `end`.
fn frames(ports: &SimPorts, end: Option<ProduceError>) -> LocalBoxStream<'static, Produced> {
    let mut items: Vec<Produced> = ["a ", "b ", "c ", "d"].map(word).into();
    items.extend(end.map(Err));
    let ports = ports.clone();
    let paced = stream::unfold((ports, items.into_iter()), |(ports, mut left)| async move {
        ports.sleep(300).await;
        let item = left.next()?;
        Some((item, (ports, left)))
    });
    paced.boxed_local()
}

async fn durable(
    worker: Worker,
    input: TurnInput,
    calls: Calls,
    end: Option<ProduceError>,
) -> Result<SupervisedTurn<SimPorts, PlainStore>, TurnRefused> {
    let ports = worker.ports.clone();
    let produce = move |ask: Ask| {
        calls.borrow_mut().push(ask.execution_id);
        let frames = frames(&ports, end.clone());
        async { Ok(frames) }
    };
    run_durable_turn(&worker.ports, &worker.store, input, produce, NoHooks).await
}

fn ask(worker: &Worker, calls: &Calls, end: Option<ProduceError>) -> Reading {
    let turn = durable(worker.clone(), input(), Rc::clone(calls), end);
    Reading::of(worker, Stay::ToTheEnd, turn)
}

/// T1: the origin kept nothing of a turn until it was over.
#[test]
fn produced_frames_are_durable_as_they_flow() {
    let world = World::new(0);
    let calls = Calls::default();
    let reading = ask(&world.worker(), &calls, None);
    let mut lengths = Vec::new();
    for _ in 0..5 {
        world.run_for(400);
        lengths.push(whole_log(&world).lines().count());
    }
    assert!(
        lengths.windows(2).filter(|pair| pair[1] > pair[0]).count() >= 2,
        "{lengths:?}"
    );
    world.settle();
    assert_eq!(reading.log(), whole_log(&world));
    assert_eq!(
        reading.log().lines().nth(1),
        Some(
            r#"{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p","type":"text"},"delta":"a "}}"#
        )
    );
    assert_eq!(lines_of(&reading.log()).len(), 6);
    let again = ask(&world.worker(), &calls, None);
    world.settle();
    assert_eq!(
        (again.brief(), again.log()),
        ("replayed".into(), reading.log())
    );
    assert_eq!(*calls.borrow(), [RUN]);
}

/// T1, T2: what a crash cuts short is asked for again in sight, and not without end.
#[test]
fn a_crash_makes_a_visible_new_attempt_within_the_budget() {
    let world = World::new(0);
    let calls = Calls::default();
    let starts = u32::try_from(caps::UPSTREAM_STARTS.default).expect("it is small");
    for _ in 0..=starts {
        let worker = world.worker();
        ask(&worker, &calls, None);
        world.run_for(1_000);
        worker.end();
        world.run_for(2 * caps::LEASE_MS);
    }
    world.settle();
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Failed);
    let error = run.state.last_error.expect("it says why");
    assert_eq!(error.code, "upstream_unavailable");
    assert_eq!(*calls.borrow(), [RUN, "acme:s:0:a2", "acme:s:0:a3"]);
    assert_one_writer_at_a_time(&world);
    let log = whole_log(&world);
    assert_eq!(log.matches("session.run.restarted").count(), 2, "{log}");
}

#[test]
fn a_producer_fails_for_good_or_for_now() {
    for (end, status, code, attempts) in [
        (None, Status::Completed, None, 1),
        (
            Some(ProduceError::Failed("out of luck".to_owned())),
            Status::Failed,
            Some("upstream_failed"),
            1,
        ),
        (
            Some(ProduceError::Broken),
            Status::Failed,
            Some("upstream_unavailable"),
            3,
        ),
    ] {
        let world = World::new(0);
        let calls = Calls::default();
        let reading = ask(&world.worker(), &calls, end.clone());
        world.settle();
        let run = stored(&world);
        assert_eq!(run.state.status, status, "{end:?}");
        let failed = run.state.status == Status::Failed;
        let last = run.state.last_error.filter(|_| failed);
        assert_eq!(last.map(|last| last.code).as_deref(), code);
        assert_eq!(calls.borrow().len(), attempts);
        assert!(reading.has_ended());
    }
}

#[test]
fn a_produced_frame_keeps_the_rules_of_upstreams() {
    for (kind, data) in [
        ("session.run.completed", "{}"),
        ("heartbeat", "{}"),
        ("Bad Kind", "{}"),
        ("fine", "{not JSON"),
    ] {
        let world = World::new(0);
        let worker = world.worker();
        let turn = |worker: Worker| async move {
            let produce = move |_ask: Ask| {
                let frames = stream::iter(vec![Ok((kind.to_owned(), data.to_owned()))]);
                async { Ok(frames) }
            };
            run_durable_turn(&worker.ports, &worker.store, input(), produce, NoHooks).await
        };
        let reading = Reading::of(&worker, Stay::ToTheEnd, turn(worker.clone()));
        world.settle();
        assert!(reading.has_ended());
        let kinds = lines_of(&reading.log());
        assert_eq!(
            kinds,
            ["session.run.started", "error", "session.run.failed"]
        );
        assert!(reading.log().contains("upstream_protocol"));
    }
}
