//! Rules that hold of a turn wherever it lives: in its session's object, or in a store alone.
//!
//! Owns the cases in which the two ways once differed. Each is asked in both worlds by the same check.

use crate::support::{
    Behaviour, Client, Does, Fault, Object, Product, Reading, Script, Stay, Worker, World, caller,
    input, submit,
};
use futures::executor::block_on;
use steadfast::api::Command;
use steadfast::caps;
use steadfast::plain::{cancel_turn, run_supervised_turn};
use steadfast::store::{Driver, Statement, Status, Store};
use steadfast::wire::request::{IfRunning, Submit};

const RUN: &str = "acme:s:0";

/// Where a turn lives.
#[derive(Clone, Copy, Debug)]
enum Home {
    Object,
    Plain,
}

const HOMES: [Home; 2] = [Home::Object, Home::Plain];

/// A world with one session in it.
struct Scene {
    world: World,
    home: Home,
    object: Object,
    worker: Worker,
    product: Product,
}

/// An answer in either world.
enum Answer {
    Object(Client),
    Plain(Reading),
}

impl Scene {
    fn new(home: Home) -> Self {
        let world = World::new(0);
        Scene {
            object: world.object("s"),
            worker: world.worker(),
            product: world.own.product(),
            world,
            home,
        }
    }

    fn submit(&self, submit: Submit) -> Answer {
        match self.home {
            Home::Object => Answer::Object(self.object.submit(submit)),
            Home::Plain => {
                let (worker, product) = (self.worker.clone(), self.product.clone());
                let input = steadfast::plain::TurnInput { submit, ..input() };
                Answer::Plain(Reading::of(&self.worker, Stay::ToTheEnd, async move {
                    let upstream = worker.sandbox();
                    let Worker { ports, store, .. } = &worker;
                    run_supervised_turn(ports, store, input, upstream, product).await
                }))
            }
        }
    }

    fn cancel(&self) {
        match self.home {
            Home::Object => drop(self.object.ask(Command::Cancel(0, None))),
            Home::Plain => {
                let worker = self.worker.clone();
                self.worker.run(async move {
                    let Worker { ports, store, .. } = &worker;
                    let cancelled = cancel_turn(ports, store, &caller(), 0, None).await;
                    assert_eq!(cancelled, Ok(true));
                });
            }
        }
    }

    /// Takes the transcript away, as an erasure that was cut would.
    fn forget_messages(&self) {
        let databases = [self.object.storage(), self.world.d1.database()];
        for database in databases {
            let forget = Statement {
                sql: "DELETE FROM messages",
                params: vec![],
            };
            // An object that was never asked has no tables.
            let _absent = block_on(database.apply(vec![forget]));
        }
    }
}

impl Answer {
    fn body(&self) -> String {
        match self {
            Answer::Object(client) => client.body(),
            Answer::Plain(reading) => reading.body(),
        }
    }

    fn heartbeats(&self) -> usize {
        self.body().matches("{\"type\":\"heartbeat\"}\n").count()
    }

    /// The code of its refusal, or how else it was answered.
    fn brief(&self) -> String {
        match self {
            Answer::Object(client) => client.brief(),
            Answer::Plain(reading) => reading.brief(),
        }
    }
}

#[test]
fn heartbeats_go_by_the_time_since_the_last_byte() {
    for home in HOMES {
        let scene = Scene::new(home);
        scene.product.set(false, true);
        for _ in 1..caps::PERSIST_TRIES {
            scene.product.expect("persist", Does::Fails);
        }
        let answer = scene.submit(submit("hello"));
        // The upstream has said all by then; what follows are commits without lines.
        scene.world.run_for(2_000);
        let said = answer.body();
        for beats in 1..=4 {
            scene.world.run_for(caps::HEARTBEAT_MS);
            assert_eq!(answer.heartbeats(), beats, "{home:?}");
        }
        assert!(answer.body().starts_with(&said), "{home:?}");
        let calls = scene.product.calls();
        let tries = calls.iter().filter(|call| call.starts_with("persist"));
        assert!(tries.count() >= 4, "{home:?} was not woken meanwhile");
    }
}

#[test]
fn an_upstreams_answer_to_a_cancel_is_final_unless_it_asks_for_patience() {
    for home in HOMES {
        for (status, is_final) in [
            (200, true),
            (204, true),
            (400, true),
            (401, true),
            (404, true),
            (409, true),
            (410, true),
            (422, true),
            (302, false),
            (408, false),
            (425, false),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let scene = Scene::new(home);
            scene.world.upstream.behave([Behaviour::StallsAfter(3)]);
            scene.world.upstream.answer_cancels([status]);
            scene.submit(submit("hello"));
            scene.world.run_for(500);
            scene.cancel();
            scene.world.settle();
            let told = scene.world.upstream.cancels();
            let calls = if is_final { 1 } else { 2 };
            assert_eq!(told, vec![RUN; calls], "{home:?} {status}");
        }
    }
}

#[test]
fn a_submit_that_is_refused_cancels_nothing() {
    let scene = Scene::new(Home::Object);
    let running = scene.submit(submit("hello"));
    scene.world.run_for(200);
    let refused = scene.submit(Submit {
        model: Some("unheard-of".to_owned()),
        if_running: IfRunning::Cancel,
        ..submit("No, wait")
    });
    scene.world.settle();
    assert_eq!(refused.brief(), "400 invalid_request");
    assert!(running.body().contains("session.run.completed"));
}

#[test]
fn a_retry_of_a_turn_whose_message_is_gone_is_not_found() {
    for home in HOMES {
        let scene = Scene::new(home);
        scene.world.upstream.behave([Behaviour::Status(400)]);
        let failed = scene.submit(submit("hello"));
        scene.world.settle();
        assert!(failed.body().contains("session.run.failed"), "{home:?}");
        scene.forget_messages();
        let again = scene.submit(Submit {
            message: None,
            retry_of: Some(0),
            ..submit("")
        });
        scene.world.settle();
        assert!(
            again.brief().ends_with("not_found"),
            "{home:?} {}",
            again.brief()
        );
    }
}

/// A cancel is seen by the turn's drain though a read of the store has failed before.
#[test]
fn a_cancel_is_seen_behind_reads_that_failed() {
    for home in HOMES {
        let scene = Scene::new(home);
        scene.world.upstream.play(Script {
            frames: Script::standard().frames.repeat(50),
            pace_ms: 200,
            ..Script::standard()
        });
        let answer = scene.submit(submit("hello"));
        scene.world.run_for(1_000);
        // Each kind of look fails for longer than it is apart.
        scene.world.d1.fail(|batch| {
            let reads = batch.iter().all(|one| one.sql.starts_with("SELECT"));
            reads.then_some(Fault::Refused)
        });
        scene.world.run_for(12_000);
        scene.world.d1.heal();
        scene.world.run_for(2_000);
        scene.cancel();
        scene.world.run_for(15_000);
        let body = answer.body();
        assert!(!body.contains("session.run.completed"), "{home:?}");
        let run = block_on(scene.world.durable().run(RUN)).expect("D1 answers");
        let status = run.expect("it was accepted").state.status;
        assert_eq!(status, Status::Cancelled, "{home:?}");
    }
}
