//! Whose a failure's code is: the author's, told as it is, or one of ours.
//!
//! Owns the cases in which the two read alike, live, in a replay, and in records of before the mark.

use super::{Done, at_once, completed, execute, options, run, steps, stored};
use crate::support::{Ctx, World};
use steadfast::run::{
    DurableContext, Error, RetryPolicy, RunMode, StepError, StepOptions, run_durable,
};
use steadfast::wire::code::{Code, FailureCode};

/// A body that has two steps fail, one as its author says and one by its time, and tells whose the
/// codes are.
async fn two_timeouts(ctx: Ctx) -> Result<Vec<String>, Error> {
    let authors = ctx.step("authors", async |_| {
        Err::<(), _>(StepError::new("step_timeout", "as the author says"))
    });
    let authors = authors.await;
    let slow = StepOptions::new("slow").timeout_ms(10);
    let ours = ctx.step(slow, async |_| {
        std::future::pending::<Result<(), _>>().await
    });
    let ours = ours.await;
    let whose = |ended: Result<(), Error>| match ended {
        Err(Error::StepFailed { code, .. }) => match code {
            FailureCode::Ours(code) => format!("ours {code}"),
            FailureCode::Author(code) => format!("author {code}"),
        },
        ended => format!("{ended:?}"),
    };
    Ok(vec![whose(authors), whose(ours)])
}

#[test]
fn a_replay_knows_an_authors_code_from_its_namesake_of_ours() {
    let world = World::new(0);
    let told = ["author step_timeout", "ours step_timeout"].map(str::to_owned);
    let told = Vec::from(told);
    let first = run(&world, options(), two_timeouts);
    assert_eq!(first, completed(told.clone(), RunMode::Fresh));
    let marks: Vec<(String, bool)> = steps(&world)
        .into_iter()
        .flat_map(|step| step.detail.failures)
        .map(|failure| (failure.code, failure.author))
        .collect();
    let expected = [
        ("step_timeout".to_owned(), true),
        ("step_timeout".to_owned(), false),
    ];
    assert_eq!(marks, expected);
    let again = run(&world, options(), two_timeouts);
    assert_eq!(again, completed(told, RunMode::Replayed));
}

#[test]
fn a_record_of_before_the_mark_is_read_by_its_name() {
    let world = World::new(0);
    let first = run(&world, options(), two_timeouts);
    assert!(first.is_ok());
    execute(
        &world,
        "UPDATE steps SET detail = replace(detail, '\"author\":true,', '')",
    );
    let told = ["ours step_timeout", "ours step_timeout"].map(str::to_owned);
    let again = run(&world, options(), two_timeouts);
    assert_eq!(again, completed(Vec::from(told), RunMode::Replayed));
}

#[test]
fn a_policy_tries_an_authors_code_by_its_name_and_ours_by_the_table() {
    let tries = |policy: RetryPolicy, code: &'static str| {
        let world = World::new(0);
        let done = Done::default();
        let noted = done.clone();
        let ended = run(&world, options(), async move |ctx| {
            let step = StepOptions::new("one").retry(policy);
            ctx.step(step, async |_| {
                noted.note("tried");
                Err::<(), _>(StepError::new(code, ""))
            })
            .await
        });
        assert!(ended.is_err());
        done.all().len()
    };
    let policy = RetryPolicy::attempts(3);
    assert_eq!(tries(policy.clone(), "step_timeout"), 3);
    assert_eq!(
        tries(policy.clone().only(&["step_timeout"]), "step_timeout"),
        3
    );
    let ours = policy.only_ours(&[Code::StepTimeout, Code::StepInterrupted]);
    assert_eq!(tries(ours, "step_timeout"), 1);
}

#[test]
fn what_reads_like_a_code_of_ours_ends_a_run_as_its_authors() {
    // Ours of these names would leave the run open, for whoever takes it next.
    for code in ["lease_lost", "store_unavailable", "workspace_failed"] {
        let world = World::new(0);
        let body = async move |_| Err::<(), _>(Error::failed(code, "as the author says"));
        let ended = run(&world, options(), body);
        assert_eq!(ended, Err(Error::failed(code, "as the author says")));
        let state = stored(&world).state;
        assert_eq!(state.status.name(), "failed");
        let error = state.last_error.expect("it says why");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            (code, "as the author says")
        );
    }
}

#[test]
fn a_code_of_another_form_is_told_as_such_and_nothing_is_lost() {
    let world = World::new(0);
    let ended = at_once(&world, |worker| async move {
        run_durable(&worker.ports, &worker.store, options(), async |ctx| {
            let failed = ctx.step("one", async |_| {
                Err::<(), _>(StepError::new("HTTP 503", "the till is closed"))
            });
            failed.await
        })
        .await
    });
    let error = ended.unwrap_err();
    assert_eq!(error.code(), Code::InvalidCode.into());
    let error = stored(&world).state.last_error.expect("it says why");
    assert_eq!(error.code, "invalid_code");
    let told = r#"the till is closed (a code is [a-z0-9_]{1,64}, not "HTTP 503")"#;
    assert!(error.message.ends_with(told), "{}", error.message);
    let failure = &steps(&world)[0].detail.failures[0];
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("invalid_code", told)
    );
}
