//! Runs of earlier releases, which today's code recovers from their rows.
//!
//! Owns what each of them must come to, as literals: its end, its text, what was asked of whom. The
//! variables differ from those under which the runs were accepted, so that only what is stored can lead
//! there. A failure says that an old row would be read otherwise than it was meant.

use super::rows::Rows;
use super::{RUNS, columns};
use crate::support::{Behaviour, Client, Object, Script, World, assert_shipped, submit};
use futures::executor::block_on;
use steadfast::api::Command;
use steadfast::store::{LogHome, Run, Status, Step, Store};
use steadfast::wire::request::Submit;

/// The releases that stored turns in objects.
const VERSIONS: [u32; 2] = [1, 2];
/// The input hash of the message `hello`.
pub(super) const HELLO: &str = "9f15c05ef25f1623dab61dffa4564af3d2a35ff65b621117c51773ee65e75e31";

/// A world in which every variable of a turn is another than the stored one.
pub(super) fn world() -> World {
    let world = World::new(0);
    for (name, value) in [
        (
            "UPSTREAM",
            "openai-chat,sandbox,speller,task:errand,task:research",
        ),
        ("UPSTREAM_URL", "http://elsewhere.test"),
        ("UPSTREAM_MODEL", "large"),
        ("UPSTREAM_IDLE_MS", "100"),
        ("UPSTREAM_ATTEMPTS", "1"),
        ("UPSTREAM_STARTS", "1"),
        ("TURN_TIMEOUT_MS", "1000"),
        ("TURN_MAX_BYTES", "1024"),
        ("HISTORY_MESSAGES", "0"),
        ("HISTORY_BYTES", "0"),
        ("SYSTEM_PROMPT", "be long"),
    ] {
        world.set(name, value);
    }
    world
}

/// What a release left, in a world of its own; nothing has been asked yet.
pub(super) struct Scene {
    pub world: World,
    pub object: Object,
}

impl Scene {
    pub fn open(version: u32, name: &str) -> Self {
        let world = world();
        let object = world.object("s");
        Rows::read(version, name).restore(&world, &object);
        Scene { world, object }
    }

    /// Only D1 is left.
    fn from_d1(version: u32, name: &str) -> Self {
        let world = world();
        let object = world.object("s");
        Rows::read(version, name).restore_d1(&world);
        Scene { world, object }
    }

    fn submit(&self, submit: Submit) -> Client {
        let client = self.object.submit(submit);
        self.world.run_for(2_000);
        client
    }

    pub fn ask(&self, command: Command) -> Client {
        let client = self.object.ask(command);
        self.world.run_for(2_000);
        client
    }

    pub fn run(&self, turn: usize) -> (Run, String, Vec<Step>) {
        self.object.dump().runs[turn].clone()
    }

    /// The last message, raw JSON.
    pub fn answer(&self) -> String {
        let messages = self.object.dump().messages;
        messages.last().expect("there is one").content.clone()
    }

    /// What was asked for: where, under which id, behind which frame, in which words.
    fn asked(&self) -> Vec<[String; 4]> {
        let asked = self.world.upstream.asked().into_iter();
        let all = asked.map(|asked| {
            let after = asked.after.unwrap_or_default();
            [asked.url, asked.execution_id, after, asked.body]
        });
        all.collect()
    }
}

fn keyed(message: &str) -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit(message)
    }
}

/// The fourth turn of `running.sql`, as it was sent.
fn fourth() -> Submit {
    Submit {
        model: Some("small".to_owned()),
        upstream: Some("sandbox".to_owned()),
        ..keyed("hello")
    }
}

/// What a sandbox is asked in the fourth turn of `running.sql`.
const FOURTH: &str = r#"{"message":"hello","history":[{"role":"user","content":"first"},{"role":"assistant","content":"Yes."},{"role":"user","content":"second"},{"role":"assistant","content":"Yes."}],"model":"small","sessionId":"s","metadata":{"b":1.0,"a":[2]}}"#;
const FOURTH_HASH: &str = "80577b80029de0a015f50937d0c75220bf7a0e1e7f08c5e82a119cce40d57e15";
const URL: &str = "http://upstream.test/agents/run/stream";

fn asked(execution: &str, after: &str, body: &str) -> [String; 4] {
    [URL, execution, after, body].map(str::to_owned)
}

/// The turn is over, in both stores, and answers whoever repeats it.
fn check_whole(scene: &Scene, turn: usize, repeat: Submit, log: &str, message: &str) {
    let (run, found, steps) = scene.run(turn);
    assert_eq!(found, log);
    assert_eq!(run.state.status, Status::Completed);
    assert_eq!(scene.answer(), message);
    let [own] = &steps[..] else {
        panic!("a turn has one step of its own: {steps:?}")
    };
    assert_eq!(own.status, "completed");
    assert_shipped(&scene.world, &scene.object);
    let before = scene.asked().len();
    let again = scene.submit(repeat);
    assert_eq!(
        (again.brief().as_str(), again.log().as_str()),
        ("replayed", log)
    );
    assert_eq!(scene.asked().len(), before, "nobody is asked for it again");
}

#[test]
fn a_turn_over_a_sandbox_is_attached_behind_its_last_row() {
    for version in VERSIONS {
        let scene = Scene::open(version, "running");
        let upstream = &scene.world.upstream;
        upstream.restore("acme:s:3", FOURTH_HASH, 1_700_000_022_002);
        upstream.behave([Behaviour::StallsAfter(0)]);
        scene.world.settle();
        // Silent for the stored 7 s, it is attached once more.
        let expected = asked("acme:s:3", "f6", FOURTH);
        assert_eq!(scene.asked(), [expected.clone(), expected]);
        let times: Vec<i64> = upstream.asked().iter().map(|asked| asked.at).collect();
        assert!((7_000..7_100).contains(&(times[1] - times[0])), "{times:?}");
        let script = Script::standard();
        check_whole(
            &scene,
            3,
            fourth(),
            &script.log("acme", "s", 3),
            script.message,
        );
        assert_eq!(
            columns(&scene.object.storage(), RUNS)[3],
            "acme:s:3 | completed | [{\"number\":1,\"reason\":\"submitted\",\"startedAt\":1700000022000}] \
             | 2 | {\"executionId\":\"acme:s:3\",\"attempt\":1} | {\"textUnits\":16} \
             | {\"inputTokens\":7,\"outputTokens\":5} | 14 | - | - | - | object"
        );
    }
}

#[test]
fn a_turn_of_which_only_d1_is_left_goes_on_from_there() {
    for version in VERSIONS {
        let scene = Scene::from_d1(version, "running");
        let upstream = &scene.world.upstream;
        upstream.restore("acme:s:3", FOURTH_HASH, 1_700_000_022_002);
        let client = scene.submit(fourth());
        scene.world.settle();
        let log = Script::standard().log("acme", "s", 3);
        assert_eq!(
            (client.brief().as_str(), client.log()),
            ("resumed", log.clone())
        );
        assert_eq!(scene.asked(), [asked("acme:s:3", "f4", FOURTH)]);
        check_whole(&scene, 3, fourth(), &log, Script::standard().message);
        let homes = "SELECT run_id, log_home FROM runs ORDER BY run_id";
        assert_eq!(
            columns(&scene.object.storage(), homes),
            [
                "acme:s:0 | d1",
                "acme:s:1 | d1",
                "acme:s:2 | d1",
                "acme:s:3 | object"
            ]
        );
    }
}

#[test]
fn a_turn_that_can_not_be_attached_is_asked_again_as_it_was_accepted() {
    for version in VERSIONS {
        let scene = Scene::open(version, "chat");
        scene.world.settle();
        let body = r#"{"model":"small","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hello"}],"stream":true,"stream_options":{"include_usage":true}}"#;
        let asked = ["http://upstream.test/chat/completions", "", "", body];
        assert_eq!(scene.asked(), [asked]);
        let (run, log, _) = scene.run(0);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 11, "{log}");
        let restarted = r#"{"seq":4,"type":"session.run.restarted","data":{"attempt":2,"reason":"interrupted"}}"#;
        assert_eq!(lines[4], restarted);
        assert_eq!(scene.answer(), "\"Hello  ü hm é😀\"");
        let attempts: Vec<(u32, &str)> = run
            .state
            .attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.reason.as_str()))
            .collect();
        assert_eq!(attempts, [(1, "submitted"), (2, "interrupted")]);
        let handle = run.state.handle.expect("it was asked");
        assert_eq!(
            (handle.execution_id.as_str(), handle.attempt),
            ("acme:s:0:a2", 2)
        );
        assert_eq!((run.state.status, run.epoch), (Status::Completed, 2));
        assert_shipped(&scene.world, &scene.object);
    }
}

#[test]
fn a_turn_that_was_accepted_and_not_begun_is_begun() {
    for version in VERSIONS {
        let scene = Scene::open(version, "queued");
        scene.world.settle();
        let body =
            r#"{"message":"hello","history":[],"model":"small","sessionId":"s","metadata":null}"#;
        assert_eq!(scene.asked(), [asked("acme:s:0", "", body)]);
        let log = Script::standard().log("acme", "s", 0);
        check_whole(&scene, 0, keyed("hello"), &log, Script::standard().message);
    }
}

#[test]
fn a_durable_cancel_ends_its_turn_and_the_upstream_is_told() {
    for version in VERSIONS {
        let scene = Scene::open(version, "cancelling");
        scene
            .world
            .upstream
            .restore("acme:s:0", HELLO, 1_700_000_000_102);
        scene.world.settle();
        assert_eq!(
            (scene.asked().len(), scene.world.upstream.cancels()),
            (0, vec!["acme:s:0".to_owned()])
        );
        let (run, log, _) = scene.run(0);
        let last = r#"{"seq":4,"type":"session.run.cancelled","data":{"sessionId":"s","reason":"enough"}}"#;
        assert_eq!(log.lines().last(), Some(last));
        assert_eq!(scene.answer(), r#""Hello  ü \ud83d""#);
        let outcome = run.state.outcome.clone().expect("it is over");
        assert_eq!(
            (outcome.text_units, outcome.reason.as_deref()),
            (10, Some("enough"))
        );
        assert_eq!(
            (run.state.status, run.upstream_cancel),
            (Status::Cancelled, None)
        );
        assert_shipped(&scene.world, &scene.object);
    }
}

#[test]
fn an_upstream_that_did_not_know_of_a_cancel_is_told() {
    for version in VERSIONS {
        let scene = Scene::open(version, "untold");
        scene
            .world
            .upstream
            .restore("acme:s:0", HELLO, 1_700_000_000_102);
        scene.world.upstream.answer_cancels([503]);
        scene.world.run_for(2_000);
        // Three tries before this release: the fourth has failed, and the fifth is due later.
        let stored = "SELECT upstream_cancel FROM runs";
        let untold = columns(&scene.object.storage(), stored).concat();
        assert!(
            untold.starts_with(r#"{"executionId":"acme:s:0","tries":4,"nextAt":"#),
            "{untold}"
        );
        scene.world.settle();
        assert_eq!(scene.world.upstream.cancels(), ["acme:s:0", "acme:s:0"]);
        assert_eq!(columns(&scene.object.storage(), stored), ["-"]);
        assert_eq!(scene.asked().len(), 0);
        assert_shipped(&scene.world, &scene.object);
    }
}

#[test]
fn a_turn_that_ended_unshipped_reaches_d1() {
    for version in VERSIONS {
        let scene = Scene::open(version, "unshipped");
        scene.world.settle();
        let log = Script::standard().log("acme", "s", 0);
        check_whole(&scene, 0, keyed("hello"), &log, Script::standard().message);
        assert_eq!(scene.asked().len(), 0);
        assert_eq!(
            columns(&scene.world.d1.database(), RUNS).len(),
            1,
            "it is there once"
        );
    }
}

#[test]
fn an_erasure_is_finished_and_no_index_is_used_twice() {
    for version in VERSIONS {
        let scene = Scene::open(version, "erased");
        assert_eq!(
            columns(&scene.world.d1.database(), "SELECT run_id FROM runs").len(),
            2
        );
        scene.world.run_for(40_000);
        for database in [scene.object.storage(), scene.world.d1.database()] {
            let left = "SELECT (SELECT COUNT(*) FROM runs), (SELECT COUNT(*) FROM messages), \
                 (SELECT COUNT(*) FROM steps), (SELECT COUNT(*) FROM stream_log), turn_count, \
                 first_turn, deleted_at >= 1700000002000 FROM sessions";
            assert_eq!(columns(&database, left), ["0 | 0 | 0 | 0 | 2 | 2 | 1"]);
        }
        assert_eq!(scene.ask(Command::Session).brief(), "404 not_found");
        assert_eq!(scene.ask(Command::Turn(1)).brief(), "404 not_found");
        let next = scene.submit(Submit {
            upstream: Some("sandbox".to_owned()),
            model: Some("large".to_owned()),
            ..submit("again")
        });
        assert_eq!(next.execution_id().as_deref(), Some("acme:s:2"));
    }
}

#[test]
fn lines_that_only_d1_has_are_read_there_until_they_expire() {
    for version in VERSIONS {
        let scene = Scene::open(version, "retained");
        let read = scene.object.follow(0, -1);
        scene.world.run_for(2_000);
        assert_eq!(read.log(), Script::short().log("acme", "s", 0));
        assert_eq!(scene.run(0).0.log_home, LogHome::D1);

        let scene = Scene::open(version, "expired");
        let again = scene.submit(keyed("hello"));
        assert_eq!(again.brief(), "410 log_expired");
        assert_eq!(scene.answer(), "\"Yes.\"");
        let durable = block_on(scene.world.durable().run("acme:s:0"));
        let durable = durable.expect("D1 answers").expect("it is there");
        assert_eq!(durable.log_home, LogHome::Expired);
    }
}

#[test]
fn an_upstream_of_the_deployments_own_is_attached_behind_its_cursor() {
    let scene = Scene::open(2, "own");
    scene.world.settle();
    assert_eq!(scene.world.own.asked(), ["attach 1"]);
    assert_eq!(scene.answer(), "\"one two three four five six\"");
    assert_eq!(scene.run(0).0.state.status, Status::Completed);
    assert_shipped(&scene.world, &scene.object);
}

#[test]
fn an_answer_that_was_complete_is_saved_and_nobody_is_asked() {
    for (transforms, scene) in [
        (true, Scene::open(2, "hooks")),
        (false, Scene::open(2, "saving")),
    ] {
        let product = scene.world.own.product();
        product.set(transforms, true);
        scene.world.settle();
        assert_eq!(scene.asked().len(), 0, "the upstream has said all");
        let calls = product.calls();
        let is_heard =
            |call: &&String| call.starts_with("persist") || call.starts_with("transform");
        let heard: Vec<&String> = calls.iter().filter(is_heard).collect();
        assert_eq!(heard, ["persist acme:s:0 Yes."]);
        let (run, log, steps) = scene.run(0);
        assert_eq!(run.state.status, Status::Completed);
        let last = r#"{"seq":2,"type":"session.run.completed","data":{"sessionId":"s"}}"#;
        assert_eq!((log.lines().count(), log.lines().last()), (3, Some(last)));
        let [_, saving] = &steps[..] else {
            panic!("{steps:?}")
        };
        // The try that the release before had under way is one that failed.
        let failures = saving.detail.failures.iter();
        let codes: Vec<&str> = failures.map(|failure| failure.code.as_str()).collect();
        assert_eq!(codes, ["failed", "failed", "failed", "interrupted"]);
        assert_eq!((saving.attempts, saving.status.as_str()), (5, "completed"));
    }
}
