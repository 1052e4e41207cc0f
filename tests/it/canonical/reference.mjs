// Reads JSON documents, one a line, and prints of each its hash and canonical text, or `refused`, or
// `invalid`: those of a file, or without one those of its input, each as it comes.
//
// Owns the rule as ECMAScript itself performs it: parse, build objects anew with sorted keys, write.
// Invariant: it knows nothing of what it is compared with.

import { createHash } from "node:crypto";
import { readFileSync, readSync, writeSync } from "node:fs";

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
  let parsed;
  try {
    parsed = JSON.parse(line);
  } catch {
    return "invalid";
  }
  try {
    const text = JSON.stringify(rebuilt(parsed));
    return `${createHash("sha256").update(text).digest("hex")} ${text}`;
  } catch (error) {
    if (error instanceof RangeError) return "refused";
    throw error;
  }
}

// Synchronous: whoever asks waits for the answer, and nothing else is to be done meanwhile.
function serve() {
  const chunk = Buffer.alloc(1 << 16);
  let rest = Buffer.alloc(0);
  for (let size = readSync(0, chunk); size > 0; size = readSync(0, chunk)) {
    rest = Buffer.concat([rest, chunk.subarray(0, size)]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      writeSync(1, `${answer(rest.toString("utf8", 0, end))}\n`);
      rest = rest.subarray(end + 1);
    }
  }
}

const file = process.argv[2];
if (file === undefined) serve();
else process.stdout.write(readFileSync(file, "utf8").split("\n").map(answer).join("\n"));
