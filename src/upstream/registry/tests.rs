//! Names, what is stored under them, and whom a stored run asks.

use super::super::scripted::{Scripted, ask, head};
use super::*;
use futures::executor::block_on;

const OWN_NAMES: OwnNames<'static> = OwnNames {
    upstreams: &["words"],
    tasks: &["research"],
};

/// What is stored of a kind; a kind that is missing here doesn't compile.
const fn stored(kind: BuiltIn) -> &'static str {
    match kind {
        BuiltIn::Demo => r#"{"kind":"demo"}"#,
        BuiltIn::Sandbox => r#"{"kind":"sandbox","url":"http://a"}"#,
        BuiltIn::OpenaiChat => r#"{"kind":"openai-chat","url":"http://a","model":"m"}"#,
    }
}

fn read(stored: &str) -> Resolved {
    let read: Resolved = serde_json::from_str(stored).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    read
}

fn offered(name: &str) -> Option<Offered> {
    Offered::parse(name.to_owned(), OWN_NAMES)
}

#[test]
fn a_stored_upstream_is_read_again() {
    for kind in BuiltIn::ALL {
        let stored = stored(*kind);
        let resolved = read(stored);
        assert_eq!(resolved.kind, UpstreamKind::BuiltIn(*kind));
        assert_eq!(resolved.public_name(), kind.name());
        // What requests and variables call it comes to the same.
        let (url, model) = (resolved.url.as_deref(), resolved.model.as_deref());
        let offered = offered(kind.name()).expect("it is offered");
        assert_eq!(offered.resolve(url, model), resolved);
        assert_eq!(offered.name(), kind.name());
        assert_eq!(resolved.url.is_some(), kind.needs().url, "{kind:?}");
        assert!(is_built_in(kind.name()));
    }
}

#[test]
fn no_two_kinds_share_a_name() {
    for kind in BuiltIn::ALL {
        assert_eq!(BuiltIn::named(kind.name()), Some(*kind));
        assert!(![OWN, TASK].contains(&kind.name()));
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(kind.name().bytes().all(fits), "{kind:?}");
    }
}

#[test]
fn what_is_a_deployments_own_is_read_again() {
    let words = read(r#"{"kind":"own","name":"words","model":"m"}"#);
    assert_eq!(words.kind, UpstreamKind::Own);
    assert_eq!(words.public_name(), "words");
    assert_eq!(
        offered("words").map(|found| found.resolve(Some("http://a"), Some("m"))),
        Some(words)
    );
    let task = read(r#"{"kind":"task","name":"research"}"#);
    assert_eq!(task.kind, UpstreamKind::Task);
    assert_eq!(task.public_name(), "task:research");
    assert_eq!(
        offered("task:research").map(|found| found.resolve(None, None)),
        Some(task)
    );
    // No request names a kind of these by itself, or what the code doesn't have.
    for unknown in [
        "own",
        "task",
        "research",
        "task:words",
        "task:",
        "other",
        "",
    ] {
        assert_eq!(offered(unknown), None, "{unknown:?}");
    }
}

#[test]
fn a_kind_that_this_code_does_not_know_is_kept_and_refuses_for_good() {
    let resolved = read(r#"{"kind":"telepathy","url":"http://a","model":"m"}"#);
    assert_eq!(resolved.kind, UpstreamKind::Unknown("telepathy".to_owned()));
    assert_eq!(resolved.public_name(), "telepathy");
    assert_eq!(offered("telepathy"), None);
    let here = Here::default();
    assert!(!resolved.is_here(&here));
    let missing = resolved.upstream(&here).err().expect("nobody is asked");
    assert_eq!(missing.to_string(), "this code has no upstream `telepathy`");
    let upstream = AnyUpstream::new(missing);
    // It is attached to, so that no new attempt is told before it has refused.
    assert!(upstream.capabilities().resumable);
    let refused = Some(Refusal::Rejected { status: 501 });
    assert_eq!(block_on(upstream.start(&ask())).err(), refused);
    assert_eq!(block_on(upstream.attach(&ask(), None)).err(), refused);
    assert_eq!(block_on(upstream.cancel("x")).err(), refused);
    assert!(here.network.requests().is_empty());
}

#[test]
fn a_task_is_here_and_nobody_is_asked() {
    let task = read(r#"{"kind":"task","name":"research"}"#);
    assert!(task.is_here(&Here::default()));
    assert!(task.upstream(&Here::default()).is_err());
}

/// A deployment without upstreams of its own. Every server refuses.
#[derive(Default)]
struct Here {
    network: Scripted,
    demo: Scripted,
}

impl Means for Here {
    type Http = Scripted;
    type Own = Missing;

    fn network(&self) -> Scripted {
        self.network.clone()
    }

    fn demo_agent(&self) -> Scripted {
        self.demo.clone()
    }

    fn key(&self) -> Option<String> {
        Some("k-1".to_owned())
    }

    fn own(&self, _name: &str) -> Option<Missing> {
        None
    }
}

#[test]
fn each_kind_asks_the_server_that_the_run_was_accepted_with() {
    for kind in BuiltIn::ALL {
        let (network, demo) = (
            Scripted::answer(Ok(head(400))),
            Scripted::answer(Ok(head(400))),
        );
        let here = Here { network, demo };
        let resolved = read(stored(*kind));
        assert!(resolved.is_here(&here));
        let upstream = resolved.upstream(&here).expect("it is made");
        let refused = block_on(upstream.start(&ask())).err();
        assert_eq!(refused, Some(Refusal::Rejected { status: 400 }), "{kind:?}");
        let asked = [here.network.requests(), here.demo.requests()].concat();
        let [request] = &asked[..] else {
            panic!("one request of {kind:?}, not {asked:?}")
        };
        let key = request.headers.get("authorization");
        match resolved.url {
            Some(url) => {
                assert!(request.url.starts_with(&url), "{kind:?}");
                assert_eq!((key, here.demo.requests().len()), (Some("Bearer k-1"), 0));
            }
            None => assert_eq!((key, here.network.requests().len()), (None, 0), "{kind:?}"),
        }
    }
}
