// Looks through the files of this checkout for what must not be committed.
//
// Owns the rules about whole files; rules about Rust are tests. A file counts unless .gitignore,
// which holds paths from the root and no patterns, leaves it out. That each mutant still fits the code,
// and has its row, is asked here, too: a change that moves the text it names is told of all at once.
// Invariant: no committed file tells which registry, mirror or machine it was made with.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { filesOf, fit, load } from "./mutants/format.mjs";
import { tableFaults } from "./mutants/table.mjs";

const LINE_RULES = [
  {
    why: "names a package registry's host",
    pattern: /\b(registry[.]npmjs[.]org|registry[.]yarnpkg[.]com|(index|static)[.]crates[.]io|pypi[.]org|pythonhosted[.]org|(deb|security)[.]debian[.]org|proxy[.]golang[.]org)\b/,
  },
  {
    why: "names a path of one machine",
    pattern: /(^|[\s"'`=:(])[/](root|work|(home|Users)[/]\w+)[/]/,
  },
];

const CRATES = 'source = "registry+https://github.com/rust-lang/crates.io-index"';

// Lock files name a mirror wherever a source is written down, whatever its host.
const npmLock = (line) => line.includes('"resolved":') && "names where a package was fetched from";
const FILE_RULES = {
  "Cargo.lock": (line) => line.startsWith("source = ") && line !== CRATES && "names another source of crates",
  "fuzz/Cargo.lock": (line) => line.startsWith("source = ") && line !== CRATES && "names another source of crates",
  "package-lock.json": npmLock,
  "bench/package-lock.json": npmLock,
};

const ignored = new Set(
  readFileSync(".gitignore", "utf8")
    .split("\n")
    .map((line) => line.replace(/^[/]/, ""))
    .concat(".git"),
);

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (ignored.has(path)) continue;
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

function* faults(path) {
  const own = FILE_RULES[path] ?? (() => false);
  for (const [index, line] of readFileSync(path, "utf8").split("\n").entries()) {
    for (const { why, pattern } of LINE_RULES) {
      if (pattern.test(line)) yield `${path}:${index + 1} ${why}`;
    }
    const why = own(line);
    if (why) yield `${path}:${index + 1} ${why}`;
  }
}

function mutantFaults() {
  const { mutants, faults } = load("mutants");
  const code = filesOf(".");
  const unfit = mutants.flatMap((mutant) => fit(mutant, code).faults);
  return [...faults, ...unfit, ...tableFaults(mutants, readFileSync("mutants/README.md", "utf8"))];
}

const found = [...files(".")].flatMap((path) => [...faults(path)]).concat(mutantFaults());
for (const fault of found) console.error(fault);
process.exit(found.length === 0 ? 0 : 1);
