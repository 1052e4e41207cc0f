// A fault that is put in on purpose, as a file of mutants/ says it, and how it fits the code.
//
// Owns the format: a head of `What:` and `Kind:`, then parts of `In:`, `Find:` and `Put:`, whose texts are indented by
// four. It runs and writes nothing. Invariant: a part changes the one place that its text names, by content: white
// space, the backslash that wraps a string, and a comma before a closing bracket don't count, so that no re-indenting
// and no re-wrapping loses the place.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Where a fault shows, when it does. */
export const KINDS = [
  "second-page",
  "second-time",
  "after-days",
  "across-deploy",
  "interrupted-restart",
  "settings-and-limits",
  "other",
];

const END = ".mutant";
const INDENT = "    ";
const TEXTS = ["Find", "Put"];
// The rows of the table are Markdown.
const NO_CELL = /[|\n]/;

/** `{name, what, kind, parts: [{path, find, put}]}`; throws an error that says what is wrong with the file. */
export function parse(name, text) {
  const head = {};
  const parts = [];
  let body;
  for (const [index, line] of text.replace(/\n$/, "").split("\n").entries()) {
    const wrong = (why) => new Error(`mutants/${name}.mutant:${index + 1} ${why}`);
    if (line.startsWith(INDENT) || (line === "" && body)) {
      if (!body) throw wrong("is indented, and no text");
      body.push(line.slice(INDENT.length));
      continue;
    }
    if (line === "") continue;
    const [, word, rest] = /^([A-Z][a-z]+):(?: (\S.*))?$/.exec(line) ?? [];
    body = undefined;
    if (word === "What" || word === "Kind") {
      if (head[word]) throw wrong(`says ${word} again`);
      head[word] = rest;
    } else if (word === "In") {
      if (!rest) throw wrong("names no file");
      parts.push({ path: rest });
    } else if (TEXTS.includes(word) && rest === undefined) {
      const part = parts.at(-1);
      const key = word.toLowerCase();
      const follows = part && !part[key] && (word === "Find" || part.find);
      if (!follows) throw wrong(`has ${word} out of the order In, Find, Put`);
      body = part[key] = [];
    } else {
      throw wrong("is none of What, Kind, In, Find and Put");
    }
  }
  const wrong = (why) => new Error(`mutants/${name}.mutant ${why}`);
  if (!head.What || NO_CELL.test(head.What)) throw wrong("doesn't say What in one plain sentence");
  if (!KINDS.includes(head.Kind)) throw wrong(`is of the Kind "${head.Kind ?? ""}", which is none of ${KINDS.join(", ")}`);
  if (parts.length === 0) throw wrong("changes nothing");
  for (const part of parts) {
    for (const key of ["find", "put"]) {
      if (!part[key]) throw wrong(`has a part in ${part.path} without ${key === "find" ? "Find" : "Put"}`);
      part[key] = part[key].join("\n").replace(/\s+$/, "");
    }
    const [find, put] = [tokens(part.find), tokens(part.put)];
    if (find.length === 0) throw wrong(`finds nothing in ${part.path}`);
    if (find.join(" ") === put.join(" ")) throw wrong(`puts in ${part.path} what it finds`);
  }
  return { name, what: head.What, kind: head.Kind, parts };
}

/** Words and single signs. A backslash at a line's end wraps a string, and a comma before a closing bracket wraps a list. */
function tokens(text) {
  const all = text.replace(/\\\n/g, "\n").match(/\w+|[^\w\s]/g) ?? [];
  return all.filter((token, index) => token !== "," || !isClosing(all[index + 1]));
}

function isClosing(token) {
  return token !== undefined && ")]}".includes(token);
}

const isWord = (token) => /^\w/.test(token);
const escaped = (token) => token.replace(/\W/g, String.raw`\$&`);

/** `[from, to]` of each place in `text` that says what `find` does. */
export function places(find, text) {
  const gap = String.raw`(?:\s|\\\n)`;
  const sought = tokens(find);
  const joined = sought.map((token, index) => {
    if (index === 0) return escaped(token);
    const apart = isWord(token) && isWord(sought[index - 1]) ? "+" : "*";
    return `${gap}${apart}${isClosing(token) ? `(?:,${gap}*)?` : ""}${escaped(token)}`;
  });
  const pattern = new RegExp(String.raw`(?<!\w(?=\w))${joined.join("")}(?!(?<=\w)\w)`, "g");
  return [...text.matchAll(pattern)].map((match) => [match.index, match.index + match[0].length]);
}

function lineOf(text, at) {
  return text.slice(0, at).split("\n").length;
}

/** Where else the text stands, as `path:line`. */
function elsewhere(part, files) {
  return files.paths().flatMap((path) => {
    const text = path === part.path ? undefined : files.read(path);
    return text === undefined ? [] : places(part.find, text).map(([from]) => `${path}:${lineOf(text, from)}`);
  });
}

/**
 * How a mutant fits `files`, of which `read(path)` gives a text or nothing and `paths()` those to which a text may have
 * moved: `{faults}`, a sentence each, and `{changed}`, the files with the fault in them.
 */
export function fit(mutant, files) {
  const faults = [];
  const edits = new Map();
  for (const part of mutant.parts) {
    const text = files.read(part.path);
    const found = text === undefined ? [] : places(part.find, text);
    const [first] = part.find.trim().split("\n");
    const wrong = (why) => faults.push(`mutants/${mutant.name}.mutant: in ${part.path} "${first}" ${why}`);
    if (found.length === 0) {
      const moved = elsewhere(part, files);
      const gone = text === undefined ? "has no file any more" : "stands nowhere";
      wrong(moved.length > 0 ? `${gone}; it stands in ${moved.join(" and ")}` : gone);
      continue;
    }
    if (found.length > 1) {
      const lines = found.map(([from]) => lineOf(text, from)).join(", ");
      wrong(`stands ${found.length} times, in the lines ${lines}`);
      continue;
    }
    const [[from, to]] = found;
    const others = edits.get(part.path) ?? [];
    if (others.some((other) => from < other.to && other.from < to)) wrong("stands in what another part changes");
    edits.set(part.path, [...others, { from, to, put: part.put }]);
  }
  return { faults, changed: faults.length > 0 ? undefined : written(edits, files) };
}

function written(edits, files) {
  const changed = new Map();
  for (const [path, some] of edits) {
    const fromTheEnd = some.toSorted((one, other) => other.from - one.from);
    const text = fromTheEnd.reduce((kept, { from, to, put }) => kept.slice(0, from) + put + kept.slice(to), files.read(path));
    changed.set(path, text);
  }
  return changed;
}

/** What `fit` reads of a checkout: each of its files, and those of src/ to find a text that moved. */
export function filesOf(root) {
  return {
    read: (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined),
    paths: () =>
      readdirSync(join(root, "src"), { recursive: true })
        .filter((path) => path.endsWith(".rs"))
        .map((path) => join("src", path))
        .concat("schema.sql")
        .sort(),
  };
}

/** All mutants of a folder, and a sentence for each file there that is none. */
export function load(folder) {
  const mutants = [];
  const faults = [];
  for (const file of readdirSync(folder).filter((file) => file.endsWith(END)).sort()) {
    try {
      mutants.push(parse(file.slice(0, -END.length), readFileSync(join(folder, file), "utf8")));
    } catch (error) {
      faults.push(error.message);
    }
  }
  return { mutants, faults };
}
