//! What a durable run was asked for, and the hash that tells whether it is asked for the same again.
//!
//! PERSISTED: fields of [`Manifest`] and [`TaskRef`] are add-only; every one added later has a serde
//! default. What [`Manifest::hash`] takes in is fixed: one thing more would make every stored run another.
//! Owns these shapes. It doesn't own the tenant, which no hash takes in: it is part of the run's id
//! (`ids::derive_execution_id`), so that two tenants never meet under one.
//! Invariant: the input is a JSON object, and stays the text that it was written as.

use crate::json::canonical::{self, Invalid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a run is for and what it is given.
///
/// ```
/// use steadfast::run::manifest::Manifest;
///
/// let input = serde_json::json!({ "customer": "c-17" });
/// let manifest = Manifest::new("billing", "invoice-42", "Write an invoice.", "finance", &input)?
///     .with_scenario("november")
///     .with_tag("tenant_id", "acme");
/// assert_eq!(manifest.hash()?.len(), 64);
/// # Ok::<(), steadfast::json::canonical::Invalid>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The project it belongs to.
    pub project_id: String,
    /// What the run is one case of, such as a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario_id: Option<String>,
    /// What is to be done.
    pub task: TaskRef,
    /// What it is done with.
    pub input: JsonObject,
    /// For finding runs; not hashed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The task of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRef {
    /// Its id.
    pub id: String,
    /// What it is to achieve.
    pub intent: String,
    /// The field it belongs to.
    pub domain: String,
    /// What must be known before it can be done, as any JSON; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_knowledge: Option<Box<RawValue>>,
    /// Anything else; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
}

/// The text of a JSON object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct JsonObject(Box<RawValue>);

impl JsonObject {
    /// The JSON of a Rust value, refused when it is not an object or a number in it not finite.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Invalid> {
        raw(value)?.try_into()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl TryFrom<Box<RawValue>> for JsonObject {
    type Error = Invalid;

    fn try_from(text: Box<RawValue>) -> Result<Self, Invalid> {
        // A RawValue is valid JSON without white space around it.
        if text.get().starts_with('{') {
            Ok(Self(text))
        } else {
            Err(Invalid::NotAnObject)
        }
    }
}

/// The JSON of a Rust value, kept as text.
fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, Invalid> {
    let text = canonical::to_json(value)?;
    RawValue::from_string(text).map_err(|error| Invalid::NotJson(error.to_string()))
}

impl Manifest {
    /// A manifest with what every run has. `input` must be an object when written as JSON.
    pub fn new<T: Serialize + ?Sized>(
        project_id: impl Into<String>,
        task_id: impl Into<String>,
        intent: impl Into<String>,
        domain: impl Into<String>,
        input: &T,
    ) -> Result<Self, Invalid> {
        Ok(Self {
            project_id: project_id.into(),
            scenario_id: None,
            task: TaskRef {
                id: task_id.into(),
                intent: intent.into(),
                domain: domain.into(),
                required_knowledge: None,
                metadata: None,
            },
            input: JsonObject::of(input)?,
            tags: BTreeMap::new(),
        })
    }

    /// Says what the run is one case of.
    pub fn with_scenario(mut self, scenario_id: impl Into<String>) -> Self {
        self.scenario_id = Some(scenario_id.into());
        self
    }

    /// Says what must be known first: anything that is JSON.
    pub fn with_required_knowledge<T: Serialize + ?Sized>(
        mut self,
        required: &T,
    ) -> Result<Self, Invalid> {
        self.task.required_knowledge = Some(raw(required)?);
        Ok(self)
    }

    /// Adds what else is to be known of the task: an object.
    pub fn with_metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> Result<Self, Invalid> {
        self.task.metadata = Some(JsonObject::of(metadata)?);
        Ok(self)
    }

    /// Adds a tag; the last value of a name counts.
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// The identity of what is asked for: project, scenario, the task's id, intent and domain, and the
    /// input. Two manifests with one hash ask for the same, whatever their tags, metadata and required
    /// knowledge.
    ///
    /// Refused when the input's text holds a number beyond a double's range, or is nested too deep.
    pub fn hash(&self) -> Result<String, Invalid> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Hashed<'a> {
            project_id: &'a str,
            scenario_id: Option<&'a str>,
            task_id: &'a str,
            task_intent: &'a str,
            task_domain: &'a str,
            input: &'a JsonObject,
        }
        canonical::canonical_hash(&Hashed {
            project_id: &self.project_id,
            scenario_id: self.scenario_id.as_deref(),
            task_id: &self.task.id,
            task_intent: &self.task.intent,
            task_domain: &self.task.domain,
            input: &self.input,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(
        scenario: Option<&str>,
        [project, id, intent, domain]: [&str; 4],
        input: &str,
    ) -> String {
        let input: Box<RawValue> = serde_json::from_str(input).unwrap();
        let mut manifest = Manifest::new(project, id, intent, domain, &input).unwrap();
        manifest.scenario_id = scenario.map(str::to_owned);
        manifest.hash().unwrap()
    }

    #[test]
    fn hashes_are_those_of_the_origin() {
        let chat_intent = "Run a legal chat turn with workspace context.";
        let cases = [
            (
                Some("scenario-1"),
                ["test-project", "task-1", "unit-test", "test"],
                r#"{"x":1}"#,
                "7857c665dcc14de7d7db3e86692d6a9bb40990288dbb9f8ead2a2ba4ad7b145f",
            ),
            (
                Some("persona-1"),
                ["test", "task-1", "chat", "test"],
                r#"{"q":"hello"}"#,
                "d33c9dbca1d56f215ad5ab3c97f586e56850eae112aebeb8ddfacf19c4b49a8a",
            ),
            (
                None,
                ["p", "t", "i", "d"],
                "{}",
                "1a670bbb209eac22e13873d497599c39aebeeda2a2ec74e7e6f326ead9ec7c44",
            ),
            (
                Some("thread-1"),
                [
                    "legal-agent",
                    "legal-agent:chat:thread-1:0",
                    chat_intent,
                    "legal",
                ],
                r#"{"userMessage":"hello","model":null}"#,
                "e1edc392da8ab77c9e0c9734ef74ea006df19d00d46cb98ff0c14ac51bc993d3",
            ),
        ];
        for (scenario, task, input, expected) in cases {
            assert_eq!(hash(scenario, task, input), expected, "{task:?}");
        }
    }

    fn manifest() -> Manifest {
        Manifest::new("p", "t", "i", "d", &json!({ "a": 1, "b": [2] })).unwrap()
    }

    #[test]
    fn what_is_hashed_makes_another_run_and_nothing_else_does() {
        let same = manifest().hash().unwrap();
        let other = |change: fn(&mut Manifest)| {
            let mut changed = manifest();
            change(&mut changed);
            changed.hash().unwrap()
        };
        let hashed: [fn(&mut Manifest); 7] = [
            |m| m.project_id = "q".to_owned(),
            |m| m.scenario_id = Some("s".to_owned()),
            |m| m.scenario_id = Some(String::new()),
            |m| m.task.id = "u".to_owned(),
            |m| m.task.intent = "j".to_owned(),
            |m| m.task.domain = "e".to_owned(),
            |m| m.input = JsonObject::of(&json!({ "a": 1, "b": [3] })).unwrap(),
        ];
        for (at, change) in hashed.into_iter().enumerate() {
            assert_ne!(other(change), same, "change {at}");
        }
        let described = manifest()
            .with_required_knowledge(&["k"])
            .and_then(|m| m.with_metadata(&json!({ "tenantId": "acme" })))
            .unwrap()
            .with_tag("tenant_id", "acme");
        assert_eq!(described.hash().as_ref(), Ok(&same));
        let respelled: Box<RawValue> =
            serde_json::from_str(r#"{ "b" : [2e0], "\u0061":1.0}"#).unwrap();
        let respelled = Manifest::new("p", "t", "i", "d", &respelled).unwrap();
        assert_eq!(respelled.hash(), Ok(same));
    }

    #[test]
    fn an_input_is_an_object_of_finite_numbers() {
        let of = |input| Manifest::new("p", "t", "i", "d", &input).map(drop);
        for input in [json!(null), json!(1), json!("{}"), json!([{}])] {
            assert_eq!(of(input.clone()), Err(Invalid::NotAnObject), "{input}");
        }
        let with_nan = BTreeMap::from([("a", vec![1.0, f64::NAN])]);
        let refused = Manifest::new("p", "t", "i", "d", &with_nan).map(drop);
        assert_eq!(refused, Err(Invalid::NotFinite));
        assert_eq!(
            manifest().with_metadata(&[1]).map(drop),
            Err(Invalid::NotAnObject)
        );
        assert_eq!(
            manifest().with_required_knowledge(&f64::INFINITY).map(drop),
            Err(Invalid::NotFinite)
        );
        let beyond: Box<RawValue> = serde_json::from_str(r#"{"a":1e999}"#).unwrap();
        let beyond = Manifest::new("p", "t", "i", "d", &beyond).unwrap();
        assert_eq!(beyond.hash(), Err(Invalid::NotFinite));
    }

    #[test]
    fn stored_manifests_stay_readable() {
        let least = r#"{"projectId":"p","task":{"id":"t","intent":"i","domain":"d"},"input":{}}"#;
        let most = concat!(
            r#"{"projectId":"p","scenarioId":"s","task":{"id":"t","intent":"i","domain":"d","#,
            r#""requiredKnowledge":[{"id":"k"}],"metadata":{"z":1.0,"a":"\ud800"}},"#,
            r#""input":{"z":1.0,"a":12345678901234567890},"tags":{"a":"1","b":"2"}}"#
        );
        for text in [least, most] {
            let read: Manifest = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let read: Manifest = serde_json::from_str(most).unwrap();
        let made = Manifest::new("p", "t", "i", "d", &read.input)
            .and_then(|m| m.with_required_knowledge(&json!([{ "id": "k" }])))
            .and_then(|m| m.with_metadata(&read.task.metadata))
            .unwrap()
            .with_scenario("s")
            .with_tag("a", "0")
            .with_tag("b", "2")
            .with_tag("a", "1");
        assert_eq!(serde_json::to_string(&made).unwrap(), most);
        assert_eq!(made.input.as_str(), r#"{"z":1.0,"a":12345678901234567890}"#);
        for text in [
            r#"{"projectId":"p","task":{"id":"t","intent":"i","domain":"d"},"input":[]}"#,
            r#"{"projectId":"p","task":{"id":"t","intent":"i","domain":"d"}}"#,
        ] {
            assert!(serde_json::from_str::<Manifest>(text).is_err(), "{text}");
        }
    }
}
