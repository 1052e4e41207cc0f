//! What comes back: whole, in order, page by page, and only one's own.

use super::scene::{
    ALL, NOW, Scene, Snapshot, done, ended, expect_eq, message, only, only_lines, only_steps, row,
    step,
};
use crate::store::{Lease, Lines, LogRow, Message, Role, Session, Status, Store};

type Verdict = Result<(), String>;

/// What JavaScript's numbers carry exactly, and so do D1 and objects.
const LARGE: i64 = 1 << 53;

pub(super) async fn what_does_not_exist_reads_as_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let nothing = Snapshot {
        session: None,
        run: None,
        log: vec![],
        messages: vec![],
        steps: vec![],
    };
    let (id, key) = (scene.run_id(0), scene.session_key());
    for _ in 0..2 {
        expect_eq("what is stored", &nothing, &scene.snapshot(0).await?)?;
        expect_eq("log_end", &Ok(0), &scene.store.log_end(&id).await)?;
        expect_eq("runs", &Ok(vec![]), &scene.store.runs(key, 0, ALL).await)?;
        let before = scene.store.messages_before(key, 9, ALL).await;
        expect_eq("messages_before", &Ok(vec![]), &before)?;
        let keyed = scene.store.run_by_key(scene.session_key(), "k").await;
        expect_eq("run_by_key", &Ok(None), &keyed)?;
    }
    Ok(())
}

pub(super) async fn reads_page_through_the_log_from_any_seq<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    scene.begin(0).await?;
    let commits: [(u64, &[&str]); 3] = [(1, &["a", "b"]), (3, &["c"]), (4, &["d", "e", "f"])];
    for (at, texts) in commits {
        done("commit", scene.commit(0, 1, at, &only_lines(texts)).await)?;
    }
    let rows = [
        row(0, 1, &["started"]),
        row(1, 1, &["a", "b"]),
        row(3, 1, &["c"]),
        row(4, 1, &["d", "e", "f"]),
    ];
    let id = scene.run_id(0);
    for from in 0..9 {
        for limit in 1..6 {
            let expected: Vec<LogRow> = rows
                .iter()
                .filter(|row| row.next_seq() > from)
                .take(limit)
                .cloned()
                .collect();
            let found = scene.store.log(&id, from, limit as u32).await;
            expect_eq(
                &format!("{limit} rows from {from}"),
                &expected,
                &done("log", found)?,
            )?;
        }
    }
    Ok(())
}

pub(super) async fn a_log_ends_behind_its_last_line<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let id = scene.run_id(0);
    expect_eq("log_end", &Ok(1), &scene.store.log_end(&id).await)?;
    done(
        "commit",
        scene.commit(0, 1, 1, &only_lines(&["a", "b"])).await,
    )?;
    expect_eq("log_end", &Ok(3), &scene.store.log_end(&id).await)?;
    scene.end(0, Status::Failed).await?;
    expect_eq("log_end", &Ok(4), &scene.store.log_end(&id).await)
}

/// The transcript of a session with `turns` finished turns.
async fn transcript<S: Store>(scene: &Scene<'_, S>, turns: u64) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    for turn in 0..turns {
        scene.finished(turn).await?;
        messages.push(message(turn, Role::User, "hi"));
        let mut answer = message(turn, Role::Assistant, "hello");
        answer.rev = 2;
        messages.push(answer);
    }
    Ok(messages)
}

pub(super) async fn messages_come_in_order<S: Store>(scene: Scene<'_, S>) -> Verdict {
    // Beyond ten, where an order of texts would differ from that of numbers.
    let all = transcript(&scene, 11).await?;
    let key = scene.session_key();
    for limit in [1, 2, 3, 22] {
        let mut found: Vec<Message> = Vec::new();
        for _ in 0..=all.len() {
            let after = found.last().map(|last| (last.turn_index, last.role));
            let page = done("messages", scene.store.messages(key, after, limit).await)?;
            if page.len() > limit as usize {
                return Err(format!(
                    "expected at most {limit} messages, found {}",
                    page.len()
                ));
            }
            found.extend(page);
        }
        expect_eq(&format!("pages of {limit}"), &all, &found)?;
    }
    Ok(())
}

pub(super) async fn messages_before_a_turn_come_newest_first<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let all = transcript(&scene, 3).await?;
    let key = scene.session_key();
    for turn in 0..5 {
        for limit in 1..8 {
            let expected: Vec<Message> = all
                .iter()
                .rev()
                .filter(|message| message.turn_index < turn)
                .take(limit)
                .cloned()
                .collect();
            let found = scene.store.messages_before(key, turn, limit as u32).await;
            let what = format!("{limit} messages before {turn}");
            expect_eq(&what, &expected, &done("messages_before", found)?)?;
        }
    }
    Ok(())
}

pub(super) async fn runs_come_by_number_of_turn<S: Store>(scene: Scene<'_, S>) -> Verdict {
    transcript(&scene, 12).await?;
    for (from, limit) in [(0, 20), (0, 3), (9, 20), (2, 9), (11, 1), (12, 5)] {
        let expected: Vec<u64> = (from..12).take(limit as usize).collect();
        let runs = scene.store.runs(scene.session_key(), from, limit).await;
        let found: Vec<u64> = done("runs", runs)?
            .iter()
            .map(|run| run.turn_index)
            .collect();
        expect_eq(&format!("{limit} runs from {from}"), &expected, &found)?;
    }
    Ok(())
}

pub(super) async fn a_session_sees_what_is_its_own_only<S: Store>(scene: Scene<'_, S>) -> Verdict {
    // Keys that begin like this one's: a longer id, and this tenant's name as another's project.
    let longer = scene.other(None, &format!("{}-2", scene.session()));
    let dotted = scene.other(None, &format!("{}.2", scene.session()));
    let below = scene.other(Some(scene.session_key()), "below");
    let scenes = [scene, longer, dotted, below];
    for (turns, scene) in (1..).zip(&scenes) {
        transcript(scene, turns).await?;
    }
    for (turns, scene) in (1_usize..).zip(&scenes) {
        let key = scene.session_key();
        let runs = done("runs", scene.store.runs(key, 0, ALL).await)?;
        let ids: Vec<&str> = runs.iter().map(|run| run.session.as_str()).collect();
        expect_eq("the runs' sessions", &vec![scene.session(); turns], &ids)?;
        let messages = done("messages", scene.store.messages(key, None, ALL).await)?;
        expect_eq("messages", &(2 * turns), &messages.len())?;
    }
    Ok(())
}

pub(super) async fn steps_come_by_index<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    for index in [10, 2, 1] {
        let steps = only_steps(&[step(index, "running")]);
        done("commit", scene.commit(0, 1, 1, &steps).await)?;
    }
    let id = scene.run_id(0);
    for (from, limit, expected) in [
        (0, ALL, vec![0, 1, 2, 10]),
        (0, 2, vec![0, 1]),
        (2, ALL, vec![2, 10]),
        (3, 1, vec![10]),
        (11, ALL, vec![]),
    ] {
        let steps = done("steps", scene.store.steps(&id, from, limit).await)?;
        let found: Vec<u32> = steps.iter().map(|step| step.index).collect();
        expect_eq(&format!("{limit} steps from {from}"), &expected, &found)?;
    }
    Ok(())
}

pub(super) async fn ids_with_quotes_newlines_nul_free_unicode_survive<S: Store>(
    scene: Scene<'_, S>,
) -> Verdict {
    let odd = "it's \"1\"; -- %_?1\r\n\té😀\u{2028}\u{feff}";
    let scene = scene.other(Some(&format!("{}{odd}", scene.tenant())), odd);
    let mut turn = scene.turn(0);
    turn.session.birth = odd.to_owned();
    turn.run.user = Some(odd.to_owned());
    turn.run.key = Some(odd.to_owned());
    turn.run.input_hash = String::new();
    turn.run.request = odd.to_owned();
    turn.first = Lines {
        attempt: 1,
        cursor: Some(odd.to_owned()),
        frame_ids: vec![None, Some(odd.to_owned())],
        text: "\"é😀'\u{2028}\"\n\n".to_owned(),
    };
    turn.run.state.line_count = 2;
    turn.message.content = odd.to_owned();
    turn.step.intent = odd.to_owned();
    scene.begin_as(&turn).await?;
    let holder = scene.take(0, odd).await?;
    expect_eq("the same token", &holder, &scene.take(0, odd).await?)?;
    let id = scene.run_id(0);
    done("emit", scene.store.emit_event(&id, odd, odd, NOW).await)?;
    expect_eq("event", &odd, &scene.event(0, odd).await?.payload.as_str())?;
    let keyed = scene.store.run_by_key(scene.session_key(), odd).await;
    expect_eq(
        "run_by_key",
        &Some(id),
        &done("run_by_key", keyed)?.map(|run| run.run_id),
    )?;

    let found = scene.snapshot(0).await?;
    expect_eq("session", &Some(turn.session), &found.session)?;
    let run = found
        .run
        .map(|run| (run.user, run.key, run.input_hash, run.request));
    let sent = (
        turn.run.user,
        turn.run.key,
        turn.run.input_hash,
        turn.run.request,
    );
    expect_eq("run", &Some(sent), &run)?;
    expect_eq("messages", &vec![turn.message], &found.messages)?;
    expect_eq("steps", &vec![turn.step], &found.steps)?;
    let log: Vec<_> = found
        .log
        .into_iter()
        .map(|row| (row.count, row.cursor, row.lines))
        .collect();
    expect_eq("log", &vec![(2, turn.first.cursor, turn.first.text)], &log)?;
    let ids: Option<Vec<Option<String>>> = scene
        .log(0)
        .await?
        .first()
        .and_then(|row| serde_json::from_str(&row.frame_ids).ok());
    expect_eq("frame ids", &Some(turn.first.frame_ids), &ids)
}

pub(super) async fn large_numbers_up_to_2_53_survive<S: Store>(scene: Scene<'_, S>) -> Verdict {
    let mut turn = scene.turn(0);
    turn.session = Session {
        created_at: LARGE,
        updated_at: LARGE - 1,
        deleted_at: Some(-LARGE),
        ..turn.session
    };
    turn.run.created_at = LARGE;
    turn.run.rev = LARGE as u64 - 1;
    turn.run.lease = Some(Lease {
        holder: "a".to_owned(),
        until: LARGE,
    });
    turn.run.state.wake_at = Some(LARGE);
    turn.run
        .state
        .attempts
        .iter_mut()
        .for_each(|attempt| attempt.started_at = LARGE - 1);
    turn.message.retry_of = Some(LARGE as u64);
    turn.step.attempts = u32::MAX;
    turn.step.completed_at = Some(LARGE);
    scene.begin_as(&turn).await?;
    let stored = Snapshot {
        session: Some(turn.session),
        run: Some(turn.run),
        log: vec![row(0, 1, &["started"])],
        messages: vec![turn.message],
        steps: vec![turn.step],
    };
    expect_eq("what is stored", &stored, &scene.snapshot(0).await?)?;

    let mut end = ended(0, Status::Completed, 1);
    end.state.finished_at = Some(LARGE);
    done("commit", scene.commit(0, 1, 1, &only(end.clone())).await)?;
    let found = scene.run(0).await?;
    expect_eq("rev", &(LARGE as u64), &found.rev)?;
    expect_eq("state", &end.state, &found.state)
}

pub(super) async fn a_1_mib_line_survives<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    // Two bytes a character, so that it is the bytes that count.
    let line = "é".repeat(crate::caps::FRAME_BYTES / 2);
    let id = scene.run_id(0);
    let mut lines = only_lines(&["x"]);
    if let Some(lines) = &mut lines.lines {
        lines.text = format!("{line}\n");
    }
    done("commit", scene.commit(0, 1, 1, &lines).await)?;
    let rows = done("log", scene.store.log(&id, 1, ALL).await)?;
    // Not `expect_eq`: a difference would print both.
    let found = rows.iter().map(|row| row.lines.trim_end_matches('\n'));
    if found.eq([line.as_str()]) {
        return Ok(());
    }
    let lengths: Vec<usize> = rows.iter().map(|row| row.lines.len()).collect();
    Err(format!(
        "expected one row of {} bytes, found {lengths:?}",
        line.len() + 1
    ))
}

pub(super) async fn migrating_twice_changes_nothing<S: Store>(scene: Scene<'_, S>) -> Verdict {
    scene.begin(0).await?;
    let before = scene.snapshot(0).await?;
    for later in 1..3 {
        done("migrate", scene.store.migrate(NOW + later).await)?;
        expect_eq("what is stored", &before, &scene.snapshot(0).await?)?;
    }
    done("sync", scene.store.sync().await)?;
    scene.end(0, Status::Completed).await
}
