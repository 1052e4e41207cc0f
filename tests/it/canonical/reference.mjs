// Reads JSON documents, one a line, and prints of each its hash and canonical text, or `refused`.
//
// Owns the rule as ECMAScript itself performs it: parse, build objects anew with sorted keys, write.
// Invariant: it knows nothing of what it is compared with.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

function rebuilt(value) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError("not finite");
  if (Array.isArray(value)) return value.map(rebuilt);
  if (value === null || typeof value !== "object") return value;
  // Without a prototype, `__proto__` is a key like any other.
  const sorted = Object.create(null);
  for (const key of Object.keys(value).sort()) sorted[key] = rebuilt(value[key]);
  return sorted;
}

function answer(line) {
  const parsed = JSON.parse(line);
  try {
    const text = JSON.stringify(rebuilt(parsed));
    return `${createHash("sha256").update(text).digest("hex")} ${text}`;
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}

const lines = readFileSync(process.argv[2], "utf8").split("\n");
process.stdout.write(lines.map(answer).join("\n"));
