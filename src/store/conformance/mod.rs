//! What every store and every driver must do, as one table of cases, and beside the model.
//!
//! Owns the cases of the [`Store`] contract ([`CASES`], and [`SHARED_CASES`] where many sessions share
//! one) and of the [`Driver`] below it ([`DRIVER_CASES`]), each named by its rule, and random sequences of
//! operations that a store and the model must answer alike ([`run_random`]). It is compiled always,
//! since it is part of what the crate promises to authors of stores: generic code that nobody calls
//! adds nothing to a Worker. Cases answer with a message instead of a panic, so that they run inside workerd too.
//! Invariant: a case touches sessions of its own only, named by its salt, so that all of them can
//! run on one shared database, one after another, again and again.

mod begin;
mod commit;
mod driver;
mod lease;
mod library;
mod random;
mod read;
mod scene;
mod signal;
mod step;
mod task;

pub use random::{run_draws, run_random};

use super::{Driver, Store};
use driver::Bench;
use scene::Scene;
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;

type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// One rule, checked on a `T`: a [`Store`] or a [`Driver`].
pub struct Case<T> {
    /// The rule.
    pub name: &'static str,
    body: for<'a> fn(&'a T, &'a str) -> Verdict<'a>,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The rule.
    pub name: &'static str,
    /// What was expected and what was found, when they differ.
    pub error: Option<String>,
}

impl<T> Case<T> {
    /// Checks the rule on a migrated `subject`. The case's keys hold `salt`: with one that was
    /// never used on this database nothing that the case meets is another's.
    pub async fn run(&self, subject: &T, salt: &str) -> CaseResult {
        CaseResult {
            name: self.name,
            error: (self.body)(subject, salt).await.err(),
        }
    }
}

/// Runs all of [`CASES`] on one migrated store, one after another.
pub async fn run_all<S: Store>(store: &S, salt: &str) -> Vec<CaseResult> {
    run(cases(), store, salt).await
}

/// Runs all of [`SHARED_CASES`] on one migrated store, one after another.
pub async fn run_all_shared<S: Store>(store: &S, salt: &str) -> Vec<CaseResult> {
    run(shared_cases(), store, salt).await
}

/// Runs all of [`DRIVER_CASES`] on one migrated database, one after another.
pub async fn run_all_on_driver<D: Driver>(driver: &D, salt: &str) -> Vec<CaseResult> {
    run(driver_cases(), driver, salt).await
}

async fn run<T>(cases: Vec<Case<T>>, subject: &T, salt: &str) -> Vec<CaseResult> {
    let mut results = Vec::with_capacity(cases.len());
    for case in cases {
        results.push(case.run(subject, salt).await);
    }
    results
}

/// One list makes both the names and the table, so that no case can be written and not run.
macro_rules! table {
    (
        $(#[$names_doc:meta])* $names:ident,
        $(#[$table_doc:meta])* $table:ident: $port:ident in $place:ident,
        $($module:ident::$case:ident,)*
    ) => {
        $(#[$names_doc])*
        pub const $names: &[&str] = &[$(stringify!($case)),*];

        $(#[$table_doc])*
        pub fn $table<T: $port>() -> Vec<Case<T>> {
            vec![$(Case {
                name: stringify!($case),
                body: |subject, salt| {
                    Box::pin($module::$case($place::new(subject, salt, stringify!($case))))
                },
            }),*]
        }
    };
}

table! {
    /// The rules of [`Store`], by name.
    CASES,
    /// The cases behind [`CASES`], in its order.
    cases: Store in Scene,
    begin::a_begun_turn_is_stored_whole,
    begin::a_repeated_begin_is_taken_and_changes_nothing,
    begin::two_racing_begins_have_one_winner,
    begin::an_index_must_follow_the_last,
    begin::a_turn_cannot_begin_while_the_one_before_is_open,
    begin::any_ending_lets_the_next_turn_begin,
    begin::a_key_names_one_turn,
    begin::a_key_belongs_to_its_session,
    begin::a_tombstone_keeps_the_turn_count,
    begin::a_later_turn_keeps_the_birth_of_its_session,
    lease::each_acquisition_raises_the_epoch,
    lease::a_queued_run_runs_once_it_is_acquired,
    lease::a_suspended_run_stays_suspended_when_acquired,
    lease::sole_takes_over_at_once,
    lease::a_live_lease_is_not_given_away,
    lease::a_lease_is_free_at_the_instant_of_expiry,
    lease::a_run_can_begin_under_a_lease,
    lease::the_same_token_is_the_same_acquisition,
    lease::two_racing_acquisitions_have_one_winner,
    lease::a_finished_run_cannot_be_acquired,
    lease::what_does_not_exist_cannot_be_acquired,
    library::a_created_run_is_stored_as_it_is,
    library::a_created_run_belongs_to_no_session,
    library::a_created_run_carries_its_epoch_and_lease,
    library::a_taken_creation_changes_nothing,
    library::two_racing_creations_have_one_winner,
    library::a_renewal_lengthens_the_lease_and_nothing_else,
    library::a_lease_that_ran_out_is_renewed_while_nobody_took_it,
    library::whoever_lost_a_lease_renews_nothing,
    library::what_does_not_exist_has_no_lease,
    library::a_released_run_is_free_at_once,
    library::whoever_lost_a_run_releases_nothing,
    library::a_failed_run_is_reopened_for_one_more_attempt,
    library::only_a_failed_run_without_lines_is_reopened,
    library::a_run_is_reopened_only_as_it_was_read,
    library::two_racing_reopenings_have_one_winner,
    library::a_repeated_reopening_is_recognised,
    library::a_reopened_run_takes_commits_of_its_new_epoch_only,
    commit::one_decision_is_stored_together,
    commit::lines_alone_leave_the_run_as_it_is,
    commit::no_changes_change_nothing,
    commit::stale_epoch_cannot_append,
    commit::stale_epoch_cannot_transition,
    commit::an_epoch_never_given_is_fenced,
    commit::terminal_is_final,
    commit::a_repeated_commit_is_recognised,
    commit::a_repeated_terminal_commit_is_recognised,
    commit::a_repeat_under_another_epoch_is_fenced,
    commit::a_commit_at_another_end_of_the_log_changes_nothing,
    commit::another_commit_at_the_same_place_changes_nothing,
    commit::a_state_must_count_the_lines,
    commit::a_transition_keeps_what_is_not_its_own,
    commit::a_message_and_a_step_keep_when_they_began,
    commit::rev_grows_with_each_change,
    commit::a_missing_run_takes_no_commit,
    step::steps_alone_leave_the_log_and_the_state_as_they_are,
    step::a_state_that_a_step_has_left_behind_changes_nothing,
    step::steps_are_fenced_like_everything_else,
    step::a_step_that_stands_keeps_what_it_is_and_takes_its_detail,
    step::a_repeated_commit_of_steps_is_recognised,
    step::steps_on_a_finished_run_are_fenced,
    signal::first_emit_wins,
    signal::a_new_event_makes_a_suspended_run_due,
    signal::an_event_leaves_a_run_that_runs_as_due_as_it_was,
    signal::a_new_event_on_a_finished_run_is_fenced,
    signal::a_known_event_answers_on_a_finished_run,
    signal::an_event_belongs_to_its_run,
    signal::what_does_not_exist_takes_no_event,
    signal::first_cancel_reason_is_kept,
    signal::a_cancel_makes_a_suspended_run_due,
    signal::a_finished_run_cannot_be_cancelled,
    signal::what_does_not_exist_cannot_be_cancelled,
    signal::a_pending_upstream_cancel_is_replaced_until_it_is_told,
    read::what_does_not_exist_reads_as_nothing,
    read::reads_page_through_the_log_from_any_seq,
    read::a_log_ends_behind_its_last_line,
    read::messages_come_in_order,
    read::messages_before_a_turn_come_newest_first,
    read::runs_come_by_number_of_turn,
    read::a_session_sees_what_is_its_own_only,
    read::steps_come_by_index,
    read::ids_with_quotes_newlines_nul_free_unicode_survive,
    read::large_numbers_up_to_2_53_survive,
    read::a_1_mib_line_survives,
    read::migrating_twice_changes_nothing,
}

table! {
    /// The rules of a [`Store`] that many sessions share, by name: of each but an object's own.
    SHARED_CASES,
    /// The cases behind [`SHARED_CASES`], in its order.
    shared_cases: Store in Scene,
    begin::a_key_is_none_of_a_session_key_that_ends_alike,
}

table! {
    /// The rules of [`Driver`], by name.
    DRIVER_CASES,
    /// The cases behind [`DRIVER_CASES`], in its order. They use the schema of a migrated store.
    driver_cases: Driver in Bench,
    driver::an_empty_batch_does_nothing,
    driver::values_round_trip,
    driver::a_text_of_1_mib_round_trips,
    driver::each_statement_answers_in_its_place,
    driver::changes_are_zero_exactly_when_nothing_changed,
    driver::returning_gives_rows_and_changes,
    driver::a_statement_sees_what_the_ones_before_it_did,
    driver::a_failing_third_statement_leaves_nothing,
    driver::a_batch_works_behind_one_that_failed,
    driver::sync_answers_behind_a_batch,
    driver::barrier_answers_behind_a_batch,
}
