//! Requests as a platform would hand them in: what each is, and how much of it was read for that.
//!
//! Owns the table of PROTOCOL §2 from the client's side.

use super::*;
use crate::config::IsolateConfig;
use crate::ids::{EventKey, ProjectId, SessionId, TenantId};
use crate::store::Status;
use crate::wire::code::Code;
use crate::wire::problem::Problem;
use crate::wire::request::{IfRunning, Submit};
use crate::wire::view::{Start, ViewKind};
use futures::executor::block_on;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::VecDeque;

/// One request, and how many pieces of its body were asked for.
#[derive(Clone)]
struct Request {
    method: &'static str,
    host: &'static str,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    chunks: VecDeque<Result<Vec<u8>, BodyCut>>,
    chunks_read: usize,
}

impl Incoming for Request {
    fn method(&self) -> Method {
        Method::parse(self.method)
    }

    fn host(&self) -> String {
        self.host.to_owned()
    }

    fn path(&self) -> String {
        self.path.clone()
    }

    fn query(&self) -> Vec<(String, String)> {
        self.query.clone()
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    }

    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, BodyCut> {
        self.chunks_read += 1;
        self.chunks.pop_front().transpose()
    }
}

/// `POST /path?name=value`; parameters stand decoded.
fn request(line: &'static str) -> Request {
    let (method, address) = line.split_once(' ').unwrap();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    Request {
        method,
        host: "localhost",
        path: path.to_owned(),
        query: pairs
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        headers: Vec::new(),
        chunks: VecDeque::new(),
        chunks_read: 0,
    }
}

impl Request {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn json(mut self, body: &str) -> Self {
        self.chunks.push_back(Ok(body.as_bytes().to_vec()));
        self.with("content-type", "application/json")
    }
}

fn config(pairs: &[(&str, &str)]) -> IsolateConfig {
    IsolateConfig::read(&|name| {
        let found = pairs.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Everybody is tenant `dev`.
fn open() -> IsolateConfig {
    config(&[("AUTH_MODE", "none")])
}

fn asked(request: &mut Request) -> Result<Asked, Problem> {
    block_on(ask(&open(), request))
}

/// The command of a request about session `s1`.
fn command_of(mut request: Request) -> Result<Command, Problem> {
    match asked(&mut request)? {
        Asked::Session(caller, command) => {
            assert_eq!(caller.session_key(), "dev:s1");
            Ok(command)
        }
        other => panic!("{other:?}"),
    }
}

fn key() -> EventKey {
    EventKey::parse("approval:1").unwrap()
}

fn page(limit: u32, cursor: Option<&str>) -> Page {
    Page {
        limit,
        cursor: cursor.map(str::to_owned),
    }
}

fn hello() -> Submit {
    Submit {
        message: Some("\"hello\"".into()),
        turn_index: None,
        model: None,
        upstream: None,
        if_running: IfRunning::Reject,
        retry_of: None,
        metadata: None,
        key: None,
    }
}

const HELLO: &str = r#"{"message":"hello"}"#;

/// Each request is its command.
fn check(cases: impl IntoIterator<Item = (Request, Command)>) {
    for (request, expected) in cases {
        let line = format!("{} {} {:?}", request.method, request.path, request.query);
        assert_eq!(command_of(request), Ok(expected), "{line}");
    }
}

#[test]
fn a_turn_is_submitted_and_followed_in_the_view_asked_for() {
    let submit = |submit, view| Command::Submit(Box::new(submit), view);
    let turns = || request("POST /v1/sessions/s1/turns").json(HELLO);
    let keyed = Submit {
        key: Some("k".into()),
        ..hello()
    };
    let follow = |from, live, view| Command::Follow {
        turn: 2,
        start: Start::Line(from),
        live,
        view,
    };
    let stream = "GET /v1/sessions/s1/turns/2/stream";
    let there = "GET /v1/sessions/s1/turns/2/stream?after=41&live=false";
    let sse = |request: Request| request.with("accept", "text/event-stream");
    check([
        (turns(), submit(hello(), ViewKind::Ndjson)),
        (sse(turns()), submit(hello(), ViewKind::Sse)),
        (
            turns().with("idempotency-key", "k"),
            submit(keyed, ViewKind::Ndjson),
        ),
        (request(stream), follow(0, true, ViewKind::Ndjson)),
        (request(there), follow(42, false, ViewKind::Ndjson)),
        (sse(request(there)), follow(42, false, ViewKind::Sse)),
    ]);
}

#[test]
fn what_is_read_of_a_session_is_named_by_its_path() {
    let read = |rest: &str| {
        let mut read = request("GET /v1/sessions/s1");
        read.path.push_str(rest);
        read
    };
    let listed = |rest, name: &str, value: &str| {
        let mut read = read(rest);
        read.query.push((name.to_owned(), value.to_owned()));
        read
    };
    check([
        (read(""), Command::Session),
        (read("/messages"), Command::Messages(page(50, None))),
        (read("/turns"), Command::Turns(page(50, None))),
        (
            listed("/turns", "cursor", "37"),
            Command::Turns(page(50, Some("37"))),
        ),
        (read("/turns/2"), Command::Turn(2)),
        (
            listed("/turns/2/steps", "limit", "200"),
            Command::Steps(2, page(200, None)),
        ),
        (read("/turns/2/events/approval:1"), Command::Event(2, key())),
    ]);
}

#[test]
fn what_is_done_to_a_session_is_named_by_its_path() {
    let post = |rest: &str| {
        let mut post = request("POST /v1/sessions/s1/turns/2/");
        post.path.push_str(rest);
        post
    };
    check([
        (request("DELETE /v1/sessions/s1"), Command::Delete),
        (post("cancel"), Command::Cancel(2, None)),
        (
            post("cancel").json(r#"{"reason":"enough"}"#),
            Command::Cancel(2, Some("enough".into())),
        ),
        (post("poke"), Command::Poke(2)),
        (
            post("events/approval:1").json(r#"{ "ok": 1.0 }"#),
            Command::Emit(2, key(), r#"{"ok":1.0}"#.into()),
        ),
    ]);
}

#[test]
fn a_tenants_runs_are_asked_of_no_session() {
    let runs = |line| match asked(&mut request(line)) {
        Ok(Asked::Runs(runs)) => {
            assert_eq!((runs.project, runs.tenant.as_str()), (None, "dev"));
            Ok(runs.list)
        }
        Ok(other) => panic!("{other:?}"),
        Err(problem) => Err((problem.status(), problem.code)),
    };
    let list = |status, session: Option<&str>, page| RunList {
        status,
        session: session.map(|session| SessionId::parse(session).unwrap()),
        page,
    };
    assert_eq!(runs("GET /v1/runs"), Ok(list(None, None, page(50, None))));
    assert_eq!(
        runs("GET /v1/runs?status=suspended&session=s1&limit=7&cursor=zz"),
        Ok(list(
            Some(Status::Suspended),
            Some("s1"),
            page(7, Some("zz"))
        ))
    );
    for bad in [
        "GET /v1/runs?status=sleeping",
        "GET /v1/runs?status=",
        "GET /v1/runs?session=a:b",
        "GET /v1/runs?limit=0",
        "GET /v1/runs?limit=201",
        "GET /v1/runs?limit=1&limit=1",
    ] {
        assert_eq!(runs(bad), Err((400, Code::InvalidRequest)), "{bad}");
    }
}

#[test]
fn an_event_source_goes_on_behind_its_last_id() {
    let start = |request: Request| match command_of(request) {
        Ok(Command::Follow { start, view, .. }) => Ok((start, view)),
        Ok(other) => panic!("{other:?}"),
        Err(problem) => Err(problem.code),
    };
    let sse = |request: Request| request.with("accept", "text/event-stream");
    let stream =
        || request("GET /v1/sessions/s1/turns/2/stream?after=3").with("last-event-id", "7");
    // A browser repeats the address of its first request for ever.
    assert_eq!(start(sse(stream())), Ok((Start::Line(8), ViewKind::Sse)));
    assert_eq!(start(stream()), Ok((Start::Line(4), ViewKind::Ndjson)));
    let bad = || request("GET /v1/sessions/s1/turns/2/stream").with("last-event-id", "x");
    assert_eq!(start(sse(bad())), Err(Code::InvalidRequest));
    assert_eq!(start(bad()), Ok((Start::Line(0), ViewKind::Ndjson)));
}

/// Requests of every route with credentials, each with a body whether it wants one or not; and whether
/// it does.
fn routes() -> Vec<(Request, bool)> {
    [
        ("GET /v1/runs", false),
        ("GET /v1/sessions/s1", false),
        ("DELETE /v1/sessions/s1", false),
        ("GET /v1/sessions/s1/messages", false),
        ("GET /v1/sessions/s1/turns", false),
        ("POST /v1/sessions/s1/turns", true),
        ("GET /v1/sessions/s1/turns/2", false),
        ("GET /v1/sessions/s1/turns/2/stream", false),
        ("GET /v1/sessions/s1/turns/2/steps", false),
        ("POST /v1/sessions/s1/turns/2/cancel", true),
        ("POST /v1/sessions/s1/turns/2/poke", false),
        ("GET /v1/sessions/s1/turns/2/events/k", false),
        ("POST /v1/sessions/s1/turns/2/events/k", true),
    ]
    .map(|(line, wants)| (request(line).json(HELLO), wants))
    .to_vec()
}

#[test]
fn a_body_is_read_where_one_is_wanted_and_nowhere_else() {
    for (mut request, wants) in routes() {
        assert!(
            asked(&mut request).is_ok(),
            "{} {}",
            request.method,
            request.path
        );
        // One more than there are, which says that this was all.
        let expected = if wants { 2 } else { 0 };
        assert_eq!(
            request.chunks_read, expected,
            "{} {}",
            request.method, request.path
        );
    }
    for line in [
        "POST /v1/sessions/s1",
        "PUT /v1/sessions/s1/turns",
        "POST /v1/sessions/a:b/turns",
        "POST /v1/sessions/s1/turns/x/cancel",
        "POST /v1/sessions/s1/turns/0/events/a%20b",
        "POST /v1/sessions/s1/turns?a=1&a=2",
        "POST /nowhere",
        "POST /healthz",
    ] {
        let mut request = request(line).json(HELLO);
        assert!(asked(&mut request).is_err(), "{line}");
        assert_eq!(request.chunks_read, 0, "{line}");
    }
}

/// A body of pieces of 64 KiB without an end, on a path with this limit.
fn check_limit(line: &'static str, most: usize) {
    const PIECE: usize = 64 * 1024;
    let too_large = Err(Problem::payload_too_large(most));
    let endless = |pieces: usize| {
        let mut request = request(line).with("content-type", "application/json");
        request.chunks = vec![Ok(vec![b' '; PIECE]); pieces].into();
        request
    };
    let mut undeclared = endless(1_000);
    assert_eq!(asked(&mut undeclared), too_large, "{line}");
    assert_eq!(undeclared.chunks_read, most / PIECE + 1, "{line}");

    let mut declared = endless(1_000).with("content-length", &(most + 1).to_string());
    assert_eq!(asked(&mut declared), too_large, "{line}");
    assert_eq!(declared.chunks_read, 0, "{line}");

    // A header that lies about a longer body hides nothing.
    let mut understated = endless(1_000).with("content-length", "5");
    assert_eq!(asked(&mut understated), too_large, "{line}");

    // As much as is allowed is read; white space is only no body that anybody takes.
    let mut whole = endless(most / PIECE).with("content-length", &most.to_string());
    let refused = asked(&mut whole).unwrap_err();
    assert_eq!(
        (refused.status(), refused.code),
        (400, Code::InvalidRequest),
        "{line}"
    );
    assert_eq!(whole.chunks_read, most / PIECE + 1, "{line}");
}

#[test]
fn a_body_is_never_read_beyond_its_limit() {
    check_limit("POST /v1/sessions/s1/turns", 1_048_576);
    check_limit("POST /v1/sessions/s1/turns/2/cancel", 1_048_576);
    check_limit("POST /v1/sessions/s1/turns/2/events/k", 262_144);
}

#[test]
fn a_body_in_pieces_is_one_body_and_half_of_one_is_none() {
    let mut split = request("POST /v1/sessions/s1/turns").with("content-type", "application/json");
    let (head, tail) = HELLO.as_bytes().split_at(14);
    split.chunks = [Ok(head.to_vec()), Ok(Vec::new()), Ok(tail.to_vec())].into();
    let whole = Command::Submit(Box::new(hello()), ViewKind::Ndjson);
    assert_eq!(command_of(split.clone()), Ok(whole));
    split.chunks = [Ok(head.to_vec()), Err(BodyCut)].into();
    let refused = Err(Problem::invalid_request("the body broke off"));
    assert_eq!(command_of(split), refused);
}

#[test]
fn a_parameter_that_stands_twice_is_refused_whatever_it_is() {
    for (mut request, _) in routes() {
        for name in ["after", "limit", "x", ""] {
            let pair = |value: &str| (name.to_owned(), value.to_owned());
            request.query = vec![pair("1"), ("other".into(), "1".into()), pair("1")];
            let rule = "a query parameter must not stand twice";
            let refused = Err(Problem::invalid_request(rule));
            assert_eq!(
                asked(&mut request),
                refused,
                "{} {}",
                request.method,
                request.path
            );
        }
    }
}

#[test]
fn nothing_is_looked_at_before_the_caller_is_known() {
    let digest = hex::encode(Sha256::digest("token-a"));
    let tokens = format!(r#"{{"{digest}":{{"tenant":"acme","user":"ann"}}}}"#);
    let with_tokens = config(&[("API_TOKENS", &tokens), ("PROJECT", "eu")]);
    let mut all: Vec<Request> = routes().into_iter().map(|(request, _)| request).collect();
    all.extend(
        [
            "GET /nowhere",
            "PUT /v1/sessions/a:b/turns/x/stream?after=zz&after=zz",
            "GET /healthz/",
        ]
        .map(request),
    );
    for request in all {
        for credentials in ["", "Bearer token-b", "Basic token-a", "token-a"] {
            let mut request = request.clone();
            if !credentials.is_empty() {
                request = request.with("authorization", credentials);
            }
            let refused = block_on(ask(&with_tokens, &mut request));
            assert_eq!(refused, Err(Problem::unauthorized()), "{}", request.path);
            assert_eq!(request.chunks_read, 0, "{}", request.path);
        }
    }
    let mut known = request("GET /v1/sessions/s1")
        .with("authorization", "Bearer token-a")
        .with("x-tenant", "bolt");
    known.query = vec![("tenant".into(), "bolt".into())];
    let caller = Caller {
        project: Some(ProjectId::parse("eu").unwrap()),
        tenant: TenantId::parse("acme").unwrap(),
        user: Some("ann".into()),
        session: SessionId::parse("s1").unwrap(),
    };
    let asked = block_on(ask(&with_tokens, &mut known));
    assert_eq!(asked, Ok(Asked::Session(caller, Command::Session)));
}

#[test]
fn health_needs_no_credentials_and_no_configuration() {
    let nothing = config(&[("PROJECT", "a:b"), ("AUTH_MODE", "nonsense")]);
    let health = |line| block_on(ask(&nothing, &mut request(line)));
    assert_eq!(health("GET /healthz"), Ok(Asked::Health));
    assert_eq!(health("GET /healthz?a=1&a=2"), Ok(Asked::Health));
    for line in ["POST /healthz", "DELETE /healthz", "HEAD /healthz"] {
        let refused = Err(Problem::method_not_allowed("GET, OPTIONS"));
        assert_eq!(health(line), refused, "{line}");
    }
}

#[test]
fn a_bad_variable_refuses_the_requests_that_need_it() {
    let refused = |pairs: &[(&str, &str)], line| {
        block_on(ask(&config(pairs), &mut request(line))).unwrap_err()
    };
    let open = ("AUTH_MODE", "none");
    for line in [
        "GET /v1/runs",
        "GET /v1/sessions/s1",
        "POST /v1/sessions/s1/turns",
    ] {
        let bad_project = refused(&[open, ("PROJECT", "a:b")], line);
        assert_eq!(bad_project, Problem::misconfigured("PROJECT"), "{line}");
        let bad_tokens = refused(&[("API_TOKENS", "{")], line);
        assert_eq!(bad_tokens, Problem::misconfigured("API_TOKENS"), "{line}");
        assert_eq!(refused(&[], line), Problem::auth_not_configured(), "{line}");
    }
    // What a path or a page needs is nothing of theirs.
    assert_eq!(
        refused(&[open, ("PROJECT", "a:b")], "GET /nowhere").status(),
        404
    );
    let spoilt = config(&[open, ("CORS_ORIGINS", "*"), ("D1_LOG_DAYS", "x")]);
    assert!(block_on(ask(&spoilt, &mut request("GET /v1/sessions/s1"))).is_ok());
    // A stranger's host is no loopback.
    let mut elsewhere = request("GET /v1/sessions/s1");
    elsewhere.host = "api.example.com";
    assert_eq!(asked(&mut elsewhere), Err(Problem::auth_not_configured()));
}

#[test]
fn who_asks_is_known_on_paths_of_others_too() {
    let request = request("GET /mine");
    let caller = |config: &IsolateConfig, session| caller(config, &request, session);
    let of = |session| caller(&open(), session).map(|caller| caller.session_key());
    assert_eq!(of("s1").as_deref(), Ok("dev:s1"));
    assert_eq!(of("a:b").map_err(|problem| problem.status()), Err(400));
    assert_eq!(
        caller(&config(&[]), "a:b"),
        Err(Problem::auth_not_configured())
    );
}

#[test]
fn a_caller_has_the_deployments_project_on_every_path() {
    for (project, key) in [(None, "dev:s1"), (Some("eu"), "eu:dev:s1")] {
        let mut pairs = vec![("AUTH_MODE", "none")];
        pairs.extend(project.map(|project| ("PROJECT", project)));
        let config = config(&pairs);
        let own = caller(&config, &request("GET /mine"), "s1").unwrap();
        assert_eq!(own.session_key(), key);
        for mut asked in [
            request("GET /v1/sessions/s1"),
            request("DELETE /v1/sessions/s1"),
        ] {
            let asked = block_on(ask(&config, &mut asked)).unwrap();
            let Asked::Session(caller, _) = asked else {
                panic!("{asked:?}");
            };
            assert_eq!(caller, own);
        }
        let asked = block_on(ask(&config, &mut request("GET /v1/runs"))).unwrap();
        let Asked::Runs(runs) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!(runs.project, own.project);
    }
}

#[test]
fn a_submit_that_names_nothing_is_given_a_key() {
    let drawn = Cell::new(0);
    let draw = || {
        drawn.set(drawn.get() + 1);
        0xabc
    };
    let key_of = |submit: Submit| {
        let mut command = Command::Submit(Box::new(submit), ViewKind::Ndjson);
        command.make_repeatable(draw);
        assert!(command.is_repeatable());
        match command {
            Command::Submit(submit, _) => submit.key,
            other => panic!("{other:?}"),
        }
    };
    let generated = key_of(hello()).unwrap();
    assert_eq!(generated, "steadfast-00000000000000000000000000000abc");
    assert_eq!(drawn.get(), 1);
    // It has the form of a client's own.
    let own = request("POST /v1/sessions/s1/turns")
        .json(HELLO)
        .with("idempotency-key", &generated);
    assert!(command_of(own).is_ok());
    let keyed = Submit {
        key: Some("k".into()),
        ..hello()
    };
    assert_eq!(key_of(keyed).as_deref(), Some("k"));
    let at_index = Submit {
        turn_index: Some(0),
        ..hello()
    };
    assert_eq!(key_of(at_index), None);
    let mut other = Command::Poke(0);
    other.make_repeatable(draw);
    assert_eq!((other, drawn.get()), (Command::Poke(0), 1));
}

#[test]
fn only_a_submit_that_names_nothing_must_not_be_repeated() {
    for (mut request, _) in routes() {
        if let Ok(Asked::Session(_, command)) = asked(&mut request) {
            let is_submit = matches!(command, Command::Submit(..));
            assert_eq!(command.is_repeatable(), !is_submit, "{command:?}");
        }
    }
}
