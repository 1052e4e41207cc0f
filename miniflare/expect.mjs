// The laws of the protocol as assertions.
//
// Owns what must hold of any answer, whatever the test: the line grammar, dense numbering, one ending, problems.

import assert from "node:assert/strict";
import { isTerminal, NDJSON } from "./client.mjs";

/** A whole log: numbered from 0 without gaps, one terminal line, at the end; gives the parsed lines. */
export function assertWholeLog(lines) {
  const parsed = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    parsed.map(({ seq }) => seq),
    lines.map((_, n) => n),
    "seq counts from 0 without gaps",
  );
  assert.equal(parsed[0]?.type, "session.run.started");
  const terminal = lines.flatMap((line, n) => (isTerminal(line) ? [n] : []));
  assert.deepEqual(
    terminal,
    [lines.length - 1],
    `exactly one terminal line, the last:\n${lines.slice(-4).join("\n")}`,
  );
  return parsed;
}

/** A turn that failed with `code`; gives the parsed lines. */
export function assertFailed(lines, code) {
  const parsed = assertWholeLog(lines);
  const [error, last] = parsed.slice(-2);
  assert.equal(error.type, "error");
  assert.equal(error.data.code, code, JSON.stringify(error));
  assert.equal(typeof error.data.message, "string");
  assert.equal(last.type, "session.run.failed");
  assert.deepEqual(Object.keys(last.data), ["sessionId", "message"]);
  return parsed;
}

/** Every byte of `connection` is what the log holds after the cursor that was asked for. */
export function assertPrefix(connection, lines) {
  const rest = Buffer.from(
    lines
      .slice(connection.after + 1)
      .map((line) => `${line}\n`)
      .join(""),
  );
  const seen = stripHeartbeats(connection.bytes);
  assert.ok(
    rest.subarray(0, seen.length).equals(seen),
    `bytes after ${connection.after} are no prefix of the log`,
  );
}

function stripHeartbeats(bytes) {
  return Buffer.from(bytes.toString("latin1").replaceAll('{"type":"heartbeat"}\n', ""), "latin1");
}

/** A problem+json with its status and code. */
export function assertProblem(reading, status, code) {
  const what = `${reading.status} ${reading.text.slice(0, 300)}`;
  assert.equal(reading.status, status, what);
  assert.match(reading.headers["content-type"] ?? "", /^application\/problem\+json/, what);
  const problem = reading.json();
  assert.equal(problem.status, status, what);
  assert.equal(problem.code, code, what);
  assert.equal(typeof problem.retryable, "boolean", what);
  for (const field of ["type", "title"]) assert.equal(typeof problem[field], "string", what);
  return problem;
}

/** The head of a streamed 200. */
export function assertStreamHead(reading, { session, turnIndex = 0, tenant = "dev", mode, type = NDJSON }) {
  assert.equal(reading.status, 200, reading.text);
  assert.equal(reading.headers["x-turn-mode"], mode);
  assert.equal(reading.headers["x-execution-id"], `${tenant}:${session}:${turnIndex}`);
  assert.equal(reading.headers.location, `/v1/sessions/${session}/turns/${turnIndex}/stream`);
  assert.equal(reading.headers["cache-control"], "no-store, no-transform");
  assert.equal(reading.headers["content-type"].split(";")[0], type);
}

/** The body of whole lines in a framing, built here and not by the product. */
export function framed(lines, type, firstSeq = 0) {
  if (type === NDJSON) return lines.map((line) => `${line}\n`).join("");
  return lines.map((line, n) => `id: ${firstSeq + n}\ndata: ${line}\n\n`).join("");
}

/** Pieces of a turn's text, in UTF-16 units, as a client assembles them. */
export function textOf(parsed) {
  return parsed
    .filter(({ type, data }) => type === "message.part.updated" && data.part.type === "text")
    .reduce((text, { data }) => (data.delta === undefined ? data.part.text : text + data.delta), "");
}

/** The items of a list answer: its one array. */
export function itemsOf(reading) {
  assert.equal(reading.status, 200, reading.text);
  const items = Object.values(reading.json()).find(Array.isArray);
  assert.ok(items, `no list: ${reading.text}`);
  return items;
}

/** What counts for the answer: the log behind its last `session.run.restarted`. */
export function lastAttempt(parsed) {
  return parsed.slice(parsed.findLastIndex(({ type }) => type === "session.run.restarted") + 1);
}
