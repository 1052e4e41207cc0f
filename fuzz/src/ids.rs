//! Ids: what is taken comes back as it was, and different places have different names.
//!
//! An input's lines are `project|tenant|session|index`, the project possibly empty.

use crate::SECRET;
use crate::input::text;
use steadfast::ids::{
    EventKey, InvalidId, ProjectId, RunId, SessionId, StepName, TenantId, TurnId,
    derive_execution_id, execution_id, run_id, session_key,
};
use steadfast::wire::problem::Problem;
use steadfast::wire::request::{parse_event_key, parse_session};

/// Each id follows its form; and no two turns, runs or sessions ever share a name.
pub fn ids(data: &[u8]) {
    let input = text(data);
    for part in input.split(['|', '\n']).chain([input.as_str()]) {
        forms(part);
    }
    let turns: Vec<Turn> = input.lines().take(8).filter_map(Turn::read).collect();
    for one in &turns {
        one.check();
        for other in &turns {
            let same = (&one.project, &one.tenant, &one.session)
                == (&other.project, &other.tenant, &other.session);
            assert_eq!(same, one.key() == other.key(), "sessions");
            assert_eq!(
                same && one.index == other.index,
                one.execution() == other.execution(),
                "turns"
            );
        }
    }
}

/// The form of an id, said in another way than the crate says it.
fn fits(id: &str, most: usize, extra: &str) -> bool {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    (1..=most).contains(&id.len())
        && id != "."
        && id != ".."
        && id
            .chars()
            .all(|c| alphabet.contains(c) || extra.contains(c))
}

fn forms(id: &str) {
    let segment = fits(id, 64, "");
    same(id, segment, TenantId::parse(id));
    same(id, segment, SessionId::parse(id));
    same(id, segment, ProjectId::parse(id));
    same(id, fits(id, 128, ":"), EventKey::parse(id));
    same(id, fits(id, 128, ":"), StepName::parse(id));
    assert_eq!(parse_session(id).is_ok(), segment);
    assert_eq!(parse_event_key(id).is_ok(), fits(id, 128, ":"));
    if let Ok(turn) = TurnId::parse(id) {
        let key = session_key(turn.project.as_ref(), &turn.tenant, &turn.session);
        assert_eq!(run_id(&key, turn.turn_index), id);
    }
    match RunId::parse(id) {
        Ok(run) => {
            assert!(fits(id, 200, ":"));
            assert_eq!(run.as_str(), id);
        }
        Err(InvalidId::TurnForm) => assert!(fits(id, 200, ":") && id.contains(':')),
        Err(_) => assert!(!fits(id, 200, ":")),
    }
    // Stored and sent ids are read by the same rule.
    let stored = serde_json::to_string(id).expect("text is JSON");
    let read: Option<TenantId> = serde_json::from_str(&stored).ok();
    assert_eq!(read.map(String::from).as_deref(), segment.then_some(id));
}

fn same<T: AsRef<str> + std::fmt::Display>(id: &str, fits: bool, parsed: Result<T, InvalidId>) {
    match parsed {
        Ok(parsed) => {
            assert!(fits, "{id:?} was taken");
            assert_eq!(parsed.as_ref(), id);
            assert_eq!(parsed.to_string(), id);
        }
        Err(invalid) => {
            assert!(!fits, "{id:?} was refused: {invalid}");
            let problem = Problem::from(invalid);
            assert_eq!(
                (problem.status(), problem.code.name()),
                (400, "invalid_request")
            );
            assert!(!problem.to_json().contains(SECRET));
        }
    }
}

struct Turn {
    project: Option<ProjectId>,
    tenant: TenantId,
    session: SessionId,
    index: u64,
}

impl Turn {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split('|');
        let project = parts.next().filter(|text| !text.is_empty());
        Some(Turn {
            project: project.map(ProjectId::parse).transpose().ok()?,
            tenant: TenantId::parse(parts.next()?).ok()?,
            session: SessionId::parse(parts.next()?).ok()?,
            index: parts.next()?.parse().ok()?,
        })
    }

    fn key(&self) -> String {
        session_key(self.project.as_ref(), &self.tenant, &self.session)
    }

    fn execution(&self) -> String {
        derive_execution_id(
            self.project.as_ref(),
            &self.tenant,
            &self.session,
            self.index,
        )
    }

    fn check(&self) {
        let run = run_id(&self.key(), self.index);
        assert_eq!(run, self.execution());
        // It stands in a path and in a header as it is.
        assert!(
            run.bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#%\\".contains(&byte))
        );
        assert_eq!(
            RunId::parse(&run),
            Err(InvalidId::TurnForm),
            "runs and turns share no name"
        );
        let apart = TurnId {
            project: self.project.clone(),
            tenant: self.tenant.clone(),
            session: self.session.clone(),
            turn_index: self.index,
        };
        assert_eq!(TurnId::parse(&run), Ok(apart));
        let attempts = [1, 2, 3, 10, 23, u32::MAX].map(|attempt| execution_id(&run, attempt));
        for (at, one) in attempts.iter().enumerate() {
            assert!(!attempts[..at].contains(one), "attempts share a name");
        }
    }
}
