//! The numbers of the protocol, as literals: settings and limits are compared with what it says, never with
//! the constants that keep them.
//!
//! Owns PROTOCOL §5's table, and a case at each bound of the contract and one beyond it. Limits that time
//! or an upstream has to bring about stand in the tests of those, in literals too.

use crate::support::{Behaviour, World, submit};
use crate::tidy::codes::{quoted, rows};
use crate::tidy::{files, read};
use futures::executor::block_on;
use futures::stream::{StreamExt, iter};
use std::collections::{BTreeMap, BTreeSet};
use steadfast::config::{ObjectConfig, TurnConfig, UpstreamConfig};
use steadfast::ids::{EventKey, ProjectId, SessionId, TenantId};
use steadfast::run::Error;
use steadfast::upstream::{Checked, Frame, FrameBody, OwnNames, Signal};
use steadfast::wire::code::FailureCode;
use steadfast::wire::line::check_upstream_kind;
use steadfast::wire::problem::Problem;
use steadfast::wire::request::{parse_event_payload, parse_limit, parse_submit};

/// A row of PROTOCOL §5's table.
struct Number<'d> {
    name: &'d str,
    unit: &'d str,
    default: u64,
    least: u64,
    most: u64,
}

fn numbers(protocol: &str) -> Vec<Number<'_>> {
    let table = rows(protocol, "## 5. Configuration").into_iter();
    let numbers = table.map(|cells| {
        let [name, unit, default, least, most, _] = cells[..] else {
            panic!("six cells: {cells:?}")
        };
        let number = |cell: &str| cell.parse().unwrap_or_else(|_| panic!("{name}: {cell}"));
        Number {
            name: quoted(name)[0],
            unit,
            default: number(default),
            least: number(least),
            most: number(most),
        }
    });
    numbers.collect()
}

/// What the code makes of a number that is set to `value`, or not set.
fn taken(name: &str, value: Option<u64>) -> Result<u64, Problem> {
    let value = value.map(|value| value.to_string());
    let vars = |asked: &str| value.clone().filter(|_| asked == name);
    let turn = TurnConfig::read(&vars)?;
    let object = ObjectConfig::read(&vars)?;
    Ok(match name {
        "UPSTREAM_IDLE_MS" => turn.upstream_idle_ms,
        "UPSTREAM_ATTEMPTS" => u64::from(turn.upstream_attempts),
        "UPSTREAM_STARTS" => u64::from(turn.upstream_starts),
        "TURN_TIMEOUT_MS" => turn.turn_timeout_ms,
        "TURN_MAX_BYTES" => turn.turn_max_bytes,
        "HISTORY_MESSAGES" => u64::from(turn.history_messages),
        "HISTORY_BYTES" => turn.history_bytes,
        "COMMIT_WINDOW_MS" => object.commit_window_ms,
        "SHIP_INTERVAL_MS" => object.ship_interval_ms,
        "WATCHDOG_MS" => object.watchdog_ms,
        "RETENTION_DAYS" => object.retention_days,
        "D1_LOG_DAYS" => object.d1_log_days,
        name => panic!("the code has no number `{name}`"),
    })
}

#[test]
fn every_number_of_the_protocol_is_taken_within_its_bounds_and_no_others() {
    let protocol = read("PROTOCOL.md");
    for number in numbers(&protocol) {
        let Number {
            name,
            default,
            least,
            most,
            ..
        } = number;
        let refused = Err(Problem::misconfigured(name));
        assert_eq!(taken(name, None), Ok(default), "{name} when it is not set");
        assert_eq!(taken(name, Some(least)), Ok(least), "{name}");
        assert_eq!(taken(name, Some(most)), Ok(most), "{name}");
        assert_eq!(taken(name, Some(most + 1)), refused, "{name}");
        if let Some(below) = least.checked_sub(1) {
            assert_eq!(taken(name, Some(below)), refused, "{name}");
        }
    }
}

#[test]
fn every_number_that_is_read_stands_in_the_protocol_with_its_unit() {
    let protocol = read("PROTOCOL.md");
    let told: BTreeSet<&str> = numbers(&protocol)
        .iter()
        .map(|number| {
            let unit = match number.name.rsplit_once('_') {
                Some((_, "MS")) => "ms",
                Some((_, "BYTES")) => "bytes",
                Some((_, "DAYS")) => "days",
                _ => "–",
            };
            assert_eq!(number.unit, unit, "{}", number.name);
            number.name
        })
        .collect();
    let caps = files("src", "/caps.rs");
    let read: BTreeSet<&str> = caps
        .iter()
        .flat_map(|source| source.text.split("Setting::new(").skip(1))
        .filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert_eq!(
        told, read,
        "the protocol's on the left, the code's on the right"
    );
}

#[test]
fn the_readme_tells_the_protocols_defaults() {
    let (readme, protocol) = (read("README.md"), read("PROTOCOL.md"));
    let told: BTreeMap<&str, &str> = rows(&readme, "## Configuration")
        .into_iter()
        .map(|cells| (quoted(cells[0])[0], cells[1]))
        .collect();
    for Number { name, default, .. } in numbers(&protocol) {
        let default = default.to_string();
        assert_eq!(told.get(name), Some(&default.as_str()), "{name}");
    }
}

/// The protocol says so, in these words.
fn said(words: &str) {
    assert!(
        read("PROTOCOL.md").contains(words),
        "PROTOCOL.md doesn't say: {words}"
    );
}

const JSON: Option<&str> = Some("application/json");

fn code<T>(read: Result<T, Problem>) -> &'static str {
    read.err().map_or("none", |problem| problem.code.name())
}

/// What a submit with this body comes to: a problem's code.
fn submitted(body: &str) -> &'static str {
    code(parse_submit(JSON, body.as_bytes(), None))
}

/// The text with so many `x` in place of `*`.
fn filled(frame: &str, bytes: usize) -> String {
    frame.replace('*', &"x".repeat(bytes + 1 - frame.len()))
}

#[test]
fn a_submit_has_a_mebibyte_and_64_levels() {
    said("Body, `application/json` in UTF-8, at most 1 MiB, at most 64 levels deep.");
    assert_eq!(submitted(&filled(r#"{"message":"*"}"#, 1_048_576)), "none");
    let beyond = filled(r#"{"message":"*"}"#, 1_048_577);
    assert_eq!(submitted(&beyond), "payload_too_large");
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        submitted(&format!(r#"{{"message":"a","x":{open}{close}}}"#))
    };
    assert_eq!((nested(64), nested(65)), ("none", "invalid_request"));
}

#[test]
fn metadata_has_4_kib() {
    said("| `metadata` | object, ≤ 4 KiB |");
    let with = |bytes| {
        let metadata = filled(r#"{"a":"*"}"#, bytes);
        submitted(&format!(r#"{{"message":"a","metadata":{metadata}}}"#))
    };
    assert_eq!((with(4_096), with(4_097)), ("none", "invalid_request"));
}

#[test]
fn an_idempotency_key_has_200_characters() {
    said("`Idempotency-Key` (1–200 visible ASCII)");
    let with = |bytes| {
        let key = "k".repeat(bytes);
        code(parse_submit(JSON, br#"{"message":"a"}"#, Some(&key)))
    };
    let all = [with(0), with(1), with(200), with(201)];
    assert_eq!(all, ["invalid_request", "none", "none", "invalid_request"]);
}

#[test]
fn an_event_has_a_key_of_128_characters_and_256_kib() {
    said("key `[A-Za-z0-9_.:-]{1,128}`, any JSON ≤ 256 KiB");
    let keys = [128, 129].map(|bytes| EventKey::parse(&"k".repeat(bytes)).is_ok());
    assert_eq!(keys, [true, false]);
    let with = |bytes| code(parse_event_payload(JSON, filled("\"*\"", bytes).as_bytes()));
    assert_eq!(
        (with(262_144), with(262_145)),
        ("none", "payload_too_large")
    );
}

#[test]
fn projects_tenants_and_sessions_have_64_characters() {
    said("| project, tenant, session | `[A-Za-z0-9_.-]{1,64}`");
    for (bytes, fits) in [(1, true), (64, true), (65, false)] {
        let id = "i".repeat(bytes);
        assert_eq!(ProjectId::parse(&id).is_ok(), fits, "{bytes}");
        assert_eq!(TenantId::parse(&id).is_ok(), fits, "{bytes}");
        assert_eq!(SessionId::parse(&id).is_ok(), fits, "{bytes}");
    }
}

#[test]
fn a_page_has_50_items_unless_told_and_200_at_most() {
    said("(50 unless told, ≤ 200)");
    assert_eq!(parse_limit(None), Ok(50));
    assert_eq!(parse_limit(Some("200")), Ok(200));
    assert_eq!(code(parse_limit(Some("201"))), "invalid_request");
}

#[test]
fn a_frame_has_a_type_of_64_an_id_of_512_and_a_mebibyte() {
    said("Upstream types match `[a-z0-9_.-]{1,64}`");
    let kinds = [64, 65].map(|bytes| check_upstream_kind(&"t".repeat(bytes)).is_ok());
    assert_eq!(kinds, [true, false]);
    said("A frame has at most 1 MiB.");
    said("(visible ASCII, at most 512 bytes)");
    let passes = |id: usize, data: usize| {
        let body = FrameBody::Event {
            kind: "note".to_owned(),
            data: Some(filled("\"*\"", data)),
        };
        let id = "i".repeat(id);
        let frames = iter([Ok(Signal::Frame(Frame { id, body }))]);
        block_on(Checked::new(frames).next()).is_some_and(|frame| frame.is_ok())
    };
    assert!(passes(512, 1_048_576));
    assert!(!passes(513, 1_048_576));
    assert!(!passes(512, 1_048_577));
}

#[test]
fn names_of_upstreams_and_codes_of_authors_have_64_characters() {
    said("| a name of the deployment's own, `[a-z0-9-]{1,64}` |");
    let offered = |bytes: usize| {
        let name = "u".repeat(bytes);
        let own = OwnNames {
            upstreams: &[&name],
            tasks: &[],
        };
        UpstreamConfig::read(
            &|asked| (asked == "UPSTREAM").then(|| "demo".to_owned()),
            own,
        )
        .is_ok()
    };
    assert_eq!((offered(64), offered(65)), (true, false));
    said("A task may also fail with a code of its author's own, `[a-z0-9_]{1,64}`");
    let own = |bytes: usize| {
        let code = Error::failed("c".repeat(bytes), "m").code();
        matches!(code, FailureCode::Author(_))
    };
    assert_eq!((own(64), own(65)), (true, false));
}

#[test]
fn a_system_prompt_has_32_kib() {
    said("`SYSTEM_PROMPT` (at most 32 KiB)");
    let taken = |bytes: usize| {
        let prompt = "p".repeat(bytes);
        let vars = |asked: &str| (asked == "SYSTEM_PROMPT").then(|| prompt.clone());
        TurnConfig::read(&vars).is_ok()
    };
    assert_eq!((taken(32_768), taken(32_769)), (true, false));
}

#[test]
fn a_quiet_follower_hears_something_each_15_s() {
    said("15 s after the last byte that a follower was sent");
    let world = World::new(0);
    world.upstream.behave([Behaviour::NoHead]);
    let object = world.object("s");
    let client = object.submit(submit("hello"));
    world.run_for(1_000);
    let before = client.received();
    let began = client.answered_at();
    for beat in 1..=3_u64 {
        let due = began + i64::try_from(beat * 15_000).expect("it is small");
        world.sim.run_until(due - 1);
        let heard = client.received_behind(before);
        assert_eq!(
            heard.iter().filter(|byte| **byte == b'\n').count() as u64,
            beat - 1
        );
        world.sim.run_until(due + 100);
    }
    let heard = String::from_utf8(client.received_behind(before)).expect("it is UTF-8");
    assert_eq!(heard, "{\"type\":\"heartbeat\"}\n".repeat(3));
}
