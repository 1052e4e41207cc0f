//! What canonical JSON is, by value and by what must not make a difference.
//!
//! Owns the vectors that the origin system was found to give; `tests/it/canonical.rs` compares random
//! documents with ECMAScript itself.

use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn check(cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(canonical_text(json).as_deref(), Ok(*expected), "{json}");
    }
}

#[test]
fn hashes_are_those_of_the_origin() {
    let cases = [
        (
            "{}",
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        ),
        (
            r#"{"x":1}"#,
            "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22",
        ),
        (
            r#"{"b":1,"10":1,"2":1,"a":1}"#,
            "9f084d902c762a57d015325d2c2c14e7451efb8ac50cac409c473c29812e9381",
        ),
        (
            "{\"z\":3,\"\u{10000}\":1,\"\u{ffff}\":2}",
            "8857e8a63b75697a1edefe7be9606c54bb1d9259f1051ecc2075fa8b623aff90",
        ),
        (
            "[1.0,-0,1e21,1e-7,0.1,123456789012345680000,5e-324]",
            "0e32f836aa52f145ba6ac0aff1f3ae0ce3bc8f08a1fc188675c4c8957fb80fb3",
        ),
    ];
    for (json, expected) in cases {
        let text = canonical_text(json).unwrap();
        assert_eq!(hash(&text), expected, "{json}");
        let value: &RawValue = serde_json::from_str(json).unwrap();
        assert_eq!(canonical_hash(value).as_deref(), Ok(expected), "{json}");
    }
    assert_eq!(
        step_id("r1", 0, "add"),
        "12a5e7fd09c68b32f99e08389d510169a6c178f5a92f990e4f460afc7ec247b2"
    );
}

#[test]
fn steps_differ_by_run_place_and_intent() {
    let ids = [
        ("r1", 0, "a"),
        ("r2", 0, "a"),
        ("r1", 1, "a"),
        ("r1", 0, "b"),
    ]
    .map(|(run, index, intent)| step_id(run, index, intent));
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
}

#[test]
fn keys_stand_in_the_order_of_utf_16_units() {
    check(&[
        (r#"{"b":1,"a":2,"":3,"B":4}"#, r#"{"":3,"B":4,"a":2,"b":1}"#),
        (
            "{\"\u{ffff}\":1,\"\u{10000}\":2,\"\u{e000}\":3}",
            "{\"\u{10000}\":2,\"\u{e000}\":3,\"\u{ffff}\":1}",
        ),
        (r#"{"ab":1,"a":2}"#, r#"{"a":2,"ab":1}"#),
        (
            r#"{"\udc00":1,"\ud800":2,"a":3}"#,
            r#"{"a":3,"\ud800":2,"\udc00":1}"#,
        ),
        (
            r#"[{"b":{"d":1,"c":2}},{"a":[]}]"#,
            r#"[{"b":{"c":2,"d":1}},{"a":[]}]"#,
        ),
        (
            r#"{"__proto__":{"b":1,"a":2}}"#,
            r#"{"__proto__":{"a":2,"b":1}}"#,
        ),
    ]);
}

#[test]
fn array_indices_come_first_and_by_number() {
    check(&[
        (
            r#"{"b":1,"10":2,"2":3,"a":4}"#,
            r#"{"2":3,"10":2,"a":4,"b":1}"#,
        ),
        (
            r#"{"4294967295":1,"4294967294":2,"4294967296":3,"99999999999":4,"5":5}"#,
            r#"{"5":5,"4294967294":2,"4294967295":1,"4294967296":3,"99999999999":4}"#,
        ),
        (
            r#"{"00":1,"01":2,"0":3,"-1":4,"+1":5,"1.0":6,"1e1":7," 1":8,"1":9,"":10}"#,
            r#"{"0":3,"1":9,"":10," 1":8,"+1":5,"-1":4,"00":1,"01":2,"1.0":6,"1e1":7}"#,
        ),
        (r#"{"4294967295":1,"!":2}"#, r#"{"!":2,"4294967295":1}"#),
        (r#"{"!":1,"4294967294":2}"#, r#"{"4294967294":2,"!":1}"#),
        // Digits of another script are no index.
        ("{\"a\":1,\"\u{0663}\":2}", "{\"a\":1,\"\u{0663}\":2}"),
        (r#"{"a":1,"\u0031":2}"#, r#"{"1":2,"a":1}"#),
    ]);
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    check(&[
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"a":1,"\u0061":[2]}"#, r#"{"a":[2]}"#),
        (r#"{"1":1,"1":2}"#, r#"{"1":2}"#),
        (r#"{"\uD800":1,"\ud800":2}"#, r#"{"\ud800":2}"#),
        (r#"{"a":[1e999,{"b":-1e999}],"a":1}"#, r#"{"a":1}"#),
    ]);
}

#[test]
fn numbers_are_printed_as_ecmascript_prints_doubles() {
    check(&[
        ("1.0", "1"),
        ("-0", "0"),
        ("-0.0e5", "0"),
        ("-1", "-1"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("9007199254740993", "9007199254740992"),
        ("12345678901234567890", "12345678901234567000"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("0.1", "0.1"),
        ("5e-324", "5e-324"),
        ("1e-400", "0"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1.5E+2", "150"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
    ]);
}

#[test]
fn numbers_beyond_a_double_are_refused() {
    let long = "9".repeat(400);
    let nested = [r#"{"a":[1,1e309,2]}"#, r#"{"a":1,"a":{"b":1e999},"c":2}"#];
    for json in ["1e999", "-1e999", &long, nested[0], nested[1]] {
        assert_eq!(canonical_text(json), Err(Invalid::NotFinite), "{json}");
    }
}

#[test]
fn strings_are_written_as_ecmascript_writes_them() {
    check(&[
        (
            r#""\u0008\u0009\u000a\u000b\u000c\u000d\u001f\u0000\u007f""#,
            "\"\\b\\t\\n\\u000b\\f\\r\\u001f\\u0000\u{7f}\"",
        ),
        (r#""\"\\\/\u00e9\u2028""#, "\"\\\"\\\\/é\u{2028}\""),
        (r#""\uD83D\uDE00""#, "\"😀\""),
        (r#""a\uD800b\uDFFF""#, r#""a\ud800b\udfff""#),
        (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
    ]);
}

#[test]
fn white_space_makes_no_difference() {
    check(&[
        (
            " { \"b\" : [ 1 ,\r\n2 ] ,\t\"a\" : { } } ",
            r#"{"a":{},"b":[1,2]}"#,
        ),
        ("\n true\t", "true"),
        ("[ ]", "[]"),
        ("[[],[[]],\"\",null,false]", "[[],[[]],\"\",null,false]"),
        (r#"{"a":"a","b":{"b":"b"}}"#, r#"{"a":"a","b":{"b":"b"}}"#),
    ]);
}

#[test]
fn what_is_not_json_is_refused_without_quoting_it() {
    for json in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"secret\":}",
        "'secret'",
        "NaN",
        "01",
        "1 2",
        "secret",
    ] {
        match canonical_text(json) {
            Err(Invalid::NotJson(why)) => assert!(!why.contains("secret"), "{why}"),
            other => panic!("{json}: {other:?}"),
        }
    }
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let arrays = |levels| "[".repeat(levels) + &"]".repeat(levels);
    let objects = |levels| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
    for nested in [arrays, objects] as [fn(usize) -> String; 2] {
        let deepest = nested(RUN_JSON_DEPTH);
        assert_eq!(canonical_text(&deepest).as_ref(), Ok(&deepest));
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
        for beyond in [nested(RUN_JSON_DEPTH + 1), nested(1_000_000)] {
            assert_eq!(canonical_text(&beyond), Err(Invalid::TooDeep));
            let raw: &RawValue = serde_json::from_str(&beyond).unwrap();
            assert_eq!(canonical(raw), Err(Invalid::TooDeep));
            assert_eq!(to_json(raw), Err(Invalid::TooDeep));
        }
        let raw: &RawValue = serde_json::from_str(&deepest).unwrap();
        assert_eq!(to_json(raw).as_ref(), Ok(&deepest));
    }
}

#[derive(Serialize)]
struct Nested(Vec<Nested>);

fn nested(levels: usize) -> Nested {
    let mut value = Nested(Vec::new());
    for _ in 1..levels {
        value = Nested(vec![value]);
    }
    value
}

#[test]
fn a_values_depth_is_bounded_like_a_texts() {
    let deepest = nested(RUN_JSON_DEPTH);
    assert!(to_json(&deepest).is_ok());
    assert!(canonical(&deepest).is_ok());
    assert_eq!(to_json(&nested(RUN_JSON_DEPTH + 1)), Err(Invalid::TooDeep));
    assert_eq!(to_json(&nested(RUN_JSON_DEPTH + 2)), Err(Invalid::TooDeep));
    // What is far too deep to be walked through at all.
    assert_eq!(to_json(&nested(5_000)), Err(Invalid::TooDeep));

    // The deepest struct may hold text, and be text.
    let mut value = serde_json::value::to_raw_value(&1).unwrap();
    for _ in 0..RUN_JSON_DEPTH {
        value = serde_json::value::to_raw_value(&[value]).unwrap();
    }
    assert!(to_json(&value).is_ok());
    let mut in_structs = serde_json::json!(null);
    for _ in 1..RUN_JSON_DEPTH {
        in_structs = serde_json::json!([in_structs]);
    }
    let raw: &RawValue = serde_json::from_str("1").unwrap();
    assert!(to_json(&(in_structs, raw)).is_ok());
}

/// Every shape that serde knows, with one number in its depths.
#[derive(Serialize)]
struct Shapes<'a> {
    zulu: f64,
    single: f32,
    option: Option<f64>,
    newtype: New,
    tuple: (u8, f64),
    pair: Pair,
    variants: [Variant; 3],
    map: BTreeMap<&'a str, f64>,
    unit: (),
    text: &'a str,
    letter: char,
    raw: &'a RawValue,
    wide: (i128, u128),
}

#[derive(Serialize)]
struct New(f64);

#[derive(Serialize)]
struct Pair(f64, bool);

#[derive(Serialize)]
enum Variant {
    Newtype(f64),
    Tuple(f64, u8),
    Struct { a: f64 },
}

fn shapes(numbers: [f64; 10]) -> Shapes<'static> {
    let [zulu, single, option, newtype, tuple, pair, a, b, c, map] = numbers;
    Shapes {
        zulu,
        single: single as f32,
        option: Some(option),
        newtype: New(newtype),
        tuple: (1, tuple),
        pair: Pair(pair, true),
        variants: [
            Variant::Newtype(a),
            Variant::Tuple(b, 2),
            Variant::Struct { a: c },
        ],
        map: BTreeMap::from([("b", 0.5), ("a", map)]),
        unit: (),
        text: "é\u{1}",
        letter: '/',
        raw: serde_json::from_str(r#"{"b":1e2,"a":"\ud800"}"#).unwrap(),
        wide: (-1, 1),
    }
}

#[test]
fn a_value_is_written_as_its_text_is() {
    let value = shapes([1.0, -0.5, 2.0, 1e21, 3.0, 4.0, 5.0, 6.0, 7.0, -0.0]);
    let expected = concat!(
        r#"{"letter":"/","map":{"a":0,"b":0.5},"newtype":1e+21,"option":2,"pair":[4,true],"#,
        r#""raw":{"a":"\ud800","b":100},"single":-0.5,"text":"é\u0001","tuple":[1,3],"unit":null,"#,
        r#""variants":[{"Newtype":5},{"Tuple":[6,2]},{"Struct":{"a":7}}],"wide":[-1,1],"zulu":1}"#
    );
    assert_eq!(canonical(&value).as_deref(), Ok(expected));
    let json = to_json(&value).unwrap();
    assert_eq!(json, serde_json::to_string(&value).unwrap());
    assert_eq!(canonical_text(&json).as_deref(), Ok(expected));
}

#[test]
fn nan_and_infinities_are_refused_wherever_they_hide() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in 0..10 {
            let mut numbers = [1.0; 10];
            numbers[at] = bad;
            let value = shapes(numbers);
            assert_eq!(to_json(&value), Err(Invalid::NotFinite), "{bad} at {at}");
            assert_eq!(canonical(&value), Err(Invalid::NotFinite), "{bad} at {at}");
        }
    }
    assert!(
        to_json(&shapes([
            f64::MAX,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0
        ]))
        .is_ok()
    );
}

#[test]
fn raw_text_beyond_a_double_is_kept_but_not_hashed() {
    let raw: &RawValue = serde_json::from_str("1e999").unwrap();
    assert_eq!(to_json(&[raw]).as_deref(), Ok("[1e999]"));
    assert_eq!(canonical(&[raw]), Err(Invalid::NotFinite));
}

#[test]
fn keys_that_cannot_be_strings_are_refused() {
    let by_pair = BTreeMap::from([((1, 2), "secret")]);
    let refused = Err(Invalid::NotJson(
        "a map has a key that can't be a string".to_owned(),
    ));
    assert_eq!(to_json(&by_pair), refused);
    assert_eq!(canonical(&by_pair), refused);
    let by_text = BTreeMap::from([(Some("a"), 1)]);
    assert_eq!(to_json(&by_text).as_deref(), Ok(r#"{"a":1}"#));
    // As in ECMAScript, an integer is a key by its decimal.
    let by_number = BTreeMap::from([(10_u64, 1), (9, 2)]);
    assert_eq!(canonical(&by_number).as_deref(), Ok(r#"{"9":2,"10":1}"#));
}

struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("the secret is 42"))
    }
}

#[test]
fn a_value_that_refuses_is_not_quoted() {
    match to_json(&[Refusing]) {
        Err(Invalid::NotJson(why)) => assert!(!why.contains("42"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// A document whose objects are lists of members, so that their order is free.
#[derive(Clone, Debug)]
enum Doc {
    Number(f64),
    Text(Vec<u16>),
    Array(Vec<Doc>),
    Object(Vec<(Vec<u16>, Doc)>),
}

fn doc() -> impl Strategy<Value = Doc> {
    let units = proptest::collection::vec(
        prop_oneof![
            Just(0x61),
            Just(0x30),
            0x2f..0x3a_u16,
            0xd7f0..0xe010_u16,
            any::<u16>()
        ],
        0..3,
    );
    let finite = any::<f64>().prop_filter("JSON has no other", |number| number.is_finite());
    let leaf = prop_oneof![
        finite.prop_map(Doc::Number),
        units.clone().prop_map(Doc::Text)
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = (units.clone(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Doc::Array),
            proptest::collection::vec(member, 0..5).prop_map(|members| {
                // With a key twice, order would matter.
                let once: BTreeMap<_, _> = members.into_iter().collect();
                Doc::Object(once.into_iter().collect())
            }),
        ]
    })
}

impl Doc {
    fn spell(&self, respelled: bool) -> String {
        let text = |units: &[u16]| {
            if respelled {
                let escapes: String = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
                format!("\"{escapes}\"")
            } else {
                json::quote_units(units)
            }
        };
        match self {
            Doc::Number(number) if respelled => format!("{number:.340e}"),
            Doc::Number(number) => format!("{number:?}"),
            Doc::Text(units) => text(units),
            Doc::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|e| e.spell(respelled)).collect();
                format!("[{}]", elements.join(","))
            }
            Doc::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{}:{}", text(key), value.spell(respelled)))
                    .collect();
                if respelled {
                    members.reverse();
                }
                format!("{{{}}}", members.join(" , "))
            }
        }
    }
}

proptest! {
    #[test]
    fn canonical_text_stays_as_it_is(doc in doc()) {
        let text = canonical_text(&doc.spell(false)).unwrap();
        prop_assert_eq!(canonical_text(&text), Ok(text.clone()));
    }

    #[test]
    fn order_and_spelling_make_no_difference(doc in doc()) {
        prop_assert_eq!(canonical_text(&doc.spell(false)), canonical_text(&doc.spell(true)));
    }

    #[test]
    fn no_text_breaks_it(text in "[\\[\\]{}\",:\\\\ \nu0-9eE.+truefalsnd-]{0,16}") {
        let valid = json::compact(&text).is_some();
        match canonical_text(&text) {
            Ok(canonical) => prop_assert!(json::compact(&canonical).is_some_and(|c| c == canonical)),
            Err(Invalid::NotFinite) => prop_assert!(valid),
            Err(_) => prop_assert!(!valid),
        }
    }
}
