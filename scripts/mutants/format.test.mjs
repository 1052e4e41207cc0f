// The format of mutants, over texts that are made for it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fit, parse } from "./format.mjs";
import { row, tableFaults, withRows } from "./table.mjs";

const HEAD = "What: A page begins one late.\nKind: second-page\n";
const part = (find, put, path = "src/a.rs") => {
  const indented = (text) => text.split("\n").map((line) => `    ${line}\n`).join("");
  return `\nIn: ${path}\nFind:\n${indented(find)}Put:\n${indented(put)}`;
};
const mutant = (...parts) => parse("late", HEAD + parts.join(""));
const files = (texts) => ({ read: (path) => texts[path], paths: () => Object.keys(texts) });
const only = (text) => files({ "src/a.rs": text });

/** What becomes of a file that has `text` when `find` is to become `put`. */
function check(text, find, put, expected) {
  const { faults, changed } = fit(mutant(part(find, put)), only(text));
  assert.deepEqual(faults, []);
  assert.equal(changed.get("src/a.rs"), expected);
}

function refused(text, why) {
  assert.throws(() => parse("late", text), why);
}

function unfit(texts, parts, ...expected) {
  const { faults, changed } = fit(mutant(...parts), files(texts));
  assert.deepEqual(faults, expected.map((why) => `mutants/late.mutant: in ${why}`));
  assert.equal(changed, undefined);
}

test("a text is found by its words, however it is wrapped and indented", () => {
  check("let next = page.end();\n", "let next = page.end();", "let next = page.end() + 1;", "let next = page.end() + 1;\n");
  check("a(\n        one,\n        two,\n    );", "a(one, two);", "b();", "b();");
  check("a(one, two);", "a(\n    one,\n    two,\n);", "b();", "b();");
  check('"SELECT a \\\n     FROM b"', "SELECT a FROM b", "SELECT c FROM b", '"SELECT c FROM b"');
  check('"SELECT a FROM b"', '"SELECT a \\\n     FROM b"', '"SELECT c FROM b"', '"SELECT c FROM b"');
  check("if x {\n\ty;\n}", "if x { y; }", "", "");
});

test("a text is no part of a word, and no two words are one", () => {
  const nowhere = 'src/a.rs "run" stands nowhere';
  unfit({ "src/a.rs": "rerun runs" }, [part("run", "")], nowhere);
  unfit({ "src/a.rs": "letmut a" }, [part("let mut a", "")], 'src/a.rs "let mut a" stands nowhere');
  check("rerun run", "run", "walk", "rerun walk");
});

test("a text that stands twice or not at all is told, all of them at once, and where it stands now", () => {
  const texts = { "src/a.rs": "one();\ntwo();\none();\n", "src/b.rs": "\nthree(\n  x)\n" };
  unfit(
    texts,
    [part("one()", ""), part("three(x)", ""), part("four()", ""), part("two()", "", "src/gone.rs"), part("two()", "")],
    'src/a.rs "one()" stands 2 times, in the lines 1, 3',
    'src/a.rs "three(x)" stands nowhere; it stands in src/b.rs:2',
    'src/a.rs "four()" stands nowhere',
    'src/gone.rs "two()" has no file any more; it stands in src/a.rs:2',
  );
});

test("parts are found in the code as it is, and none in another", () => {
  const parts = [part("one", "two"), part("two", "one")];
  assert.equal(fit(mutant(...parts), only("one two")).changed.get("src/a.rs"), "two one");
  unfit({ "src/a.rs": "one two three" }, [part("one two", ""), part("two three", "")], 'src/a.rs "two three" stands in what another part changes');
});

test("what is no mutant is refused", () => {
  refused(HEAD.replace("second-page", "third-page") + part("a", "b"), /of the Kind "third-page", which is none of second-page, /);
  refused("Kind: other\n" + part("a", "b"), /doesn't say What/);
  refused("What: a | b\nKind: other\n" + part("a", "b"), /doesn't say What/);
  refused(HEAD, /changes nothing/);
  refused(HEAD + "In: src/a.rs\nFind:\n    a\n", /without Put/);
  refused(HEAD + "In: src/a.rs\nPut:\n    a\n", /:4 has Put out of the order/);
  refused(HEAD + "Find:\n    a\n", /:3 has Find out of the order/);
  refused(HEAD + "Caught by: sim\n", /:3 is none of/);
  refused(HEAD + "    a\n", /:3 is indented/);
  refused(HEAD + "Kind: other\n", /:3 says Kind again/);
  refused(HEAD + part("a( b )", "a(b)"), /what it finds/);
});

test("a row is replaced by its name, and one too few or too many is told", () => {
  const of = (name) => ({ name, kind: "other", what: "It breaks." });
  const line = (name, by) => row(of(name), [{ by, said: "a | b\n c", soon: "1 s", luck: "no" }]);
  const empty = "before\n<!-- rows -->\n<!-- end of rows -->\nafter\n";
  const none = row({ name: "(none)", kind: "", what: "The code as it is." }, [{ by: "nobody", said: "", soon: "", luck: "" }]);
  const one = withRows(empty, [line("b", "unit"), none], false);
  const two = withRows(one, [line("b", "fuzz"), line("a", "unit")], true);
  assert.match(two, /^before\n<!-- rows -->\n\| Mutant .*\n\|-.*\n\| \(none\) .*\n\| a .* unit \| a b c .*\n\| b .* fuzz .*\n<!-- end of rows -->\nafter\n$/);
  assert.deepEqual(tableFaults([of("a"), of("b")], two), []);
  assert.deepEqual(tableFaults([of("a"), of("c")], two), [
    "mutants/README.md has no row of c: make mutants MUTANT=c",
    "mutants/README.md has a row of b, which is no mutant",
  ]);
});
