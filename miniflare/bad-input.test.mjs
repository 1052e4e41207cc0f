// What is refused, how, and that nothing of it is stored.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars } from "./upstream.mjs";

const MiB = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ vars: scriptedVars(upstream, { SHIP_INTERVAL_MS: 100 }) });
  client = new Client(runtime);
  // One good turn, so that the schema and everything that a first use writes is there before the count.
  await client.turn(
    "good",
    { message: "hi", metadata: { script: { lines: 3 } } },
    { headers: { "idempotency-key": "good" } },
  );
  await until("the good turn is in D1", async () =>
    (await client.get("/v1/runs?status=completed")).text.includes("good"),
  );
  let last;
  await until(
    "the good turn is at rest",
    () => {
      const before = last;
      last = JSON.stringify(runtime.storedRows());
      return last === before;
    },
    { everyMs: 300 },
  );
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

/** Sends, expects a problem, and that nothing is stored. */
async function refuse(method, path, options, status, code) {
  const reading = await storesNothing(() => client.call(method, path, options));
  assertProblem(reading, status, code);
  return reading;
}

/** What `ask` answers; no table anywhere may grow by it. */
async function storesNothing(ask) {
  const before = runtime.storedRows();
  const reading = await ask();
  assert.deepEqual(
    runtime.storedRows(),
    before,
    `nothing is stored, whatever is answered (${reading.status})`,
  );
  return reading;
}

const submit = (body, status, code, { headers = {}, session = "bad" } = {}) =>
  refuse(
    "POST",
    `/v1/sessions/${session}/turns`,
    { headers: { ...JSON_TYPE, ...headers }, body },
    status,
    code,
  );

const nested = (depth) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

const BODIES = {
  nothing: "",
  "no JSON": "hello",
  "broken JSON": '{"message":"hi"',
  "trailing garbage": '{"message":"hi"} x',
  "an array": '["hi"]',
  "a string": '"hi"',
  null: "null",
  "invalid UTF-8": Buffer.from([...Buffer.from('{"message":"'), 0xff, 0xfe, ...Buffer.from('"}')]),
  "JSON 200 deep": `{"message":"hi","metadata":{"a":${nested(200)}}}`,
  "JSON 100 000 deep": `{"message":"hi","x":${nested(100_000)}}`,
  "half of 100 000 brackets": `{"message":"hi","x":${"[".repeat(100_000)}`,
  "no message": "{}",
  "an empty message": '{"message":""}',
  "a blank message": '{"message":" \\n"}',
  "a number as message": '{"message":7}',
  "a message of the assistant": '{"message":{"role":"assistant","content":"hi"}}',
  "a message without role": '{"message":{"content":"hi"}}',
  "a message without content": '{"message":{"role":"user"}}',
  "no parts": '{"message":{"role":"user","content":[]}}',
  "parts that are no objects": '{"message":{"role":"user","content":["hi"]}}',
  "message and retryOf": '{"message":"hi","retryOf":0}',
  "retryOf of nothing": '{"retryOf":0}',
  "retryOf as text": '{"retryOf":"0"}',
  "a negative index": '{"message":"hi","turnIndex":-1}',
  "a fraction as index": '{"message":"hi","turnIndex":0.5}',
  "text as index": '{"message":"hi","turnIndex":"0"}',
  "an index beyond safe integers": '{"message":"hi","turnIndex":9007199254740993}',
  "an unknown ifRunning": '{"message":"hi","ifRunning":"queue"}',
  "metadata as text": '{"message":"hi","metadata":"x"}',
  "metadata over 4 KiB": JSON.stringify({ message: "hi", metadata: { x: "y".repeat(4 * 1024) } }),
  "a number as model": '{"message":"hi","model":1}',
  "a number as upstream": '{"message":"hi","upstream":1}',
};
for (const [name, body] of Object.entries(BODIES)) {
  test(`a submit with ${name} is 400`, async () => {
    const reading = await storesNothing(() =>
      client.call("POST", "/v1/sessions/bad/turns", { headers: JSON_TYPE, body }),
    );
    // A retry of what does not exist may as well be told that it is not there.
    if (name === "retryOf of nothing") assert.ok([400, 404].includes(reading.status), reading.text);
    else assertProblem(reading, 400, "invalid_request");
  });
}

for (const key of ["", " ", "x".repeat(201), "nö", "a b"]) {
  test(`the idempotency key ${JSON.stringify(key.slice(0, 8))} of ${key.length} is 400`, () =>
    submit('{"message":"hi"}', 400, "invalid_request", {
      headers: { "idempotency-key": Buffer.from(key).toString("latin1") },
    }));
}

for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]) {
  test(`the content type ${JSON.stringify(type)} is 415`, () =>
    submit('{"message":"hi"}', 415, "unsupported_media_type", { headers: { "content-type": type } }));
}

test("1.1 MiB with Content-Length is 413", () =>
  submit(JSON.stringify({ message: "x".repeat(1.1 * MiB) }), 413, "payload_too_large"));

test("1.1 MiB without Content-Length is 413", async () => {
  const piece = "x".repeat(64 * 1024);
  const body = ['{"message":"', ...Array(18).fill(piece), '"}'];
  await refuse("POST", "/v1/sessions/bad/turns", { headers: JSON_TYPE, body }, 413, "payload_too_large");
});

test("a body of exactly 1 MiB is read", async () => {
  const body = (length) => `{"message":"hi","turnIndex":5,"pad":"${"x".repeat(length)}"}`;
  const exact = body(MiB - body(0).length);
  assert.equal(exact.length, MiB);
  await submit(exact, 409, "turn_out_of_order", { session: "exact" });
});

const IDS = {
  "an encoded slash": "a%2Fb",
  "a colon": "a:b",
  "an encoded colon": "a%3Ab",
  "two dots, encoded": "%2e%2e",
  "a dot": "%2e",
  unicode: encodeURIComponent("żółw"),
  "a space": "a%20b",
  "a broken escape": "a%zz",
  "a zero byte": "a%00b",
  "65 characters": "x".repeat(65),
};
for (const [name, id] of Object.entries(IDS)) {
  test(`a session id with ${name} is refused`, async () => {
    for (const [method, rest, body] of [
      ["POST", "/turns", '{"message":"hi"}'],
      ["GET", "", undefined],
      ["GET", "/turns/0/stream", undefined],
    ]) {
      const reading = await storesNothing(() =>
        client.call(method, `/v1/sessions/${id}${rest}`, { headers: JSON_TYPE, body }),
      );
      // Dots may be taken out of the path before the Worker sees it; then the path is simply unknown.
      const allowed = name.includes("dot") ? [400, 404, 405] : [400];
      assert.ok(allowed.includes(reading.status), `${method} ${rest}: ${reading.status} ${reading.text}`);
      assertProblem(reading, reading.status, reading.json().code);
    }
  });
}

test("64 characters of every allowed kind are an id", async () => {
  const id = `Az09_.-${"y".repeat(57)}`;
  assert.equal(id.length, 64);
  await submit('{"message":"hi","turnIndex":9}', 409, "turn_out_of_order", { session: id });
});

for (const turn of ["-1", "01", "1.0", "x", "1e1", "9007199254740993", "%30"]) {
  test(`the turn ${turn} in a path is refused`, async () => {
    const reading = await client.get(`/v1/sessions/good/turns/${turn}`);
    // `%30` is an encoded `0`: taking it for turn 0 is as right as refusing it.
    if (turn !== "%30") assert.ok([400, 404].includes(reading.status), `${reading.status} ${reading.text}`);
    if (reading.status !== 200) assertProblem(reading, reading.status, reading.json().code);
  });
}

for (const cursor of ["-2", "x", "", "1.0", "+1", "%201", "1e0", "0x1", "99999999999999999999", "--1"]) {
  test(`after=${cursor} is 400`, () =>
    refuse("GET", `/v1/sessions/good/turns/0/stream?after=${cursor}`, {}, 400, "invalid_request"));
}

test("a bad Last-Event-ID is 400", () =>
  refuse(
    "GET",
    "/v1/sessions/good/turns/0/stream",
    { headers: { accept: "text/event-stream", "last-event-id": "abc" } },
    400,
    "invalid_request",
  ));

test("a cursor beyond the log is 400", () =>
  refuse("GET", "/v1/sessions/good/turns/0/stream?after=1000", {}, 400, "cursor_out_of_range"));

for (const query of ["limit=0", "limit=201", "limit=-1", "limit=x", "cursor=%21", "cursor=zz"]) {
  test(`a list with ${query} is 400`, async () => {
    await refuse("GET", `/v1/sessions/good/turns?${query}`, {}, 400, "invalid_request");
    await refuse("GET", `/v1/runs?${query}`, {}, 400, "invalid_request");
  });
}

test("a status that does not exist is 400", () =>
  refuse("GET", "/v1/runs?status=sleeping", {}, 400, "invalid_request"));

for (const [method, path, allow] of [
  ["GET", "/v1/sessions/good/cancel", null],
  ["PUT", "/v1/sessions/good", /GET/],
  ["DELETE", "/v1/sessions/good/turns", /POST/],
  ["POST", "/v1/sessions/good/turns/0/stream", /GET/],
  ["GET", "/v1/sessions/good/turns/0/cancel", /POST/],
  ["PATCH", "/v1/sessions/good/turns/0/poke", /POST/],
  ["POST", "/healthz", /GET/],
]) {
  test(`${method} ${path} is ${allow ? 405 : 404}`, async () => {
    const reading = allow
      ? await refuse(method, path, {}, 405, "method_not_allowed")
      : await refuse(method, path, {}, 404, "not_found");
    if (allow) assert.match(reading.headers.allow, allow);
  });
}

for (const path of [
  "/",
  "/v1",
  "/v2/sessions/good",
  "/v1/sessions",
  "/v1/sessions/",
  "/v1/sessions/good/turns/0/nothing",
  "/favicon.ico",
  "//v1/runs",
  "/__faults/good",
]) {
  test(`the unknown path ${path} is 404`, () => refuse("GET", path, {}, 404, "not_found"));
}

for (const path of [
  "",
  "/turns/0",
  "/turns/0/steps",
  "/turns/0/stream",
  "/messages",
  "/turns",
  "/turns/0/events/x",
]) {
  test(`reading ${path || "a session"} that does not exist is 404 and writes nothing`, () =>
    refuse("GET", `/v1/sessions/nobody${path}`, {}, 404, "not_found"));
}

for (const path of ["/turns/0/cancel", "/turns/0/poke"]) {
  test(`POST ${path} where nothing exists is 404 and writes nothing`, () =>
    refuse("POST", `/v1/sessions/nobody${path}`, {}, 404, "not_found"));
}

test("deleting what does not exist is 404 and writes nothing", () =>
  refuse("DELETE", "/v1/sessions/nobody", {}, 404, "not_found"));

for (const key of ["a%2Fb", "a%20b", encodeURIComponent("é"), "x".repeat(129)]) {
  test(`the event key ${key.slice(0, 12)} is 400`, () =>
    refuse(
      "POST",
      `/v1/sessions/good/turns/0/events/${key}`,
      { headers: JSON_TYPE, body: "1" },
      400,
      "invalid_request",
    ));
}
