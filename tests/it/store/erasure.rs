//! What an object let go must not come back through a late begin.
//!
//! Owns where the contract meets the operations of an object's own storage; those have their own
//! tests beside `ship/`.

use super::record::{begin, lines, message, run_state};
use super::sqlite;
use futures::executor::block_on;
use steadfast::ids::run_id;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    Begun, Changes, Error, Fence, Role, Section, SqlStore, Status, Store, Transition,
};

const KEY: &str = "t:s";

/// Begins turn 0 and completes it, with two lines and both messages.
async fn finish(store: &SqlStore<NativeSqlite>) -> Result<(), Error> {
    assert_eq!(store.begin(&begin(KEY, 0, 1)).await, Ok(Begun::Begun));
    let changes = Changes {
        lines: Some(lines(1, 1)),
        steps: vec![],
        transition: Some(Box::new(Transition {
            state: run_state(Status::Completed, 2, 1),
            message: Some(message(0, Role::Assistant, "\"answer\"")),
            upstream_cancel: None,
        })),
    };
    let fence = Fence { epoch: 1 };
    store
        .commit(KEY, &run_id(KEY, 0), fence, 1, &changes, 2)
        .await
}

#[test]
fn an_erased_turn_never_begins_again() {
    let store = sqlite(Section::Object);
    let outcome: Result<(), Error> = block_on(async {
        finish(&store).await?;
        store.bury(KEY, 3).await?;
        store.forget_content().await?;
        let tombstone = store.session(KEY).await?;
        assert_eq!(store.begin(&begin(KEY, 0, 4)).await?, Begun::Taken);
        assert_eq!(store.session(KEY).await?, tombstone);
        assert_eq!(store.runs(KEY, 0, 10).await?, []);
        assert_eq!(store.log(&run_id(KEY, 0), 0, 10).await?, []);
        assert_eq!(store.messages(KEY, None, 10).await?, []);
        assert_eq!(store.begin(&begin(KEY, 1, 5)).await?, Begun::Begun);
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_late_begin_of_a_dropped_log_brings_nothing_back() {
    let store = sqlite(Section::Object);
    let outcome: Result<(), Error> = block_on(async {
        finish(&store).await?;
        let id = run_id(KEY, 0);
        let run = store.run(&id).await?.ok_or(Error::Missing)?;
        store
            .mark_shipped(&id, run.rev, run.state.line_count)
            .await?;
        assert_eq!(store.unshipped(10).await?, []);
        assert_eq!(store.drop_logs(i64::MAX, 10).await?, 1);
        assert_eq!(store.begin(&begin(KEY, 0, 4)).await?, Begun::Taken);
        assert_eq!(store.log(&id, 0, 10).await?, []);
        assert_eq!(store.unshipped(10).await?, []);
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
}
