// The table of mutants/README.md: a row a mutant, between two marks.
//
// Owns the columns and how rows are kept, replaced and checked. It decides nothing about a mutant.

const FROM = "<!-- rows -->";
const TO = "<!-- end of rows -->";
const COLUMNS = ["Mutant", "Kind", "What it breaks", "Noticed by", "What was said", "How soon", "Luck"];
/** The row of the code as it is, which a run of all begins with. */
export const NONE = { name: "(none)", kind: "", what: "The code as it is." };
const WIDEST_CELL = 120;

export const HEADING = [`| ${COLUMNS.join(" | ")} |`, `|${"---|".repeat(COLUMNS.length)}`];

/** A mutant's row; each of `noticed` is `{by, said, soon, luck}`. */
export function row({ name, kind, what }, noticed) {
  const of = (key) => noticed.map((one) => cell(one[key])).join("; ");
  return `| ${[name, kind, what, of("by"), of("said"), of("soon"), of("luck")].join(" | ")} |`;
}

function cell(text) {
  const plain = text.replace(/[|`\s]+/g, " ").trim();
  const letters = [...plain];
  return letters.length > WIDEST_CELL ? `${letters.slice(0, WIDEST_CELL - 3).join("")}...` : plain;
}

const nameOf = (line) => /^\| (\S+) \|/.exec(line)?.[1];

function rowsOf(readme) {
  const lines = readme.split("\n");
  const within = lines.slice(lines.indexOf(FROM) + 1, lines.indexOf(TO));
  return within.filter((line) => line.startsWith("| ") && !HEADING.includes(line));
}

/** The README with `rows` in it; `keep` says whether those of other mutants stay. */
export function withRows(readme, rows, keep) {
  const replaced = new Set(rows.map(nameOf));
  const others = keep ? rowsOf(readme).filter((line) => !replaced.has(nameOf(line))) : [];
  const [before, rest] = readme.split(`${FROM}\n`);
  const [, after] = rest.split(TO);
  const all = [...HEADING, ...[...others, ...rows].sort()];
  return `${before}${FROM}\n${all.join("\n")}\n${TO}${after}`;
}

/** What the table lacks, and what it has too much, a sentence each. */
export function tableFaults(mutants, readme) {
  const rows = rowsOf(readme);
  const lacking = mutants
    .filter(({ name, kind, what }) => !rows.some((line) => line.startsWith(`| ${[name, kind, what].join(" | ")} | `)))
    .map(({ name }) => `mutants/README.md has no row of ${name}: make mutants MUTANT=${name}`);
  const spare = rows
    .filter((line) => ![NONE, ...mutants].some(({ name }) => name === nameOf(line)))
    .map((line) => `mutants/README.md has a row of ${nameOf(line)}, which is no mutant`);
  return [...lacking, ...spare];
}
