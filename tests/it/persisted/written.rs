//! What today's code stores, as literals, read past the code that wrote it.
//!
//! Owns the texts that stand in columns, and the names that stand for our enums there. A time is written
//! `T`, for what matters here is the form. What a later release adds is added here, too; whatever is here
//! stays, for rows that were written so are read for years.

use super::columns;
use crate::support::{APPROVAL_MS, Behaviour, Does, ERRAND, Object, Script, World, input, submit};
use steadfast::api::Command;
use steadfast::ids::EventKey;
use steadfast::plain::run_supervised_turn;
use steadfast::run::StepKind;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{LogHome, MessageStatus, Role, Status};
use steadfast::turn::NoHooks;
use steadfast::wire::cursor::{decode_cursor, encode_cursor};
use steadfast::wire::request::Submit;

/// What the turn of a sandbox is accepted with when no variable says otherwise.
const TURN: &str = r#""turn":{"upstreamIdleMs":120000,"upstreamAttempts":8,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":50,"historyBytes":131072}"#;
/// The hash of an empty history. This and the two below were computed outside this crate: SHA-256 over
/// `steadfast.history.1` and, of each message, role and content, each behind its length in eight bytes.
const NO_HISTORY: &str = "5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb";
/// Of `"first"` and its answer `"Yes."`.
const ONE_PAIR: &str = "fd91063a385eedc8f95d7d04965bf375503d8bdd37559d7efd5c03c4270a70f3";
/// Of that and of `"second"` with the same answer.
const TWO_PAIRS: &str = "2faea0bf27e8cccaa7ed810e39afd4775f463ba59162067728deaa8231b3ffac";

/// The rows of a query with each Unix time in ms of this century's first half as `T`, and each token of
/// 128 random bits as `R`.
fn stored(database: &NativeSqlite, sql: &'static str) -> Vec<String> {
    let masked = |row: String| {
        let mut text = String::new();
        let mut rest = row.as_str();
        while !rest.is_empty() {
            let word = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
            let digits = word(|c| c.is_ascii_digit());
            let hex = word(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
            let (end, mask) = match (digits, hex) {
                (_, 32) => (32, "R"),
                (13, 13) if rest.starts_with("17") => (13, "T"),
                (_, 0) => (rest.chars().next().map_or(1, char::len_utf8), ""),
                (_, hex) => (hex, ""),
            };
            text.push_str(if mask.is_empty() { &rest[..end] } else { mask });
            rest = &rest[end..];
        }
        text
    };
    columns(database, sql).into_iter().map(masked).collect()
}

fn check<T: AsRef<str>>(database: &NativeSqlite, sql: &'static str, expected: &[T]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    let found = stored(database, sql);
    assert_eq!(
        found, expected,
        "this is persisted: an old row would be read otherwise"
    );
}

const ACCEPTED: &str = "SELECT run_id, tenant, session, turn_index, user, idempotency_key, \
     input_hash, request, upstream FROM runs ORDER BY run_id";
const STATE: &str = "SELECT run_id, status, attempts, handle, outcome, usage, last_error, cancel, \
     upstream_cancel, log_home FROM runs ORDER BY run_id";
const IDS: &str =
    "SELECT value FROM stream_log, json_each(frame_ids) ORDER BY run_id, first_seq, key";
const MESSAGES: &str = "SELECT session_key, turn_index, position, role, content, status, retry_of \
     FROM messages ORDER BY turn_index, position";
const STEPS: &str = "SELECT step_index, intent, kind, status, attempts, \
     CASE intent WHEN 'deterministic:uuid' THEN length(result) ELSE result END, error, detail \
     FROM steps ORDER BY run_id, step_index";

fn scene() -> (World, Object) {
    let world = World::new(0);
    world.set("UPSTREAM", "sandbox,openai-chat,task:errand,task:research");
    let object = world.object("s");
    (world, object)
}

fn keyed(message: &str) -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit(message)
    }
}

/// Four turns: completed, failed, that one's message again behind a cut, and one more.
fn four_turns() -> Object {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    object.submit(submit("first"));
    world.run_for(1_000);
    world.upstream.play(Script {
        fails: Some("no luck"),
        ..Script::short()
    });
    object.submit(submit("second"));
    world.run_for(1_000);
    world.upstream.play(Script::short());
    world.upstream.behave([Behaviour::CutAfter(1)]);
    object.submit(Submit {
        retry_of: Some(1),
        message: None,
        ..submit("")
    });
    world.run_for(1_000);
    world.set("SYSTEM_PROMPT", "be brief");
    world.upstream.play(Script::standard());
    object.submit(Submit {
        metadata: Some(r#"{"b":1.0,"a":[2]}"#.to_owned()),
        model: Some("small".to_owned()),
        upstream: Some("sandbox".to_owned()),
        ..keyed("hello")
    });
    world.run_for(1_000);
    object
}

#[test]
fn a_turn_is_accepted_in_these_words() {
    let upstream = |turn: &str, history: &str| {
        format!(
            r#"{{"kind":"sandbox","url":"http://upstream.test","model":"small",{turn},"history":{history}}}"#
        )
    };
    let window = |messages: u32, to_turn: u32, hash: &str| {
        format!(r#"{{"messages":{messages},"fromTurn":0,"toTurn":{to_turn},"hash":"{hash}"}}"#)
    };
    let prompted = TURN.replace('}', r#","systemPrompt":"be brief"}"#);
    let none = format!(r#"{{"messages":0,"hash":"{NO_HISTORY}"}}"#);
    let [first, second, third, fourth] = [
        upstream(TURN, &none),
        upstream(TURN, &window(2, 0, ONE_PAIR)),
        upstream(TURN, &window(2, 0, ONE_PAIR)),
        upstream(&prompted, &window(4, 2, TWO_PAIRS)),
    ];
    let storage = four_turns().storage();
    check(
        &storage,
        ACCEPTED,
        &[
            format!(
                "acme:s:0 | acme | s | 0 | - | - \
                 | 01c28b9392834878e7b715b8c4d336ebddbc5d26ca8c69a169de5e8a38623eb0 | {{}} | {first}"
            ),
            format!(
                "acme:s:1 | acme | s | 1 | - | - \
                 | 6bb9df250b0f64bde9ee976622d85123a8faa536f22f8b6852fa0f60b046bead | {{}} | {second}"
            ),
            format!(
                "acme:s:2 | acme | s | 2 | - | - \
                 | 4291cc004602aaea3d6b868713f202928097b14cca4d6846be43108c733edf83 \
                 | {{\"retryOf\":1}} | {third}"
            ),
            format!(
                "acme:s:3 | acme | s | 3 | - | k-1 \
                 | 80577b80029de0a015f50937d0c75220bf7a0e1e7f08c5e82a119cce40d57e15 \
                 | {{\"model\":\"small\",\"upstream\":\"sandbox\",\"metadata\":{{\"b\":1.0,\"a\":[2]}}}} | {fourth}"
            ),
        ],
    );
    let sessions = "SELECT session_key, tenant, session, birth, turn_count, first_turn, created_at, \
         updated_at, deleted_at FROM sessions";
    check(
        &storage,
        sessions,
        &["acme:s | acme | s | R | 4 | 0 | T | T | -"],
    );
}

#[test]
fn a_turn_ends_in_these_words() {
    let storage = four_turns().storage();
    check(
        &storage,
        STATE,
        &[
            r#"acme:s:0 | completed | [{"number":1,"reason":"submitted","startedAt":T}] | {"executionId":"acme:s:0","attempt":1} | {"textUnits":4} | - | - | - | - | object"#,
            r#"acme:s:1 | failed | [{"number":1,"reason":"submitted","startedAt":T}] | {"executionId":"acme:s:1","attempt":1} | {"textUnits":4} | - | {"code":"upstream_failed","message":"no luck","at":T} | - | - | object"#,
            r#"acme:s:2 | completed | [{"number":1,"reason":"submitted","startedAt":T}] | {"executionId":"acme:s:2","attempt":1} | {"textUnits":4} | - | {"code":"upstream_unavailable","message":"the upstream's stream was cut","at":T} | - | - | object"#,
            r#"acme:s:3 | completed | [{"number":1,"reason":"submitted","startedAt":T}] | {"executionId":"acme:s:3","attempt":1} | {"textUnits":16} | {"inputTokens":7,"outputTokens":5} | - | - | - | object"#,
        ],
    );
    check(
        &storage,
        MESSAGES,
        &[
            "acme:s | 0 | 0 | user | \"first\" | complete | -",
            "acme:s | 0 | 1 | assistant | \"Yes.\" | complete | -",
            "acme:s | 1 | 0 | user | \"second\" | complete | -",
            "acme:s | 1 | 1 | assistant | \"Yes.\" | failed | -",
            "acme:s | 2 | 0 | user | \"second\" | complete | 1",
            "acme:s | 2 | 1 | assistant | \"Yes.\" | complete | -",
            "acme:s | 3 | 0 | user | \"hello\" | complete | -",
            "acme:s | 3 | 1 | assistant | \"Hello  ü 😀! é😀\" | complete | -",
        ],
    );
    check(
        &storage,
        STEPS,
        &[
            r#"0 | turn | llm | completed | 1 | {"lines":3} | - | -"#,
            r#"0 | turn | llm | failed | 1 | - | {"status":"failed"} | -"#,
            r#"0 | turn | llm | completed | 1 | {"lines":3} | - | -"#,
            r#"0 | turn | llm | completed | 1 | {"lines":14} | - | -"#,
        ],
    );
    let fourth = "SELECT value FROM stream_log, json_each(frame_ids) WHERE run_id = 'acme:s:3' \
         ORDER BY first_seq, key";
    let ids = "- f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 -";
    check(&storage, fourth, &ids.split(' ').collect::<Vec<_>>());
    // Not even a white space more: rows are packed and unpacked by these texts.
    let last = "SELECT attempt, cursor, substr(frame_ids, -11) FROM stream_log \
         ORDER BY run_id DESC, first_seq DESC LIMIT 1";
    check(&storage, last, &[r#"1 | f12 | "f12",null]"#]);
    let text: String = stored(
        &storage,
        "SELECT lines FROM stream_log ORDER BY run_id, first_seq",
    )
    .concat();
    let script = Script::standard().log("acme", "s", 3);
    assert!(text.ends_with(&script), "{text}");
}

#[test]
fn a_cancel_is_kept_in_these_words() {
    let (world, object) = scene();
    object.submit(keyed("hello"));
    world.run_for(300);
    world.upstream.answer_cancels([503; 2]);
    object.ask(Command::Cancel(0, Some("enough".to_owned())));
    world.run_for(100);
    let storage = object.storage();
    check(
        &storage,
        STATE,
        &[
            r#"acme:s:0 | cancelled | [{"number":1,"reason":"submitted","startedAt":T}] | {"executionId":"acme:s:0","attempt":1} | {"textUnits":12,"reason":"enough"} | - | - | {"reason":"enough","at":T} | {"executionId":"acme:s:0","tries":1,"nextAt":T} | object"#,
        ],
    );
    let partial = "acme:s | 0 | 1 | assistant | \"Hello  ü 😀!\" | partial | -";
    assert_eq!(stored(&storage, MESSAGES)[1], partial);
    check(
        &storage,
        STEPS,
        &[r#"0 | turn | llm | failed | 1 | - | {"status":"cancelled"} | -"#],
    );
}

#[test]
fn a_new_attempt_is_told_in_these_words() {
    let (world, object) = scene();
    object.submit(Submit {
        upstream: Some("openai-chat".to_owned()),
        ..keyed("hello")
    });
    world.run_for(250);
    object.end();
    world.settle();
    check(
        &object.storage(),
        "SELECT attempts, handle FROM runs",
        &[
            r#"[{"number":1,"reason":"submitted","startedAt":T},{"number":2,"reason":"interrupted","startedAt":T}] | {"executionId":"acme:s:0:a2","attempt":2}"#,
        ],
    );
}

#[test]
fn a_task_is_kept_in_these_words() {
    let (world, object) = scene();
    object.submit(Submit {
        upstream: Some(format!("task:{ERRAND}")),
        ..keyed("go")
    });
    world.run_for(1_000);
    let suspended = r#"suspended | {"executionId":"acme:s:0","attempt":1,"suspendedAt":T} | 1"#;
    let state = "SELECT status, handle, wake_at > 0 FROM runs";
    check(&object.storage(), state, &[suspended]);
    let key = EventKey::parse("approval").expect("it is one");
    object.ask(Command::Emit(0, key, r#"{"approved":1.0}"#.to_owned()));
    world.run_for(APPROVAL_MS);
    let storage = object.storage();
    check(
        &storage,
        "SELECT request, upstream FROM runs",
        &[format!(
            r#"{{"upstream":"task:errand"}} | {{"kind":"task","name":"errand","model":"small",{TURN},"history":{{"messages":0,"hash":"{NO_HISTORY}"}}}}"#
        )],
    );
    check(
        &storage,
        STEPS,
        &[
            r#"0 | turn | task | completed | 1 | {"lines":32} | - | -"#,
            "1 | deterministic:now | deterministic | completed | 1 | T | - | -",
            "2 | deterministic:uuid | deterministic | completed | 1 | 38 | - | -",
            "3 | first | logic | completed | 1 | 1 | - | -",
            r#"4 | event:approval | event | completed | 1 | {"approved":1.0} | - | {"deadline":T}"#,
            "5 | second | logic | completed | 1 | 1 | - | -",
            "6 | deterministic:now | deterministic | completed | 1 | T | - | -",
            r#"7 | sleep | deterministic | completed | 1 | null | - | {"deadline":T}"#,
            "8 | deterministic:now | deterministic | completed | 1 | T | - | -",
            "9 | last | logic | completed | 1 | 1 | - | -",
            r#"1048576 | branch:a | tool | completed | 1 | 1 | - | {"name":"branch:a","inputHash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"}"#,
            r#"1048577 | branch:b | tool | completed | 2 | 1 | - | {"name":"branch:b","inputHash":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","failures":[{"attempt":1,"runAttempt":1,"code":"busy","message":"try again","at":T,"retryAt":T}]}"#,
            r#"1048578 | branch:c | tool | completed | 1 | 1 | - | {"name":"branch:c","inputHash":"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}"#,
            r#"1048579 | event:never | event | failed | 1 | - | {"code":"await_event_timeout","message":"no event `never` came in time"} | {"name":"never","deadline":T,"failures":[{"attempt":1,"runAttempt":1,"code":"await_event_timeout","message":"no event `never` came in time","at":T}]}"#,
            r#"1048580 | sleep | deterministic | completed | 1 | null | - | {"name":"later","deadline":T}"#,
        ],
    );
    check(
        &storage,
        "SELECT run_id, key, payload FROM events",
        &[r#"acme:s:0 | approval | {"approved":1.0}"#],
    );
    let mut ids = stored(&storage, IDS);
    ids.sort_unstable();
    ids.dedup();
    let mut expected: Vec<&str> = "- s:1048576:1:step.completed s:1048576:1:step.started \
         s:1048577:1:step.failed s:1048577:1:step.started s:1048577:2:step.completed \
         s:1048577:2:step.started s:1048578:1:step.completed s:1048578:1:step.started \
         s:3:1:step.completed s:3:1:step.started s:5:1:step.completed s:5:1:step.started \
         s:9:1:step.completed s:9:1:step.started t:began t:did-a t:did-b t:did-c t:did-first \
         t:did-last t:did-second t:result w:1048579:awakened w:1048579:suspended \
         w:1048580:awakened w:1048580:suspended w:4:awakened w:4:suspended w:7:awakened w:7:suspended"
        .split_whitespace()
        .collect();
    expected.sort_unstable();
    assert_eq!(
        ids, expected,
        "this is persisted: a replay would tell it twice"
    );
}

#[test]
fn the_tries_to_save_an_answer_are_kept_in_these_words() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    let product = world.own.product();
    product.set(true, true);
    product.expect("persist", Does::Fails);
    object.submit(keyed("hello"));
    world.run_for(2_000);
    check(
        &object.storage(),
        STEPS,
        &[
            r#"0 | turn | llm | completed | 1 | {"lines":2} | - | -"#,
            r#"1 | persist | logic | completed | 2 | - | - | {"failures":[{"attempt":1,"runAttempt":1,"code":"failed","message":"no luck","at":T,"retryAt":T}]}"#,
        ],
    );
    let lines = "SELECT lines FROM stream_log WHERE first_seq = 1";
    let shown = r#"{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text","text":"Yes."}}}"#;
    check(&object.storage(), lines, &[format!("{shown}\n")]);
}

#[test]
fn a_turn_without_an_object_is_kept_in_these_words() {
    let world = World::new(0);
    let worker = world.worker();
    let own = worker.clone();
    let mut input = input();
    input.terms.model = Some("small".to_owned());
    input.caller.user = Some("ann".to_owned());
    let asked = worker.run(async move {
        let upstream = own.sandbox();
        let asked = run_supervised_turn(&own.ports, &own.store, input, upstream, NoHooks).await;
        asked.is_ok()
    });
    world.run_for(300);
    assert_eq!(asked.take(), Some(true));
    let database = world.d1.database();
    check(
        &database,
        ACCEPTED,
        &[format!(
            r#"acme:s:0 | acme | s | 0 | ann | k-1 | 9f15c05ef25f1623dab61dffa4564af3d2a35ff65b621117c51773ee65e75e31 | {{}} | {{"model":"small",{TURN},"history":{{"messages":0,"hash":"{NO_HISTORY}"}}}}"#
        )],
    );
    let lease = "SELECT lease_holder, lease_until, status, log_home FROM runs";
    check(&database, lease, &["R | T | running | d1"]);
}

#[test]
fn our_enums_are_stored_by_these_names() {
    let statuses = [
        (Status::Queued, "queued"),
        (Status::Running, "running"),
        (Status::Suspended, "suspended"),
        (Status::Completed, "completed"),
        (Status::Failed, "failed"),
        (Status::Cancelled, "cancelled"),
    ];
    for (status, name) in statuses {
        assert_eq!((status.name(), Status::parse(name)), (name, Some(status)));
    }
    let homes = [
        (LogHome::Object, "object"),
        (LogHome::D1, "d1"),
        (LogHome::Expired, "expired"),
    ];
    for (home, name) in homes {
        assert_eq!((home.name(), LogHome::parse(name)), (name, Some(home)));
    }
    let whole = [
        (MessageStatus::Complete, "complete"),
        (MessageStatus::Partial, "partial"),
        (MessageStatus::Failed, "failed"),
    ];
    for (status, name) in whole {
        assert_eq!(
            (status.name(), MessageStatus::parse(name)),
            (name, Some(status))
        );
    }
    for (role, name, position) in [(Role::User, "user", 0), (Role::Assistant, "assistant", 1)] {
        assert_eq!((role.name(), role.position()), (name, position));
        assert_eq!(Role::at(i64::from(position)), Some(role));
    }
    let kinds = [
        (StepKind::Logic, "logic"),
        (StepKind::Llm, "llm"),
        (StepKind::Tool, "tool"),
        (StepKind::Readiness, "readiness"),
        (StepKind::Deterministic, "deterministic"),
        (StepKind::Event, "event"),
    ];
    for (kind, name) in kinds {
        assert_eq!(kind.name(), name);
    }
}

/// A client that pages through a list comes back with it after a deploy.
#[test]
fn a_lists_cursor_is_the_hex_of_its_position() {
    let cursor = "313730303030303030303030302061636d653a73313a30";
    assert_eq!(encode_cursor("1700000000000 acme:s1:0"), cursor);
    let position = decode_cursor(cursor).expect("it is one");
    assert_eq!(position, "1700000000000 acme:s1:0");
}
