//! The list of everything that is PERSISTED: each column, each mark in the sources, and what a client
//! keeps over a deploy, with the tests that hold its form.
//!
//! Owns that nothing is missing here: a column or a mark that is added fails until it has a line. That a
//! test compares with literals is its reader's to see.

use super::columns;
use crate::tidy::files;
use futures::executor::block_on;
use std::collections::{BTreeMap, BTreeSet};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Section, SqlStore, Store};

/// How a stored thing is kept as it is.
enum Kept {
    /// Tests that hold its text, each by its name.
    By(&'static [&'static str]),
    /// A number or a text that means itself: nothing of ours is written in it.
    Plain(&'static str),
}
use Kept::{By, Plain};

const STATE: Kept = By(&[
    "stored_json_of_version_1_is_read_and_written_alike",
    "a_turn_ends_in_these_words",
]);
const TIME: Kept = Plain("Unix ms");
const COUNT: Kept = Plain("a count");
const SENT: Kept = Plain("as the caller sent it");
const RECOVERED: &str = "a_turn_over_a_sandbox_is_attached_behind_its_last_row";

/// Every column of every table.
const COLUMNS: &[(&str, &[(&str, Kept)])] = &[
    (
        "schema_info",
        &[
            (
                "version",
                By(&["an_old_schema_is_what_todays_first_versions_make"]),
            ),
            ("applied_at", TIME),
        ],
    ),
    (
        "sessions",
        &[
            (
                "session_key",
                By(&[
                    "a_run_id_names_project_tenant_session_and_turn",
                    "a_turn_is_accepted_in_these_words",
                ]),
            ),
            ("tenant", SENT),
            ("session", SENT),
            ("birth", By(&["a_turn_is_accepted_in_these_words"])),
            (
                "turn_count",
                By(&["an_erasure_is_finished_and_no_index_is_used_twice"]),
            ),
            (
                "first_turn",
                By(&["an_erasure_is_finished_and_no_index_is_used_twice"]),
            ),
            ("created_at", TIME),
            ("updated_at", TIME),
            (
                "deleted_at",
                By(&["an_erasure_is_finished_and_no_index_is_used_twice"]),
            ),
        ],
    ),
    (
        "runs",
        &[
            (
                "run_id",
                By(&[
                    "a_run_id_names_project_tenant_session_and_turn",
                    "only_later_attempts_are_numbered",
                    "a_turn_is_accepted_in_these_words",
                ]),
            ),
            ("tenant", SENT),
            ("session", SENT),
            ("turn_index", COUNT),
            ("user", Plain("as the credentials have it")),
            ("idempotency_key", SENT),
            (
                "input_hash",
                By(&[
                    "the_input_hash_is_fixed_for_ever",
                    "hashes_are_those_of_the_origin",
                    "a_turn_is_accepted_in_these_words",
                ]),
            ),
            (
                "request",
                By(&[
                    "a_turn_is_accepted_in_these_words",
                    "stored_manifests_stay_readable",
                    RECOVERED,
                ]),
            ),
            (
                "upstream",
                By(&[
                    "a_turn_is_accepted_in_these_words",
                    "a_turn_without_an_object_is_kept_in_these_words",
                    "a_stored_upstream_is_read_again",
                    "a_stored_turn_config_is_read_again",
                    RECOVERED,
                ]),
            ),
            ("status", By(&["our_enums_are_stored_by_these_names"])),
            (
                "attempts",
                By(&[
                    "stored_json_of_version_1_is_read_and_written_alike",
                    "a_new_attempt_is_told_in_these_words",
                ]),
            ),
            ("epoch", COUNT),
            (
                "lease_holder",
                By(&[
                    "a_turn_without_an_object_is_kept_in_these_words",
                    "a_plain_turn_is_taken_over_when_its_lease_is_over",
                ]),
            ),
            (
                "lease_until",
                By(&["a_plain_turn_is_taken_over_when_its_lease_is_over"]),
            ),
            (
                "handle",
                By(&[
                    "stored_json_of_version_1_is_read_and_written_alike",
                    "a_task_is_kept_in_these_words",
                    "a_task_that_sleeps_wakes_at_its_stored_time",
                ]),
            ),
            ("outcome", STATE),
            ("usage", Plain("the upstream's own JSON")),
            ("last_error", STATE),
            ("line_count", COUNT),
            ("wake_at", By(&["a_deadline_is_the_stored_one"])),
            ("rev", COUNT),
            (
                "cancel",
                By(&[
                    "a_cancel_is_kept_in_these_words",
                    "a_durable_cancel_ends_its_turn_and_the_upstream_is_told",
                ]),
            ),
            (
                "upstream_cancel",
                By(&[
                    "a_cancel_is_kept_in_these_words",
                    "an_upstream_that_did_not_know_of_a_cancel_is_told",
                ]),
            ),
            (
                "log_home",
                By(&[
                    "our_enums_are_stored_by_these_names",
                    "lines_that_only_d1_has_are_read_there_until_they_expire",
                ]),
            ),
            ("created_at", TIME),
            ("updated_at", TIME),
            ("finished_at", TIME),
        ],
    ),
    (
        "stream_log",
        &[
            (
                "run_id",
                By(&["a_run_id_names_project_tenant_session_and_turn"]),
            ),
            ("first_seq", COUNT),
            ("count", COUNT),
            ("epoch", COUNT),
            ("attempt", COUNT),
            ("cursor", By(&[RECOVERED, "a_turn_ends_in_these_words"])),
            (
                "frame_ids",
                By(&[
                    "a_turn_ends_in_these_words",
                    "a_task_is_kept_in_these_words",
                ]),
            ),
            (
                "lines",
                By(&[
                    "lines_have_the_text_of_the_protocol",
                    "a_turn_ends_in_these_words",
                ]),
            ),
        ],
    ),
    (
        "messages",
        &[
            (
                "session_key",
                By(&["a_run_id_names_project_tenant_session_and_turn"]),
            ),
            ("turn_index", COUNT),
            ("position", By(&["our_enums_are_stored_by_these_names"])),
            ("role", By(&["our_enums_are_stored_by_these_names"])),
            (
                "content",
                By(&["messages_keep_their_text", "a_turn_ends_in_these_words"]),
            ),
            ("status", By(&["our_enums_are_stored_by_these_names"])),
            ("retry_of", By(&["a_turn_ends_in_these_words", RECOVERED])),
            ("rev", COUNT),
            ("created_at", TIME),
        ],
    ),
    (
        "steps",
        &[
            (
                "run_id",
                By(&["a_run_id_names_project_tenant_session_and_turn"]),
            ),
            ("step_index", By(&["a_task_is_kept_in_these_words"])),
            (
                "intent",
                By(&[
                    "a_task_is_kept_in_these_words",
                    "the_tries_to_save_an_answer_are_kept_in_these_words",
                    "a_task_that_waits_for_an_event_goes_on_with_it",
                ]),
            ),
            ("kind", By(&["our_enums_are_stored_by_these_names"])),
            (
                "status",
                By(&[
                    "a_task_is_kept_in_these_words",
                    "steps_that_are_recorded_are_not_done_again_and_those_under_way_are",
                ]),
            ),
            (
                "attempts",
                By(&["a_failed_run_is_opened_again_and_keeps_what_succeeded"]),
            ),
            (
                "result",
                By(&[
                    "a_task_is_kept_in_these_words",
                    "a_turn_ends_in_these_words",
                ]),
            ),
            (
                "error",
                By(&[
                    "a_task_is_kept_in_these_words",
                    "a_turn_ends_in_these_words",
                ]),
            ),
            ("rev", COUNT),
            ("started_at", TIME),
            ("completed_at", TIME),
            (
                "detail",
                By(&[
                    "a_steps_detail_is_read_and_written_alike",
                    "a_task_is_kept_in_these_words",
                    "a_durable_run_goes_on_behind_what_is_recorded",
                ]),
            ),
        ],
    ),
    (
        "events",
        &[
            (
                "run_id",
                By(&["a_run_id_names_project_tenant_session_and_turn"]),
            ),
            ("key", SENT),
            ("payload", By(&["a_task_is_kept_in_these_words"])),
            ("rev", COUNT),
            (
                "emitted_at",
                By(&["an_event_that_was_stored_and_woke_nobody_is_heard"]),
            ),
        ],
    ),
    (
        "unshipped",
        &[
            (
                "run_id",
                By(&["a_run_id_names_project_tenant_session_and_turn"]),
            ),
            ("rev", By(&["a_turn_that_ended_unshipped_reaches_d1"])),
            ("lines", By(&["a_turn_that_ended_unshipped_reaches_d1"])),
        ],
    ),
];

/// What others keep for us, or compare after a deploy, without a column of its own.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "the hash of a turn's history",
        &["a_turn_is_accepted_in_these_words"],
    ),
    (
        "canonical JSON, and so the hashes of steps' inputs and of manifests",
        &[
            "canonical_text_is_what_ecmascript_writes",
            "hashes_are_those_of_the_origin",
        ],
    ),
    (
        "a step's idempotency key, which somebody outside was given",
        &["a_durable_run_goes_on_behind_what_is_recorded"],
    ),
    (
        "a workspace's keys and references",
        &[
            "keys_are_those_of_their_moment",
            "a_durable_run_goes_on_behind_what_is_recorded",
        ],
    ),
    (
        "the ids under which a task's lines stand",
        &["a_task_is_kept_in_these_words"],
    ),
    (
        "an execution's id, which the upstream knows",
        &[
            "only_later_attempts_are_numbered",
            "an_execution_id_is_readable_and_the_runs_own",
        ],
    ),
    (
        "a list's cursor, which a client has",
        &["a_lists_cursor_is_the_hex_of_its_position"],
    ),
    (
        "a line's seq as an event id",
        &["followers_begin_where_they_say"],
    ),
    (
        "the envelope between a Worker and an object of two releases",
        &["every_command_is_sent_as_this_version_says_and_read_back"],
    ),
    (
        "the steps of `task:research`",
        &["a_task_that_waits_for_an_event_goes_on_with_it"],
    ),
];

/// The files of `src/` that say PERSISTED, how often, and what holds what they mean there.
const MARKS: &[(&str, usize, Kept)] = &[
    (
        "src/cloudflare/demo_object.rs",
        1,
        Plain(
            "the built-in agent's own storage, for local development; it is built for workerd only",
        ),
    ),
    (
        "src/config/mod.rs",
        1,
        By(&["a_stored_turn_config_is_read_again"]),
    ),
    (
        "src/plain/open.rs",
        1,
        By(&[
            "a_stored_target_is_read_and_written_alike",
            "a_turn_without_an_object_is_kept_in_these_words",
        ]),
    ),
    (
        "src/run/manifest.rs",
        1,
        By(&[
            "stored_manifests_stay_readable",
            "hashes_are_those_of_the_origin",
        ]),
    ),
    (
        "src/run/replay.rs",
        1,
        By(&["a_task_is_kept_in_these_words"]),
    ),
    (
        "src/run/step.rs",
        1,
        By(&["our_enums_are_stored_by_these_names"]),
    ),
    (
        "src/session/accepted.rs",
        1,
        By(&["a_turn_is_accepted_in_these_words"]),
    ),
    (
        "src/store/record.rs",
        2,
        By(&[
            "stored_json_of_version_1_is_read_and_written_alike",
            "a_steps_detail_is_read_and_written_alike",
        ]),
    ),
    (
        "src/store/status.rs",
        1,
        By(&["our_enums_are_stored_by_these_names"]),
    ),
    (
        "src/upstream/registry.rs",
        3,
        By(&[
            "a_stored_upstream_is_read_again",
            "what_is_a_deployments_own_is_read_again",
        ]),
    ),
    (
        "src/wire/line.rs",
        1,
        By(&["lines_have_the_text_of_the_protocol"]),
    ),
    (
        "src/wire/request.rs",
        1,
        By(&["the_input_hash_is_fixed_for_ever"]),
    ),
];

/// A database with today's schema.
pub(super) fn migrated(section: Section) -> NativeSqlite {
    let database = NativeSqlite::in_memory().expect("there is memory");
    let store = SqlStore::new(database.clone(), section);
    block_on(store.migrate(1)).expect("it is empty");
    database
}

#[test]
fn every_column_is_listed_with_what_keeps_it() {
    let sql = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table'";
    let there: BTreeSet<String> = [Section::Object, Section::D1]
        .into_iter()
        .flat_map(|section| columns(&migrated(section), sql))
        .collect();
    let listed: Vec<String> = COLUMNS
        .iter()
        .flat_map(|(table, columns)| {
            columns
                .iter()
                .map(move |(name, _)| format!("{table} | {name}"))
        })
        .collect();
    let distinct: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "listed once");
    assert_eq!(there, distinct, "stored on the left, listed on the right");
}

#[test]
fn every_mark_in_the_sources_is_listed() {
    let sources = files("src", ".rs");
    let there: BTreeMap<&str, usize> = sources
        .iter()
        .map(|source| {
            (
                source.path.as_str(),
                source.text.matches("PERSISTED").count(),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    let listed = MARKS.iter().map(|(path, count, _)| (*path, *count));
    assert_eq!(
        there,
        listed.collect(),
        "marked on the left, listed on the right"
    );
}

#[test]
fn what_keeps_a_stored_thing_is_a_test_that_is_there() {
    let sources: Vec<_> = [files("src", ".rs"), files("tests/it", ".rs")].concat();
    let kept = COLUMNS.iter().flat_map(|(_, columns)| *columns);
    let kept = kept
        .map(|(_, kept)| kept)
        .chain(MARKS.iter().map(|(_, _, kept)| kept));
    let named = kept.flat_map(|kept| match kept {
        By(tests) => {
            assert!(!tests.is_empty());
            *tests
        }
        Plain(reason) => {
            assert!(!reason.is_empty());
            &[]
        }
    });
    let named: BTreeSet<&str> = named
        .chain(ELSEWHERE.iter().flat_map(|(_, tests)| *tests))
        .copied()
        .collect();
    for name in named {
        let head = format!("#[test]\n    fn {name}() {{");
        let outside = format!("#[test]\nfn {name}() {{");
        let found = sources
            .iter()
            .filter(|source| source.text.contains(&head) || source.text.contains(&outside));
        assert!(found.count() > 0, "there is no test `{name}`");
    }
}
