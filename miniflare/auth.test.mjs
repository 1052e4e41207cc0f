// Who may ask, what belongs to whom, and what a browser is let in for.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem } from "./expect.mjs";
import { Runtime, startRuntime } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars } from "./upstream.mjs";

const digest = (token) => createHash("sha256").update(token).digest("hex");
const TOKENS = JSON.stringify({
  [digest("token-a")]: { tenant: "acme", user: "ann" },
  [digest("token-a2")]: { tenant: "acme" },
  [digest("token-b")]: { tenant: "bolt" },
});
const ORIGIN = "https://app.example";

let upstream;
before(async () => {
  upstream = await ScriptedUpstream.start();
});
after(() => upstream?.close());

describe("tokens", () => {
  let runtime, a, b;
  before(async () => {
    const vars = {
      AUTH_MODE: "tokens",
      API_TOKENS: TOKENS,
      CORS_ORIGINS: `${ORIGIN},https://second.example`,
    };
    runtime = await startRuntime({ vars: scriptedVars(upstream, vars) });
    a = new Client(runtime, { token: "token-a" });
    b = new Client(runtime, { token: "token-b" });
  });
  after(() => runtime?.stop());

  for (const [name, authorization] of [
    ["none", undefined],
    ["an unknown token", "Bearer nobody"],
    ["an empty token", "Bearer "],
    ["the digest instead of the token", `Bearer ${digest("token-a")}`],
    ["another scheme", "Basic token-a"],
    ["the token alone", "token-a"],
    ["two tokens", "Bearer token-a token-b"],
  ]) {
    test(`credentials: ${name} is 401 before anything is read`, async () => {
      const headers = authorization === undefined ? {} : { authorization };
      const stranger = new Client(runtime, { headers });
      const atRest = runtime.storedRows();
      for (const [method, path, body] of [
        ["POST", "/v1/sessions/secret/turns", "not even JSON"],
        ["GET", "/v1/sessions/secret", undefined],
        ["GET", "/v1/sessions/bad%20id/turns/x/stream?after=zz", undefined],
        ["GET", "/v1/runs", undefined],
        ["DELETE", "/v1/sessions/secret", undefined],
      ]) {
        const refused = await stranger.call(method, path, { body });
        assertProblem(refused, 401, "unauthorized");
        assert.match(refused.headers["www-authenticate"] ?? "", /^Bearer/);
      }
      assert.deepEqual(runtime.storedRows(), atRest);
      assert.equal((await stranger.get("/healthz")).status, 200);
    });
  }

  test("the tenant is the token's, whatever the request says of it", async () => {
    const headers = {
      "x-tenant": "bolt",
      "x-tenant-id": "bolt",
      "x-steadfast-tenant": "bolt",
      "cf-connecting-ip": "1.1.1.1",
    };
    const reading = await a.turn("mine", { message: "hi", tenant: "bolt", tenantId: "bolt" }, { headers });
    assert.equal(reading.headers["x-execution-id"], "acme:mine:0");
    assert.equal(JSON.parse(reading.lines[0]).data.tenantId, "acme");
    const colleague = new Client(runtime, { token: "token-a2" });
    assert.equal((await colleague.log("mine", 0)).text, reading.text);
  });

  test("what belongs to another tenant does not exist", async () => {
    await a.turn("private", { message: "secret plan" });
    const atRest = runtime.storedRows();
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["GET", "/messages", undefined],
      ["GET", "/turns", undefined],
      ["GET", "/turns/0", undefined],
      ["GET", "/turns/0/steps", undefined],
      ["GET", "/turns/0/stream", undefined],
      ["GET", "/turns/0/events/x", undefined],
      ["POST", "/turns/0/cancel", undefined],
      ["POST", "/turns/0/poke", undefined],
      ["POST", "/turns/0/events/x", "1"],
      ["DELETE", "", undefined],
    ]) {
      const options = { headers: { "content-type": "application/json" }, body };
      const foreign = await b.call(method, `/v1/sessions/private${path}`, options);
      const missing = await b.call(method, `/v1/sessions/missing${path}`, options);
      assertProblem(foreign, 404, "not_found");
      assert.equal(foreign.text.replaceAll("private", "missing"), missing.text, `${method} ${path}`);
    }
    assert.deepEqual(runtime.storedRows(), atRest);
    const runs = await b.get("/v1/runs");
    assert.ok(!runs.text.includes("private") && !runs.text.includes("acme"), runs.text);
  });

  test("two tenants have the same session name to themselves", async () => {
    const [one, two] = [
      await a.turn("same", { message: "from a" }),
      await b.turn("same", { message: "from b" }),
    ];
    assert.equal(one.headers["x-execution-id"], "acme:same:0");
    assert.equal(two.headers["x-execution-id"], "bolt:same:0");
    assert.ok((await a.get("/v1/sessions/same/messages")).text.includes("from a"));
    assert.ok(!(await a.get("/v1/sessions/same/messages")).text.includes("from b"));
  });

  test("a configured origin is let in, with the headers it needs", async () => {
    const preflight = await a.call("OPTIONS", "/v1/sessions/mine/turns", {
      headers: {
        authorization: "",
        origin: ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
      },
    });
    assert.ok([200, 204].includes(preflight.status), preflight.text);
    assert.equal(preflight.headers["access-control-allow-origin"], ORIGIN);
    assert.match(preflight.headers["access-control-allow-methods"], /POST/);
    for (const name of ["authorization", "content-type", "idempotency-key", "last-event-id"]) {
      assert.ok(preflight.headers["access-control-allow-headers"].toLowerCase().includes(name), name);
    }
    const answer = await a.turn("browser", { message: "hi" }, { headers: { origin: ORIGIN } });
    assert.equal(answer.headers["access-control-allow-origin"], ORIGIN);
    assert.match(answer.headers.vary, /origin/i);
    for (const name of ["x-execution-id", "x-turn-mode", "location"]) {
      assert.ok(answer.headers["access-control-expose-headers"].toLowerCase().includes(name), name);
    }
    const refused = await a.call("GET", "/v1/sessions/none", { headers: { origin: ORIGIN } });
    assert.equal(refused.headers["access-control-allow-origin"], ORIGIN, "a page can read its refusals");
  });

  for (const origin of ["https://evil.example", `${ORIGIN}.evil.example`, "http://app.example", "null"]) {
    test(`the origin ${origin} gets no permission`, async () => {
      const answer = await a.call("GET", "/v1/sessions/mine", { headers: { origin } });
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
      const preflight = await a.call("OPTIONS", "/v1/sessions/mine/turns", {
        headers: { origin, "access-control-request-method": "POST" },
      });
      assert.equal(preflight.headers["access-control-allow-origin"], undefined);
    });
  }
});

/** Runs `check` against a runtime with these variables. */
async function withVars(vars, check) {
  const runtime = new Runtime({ vars });
  await runtime.start();
  try {
    await check(new Client(runtime), runtime);
  } finally {
    await runtime.stop();
  }
}

test("without credentials configured nothing is answered but health", () =>
  withVars({ UPSTREAM: "demo" }, async (client, runtime) => {
    assertProblem(await client.turn("s", { message: "hi" }), 503, "auth_not_configured");
    assertProblem(await client.get("/v1/runs"), 503, "auth_not_configured");
    assert.equal((await client.get("/healthz")).status, 200);
    assert.deepEqual(runtime.storedRows(), {});
  }));

test("AUTH_MODE=none serves loopback only", () =>
  withVars({ AUTH_MODE: "none", UPSTREAM: "demo" }, async (client) => {
    for (const host of ["localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8787"]) {
      assertProblem(await client.call("GET", "/v1/sessions/s", { headers: { host } }), 404, "not_found");
    }
    for (const host of ["chat.example", "localhost.example", "127.0.0.1.example", "10.0.0.1"]) {
      assertProblem(
        await client.call("GET", "/v1/sessions/s", { headers: { host } }),
        503,
        "auth_not_configured",
      );
    }
  }));

for (const [name, vars, variable] of [
  ["no upstream", {}, "UPSTREAM"],
  ["an unknown upstream", { UPSTREAM: "oracle-9" }, "UPSTREAM"],
  ["a sandbox without address", { UPSTREAM: "sandbox" }, "UPSTREAM_URL"],
  ["a number that is none", { UPSTREAM: "demo", COMMIT_WINDOW_MS: "soon-9" }, "COMMIT_WINDOW_MS"],
]) {
  test(`misconfigured: ${name} names the variable, not its value`, () =>
    withVars({ AUTH_MODE: "none", ...vars }, async (client) => {
      const refused = await client.turn("s", { message: "hi" });
      const problem = assertProblem(refused, 503, "misconfigured");
      assert.match(problem.detail, new RegExp(`\\b${variable}\\b`));
      assert.doesNotMatch(refused.text, /-9/);
      assert.equal((await client.get("/healthz")).status, 200);
    }));
}

test("a broken API_TOKENS lets nobody in and shows nothing of itself", () =>
  withVars({ API_TOKENS: "{broken-secret", UPSTREAM: "demo" }, async (client) => {
    const refused = await client.call("GET", "/v1/runs", { headers: { authorization: "Bearer x" } });
    assert.equal(refused.status, 503);
    assertProblem(refused, 503, refused.json().code);
    assert.doesNotMatch(refused.text, /broken-secret/);
  }));

test("PROJECT stands before the tenant in every id", () =>
  withVars({ AUTH_MODE: "none", UPSTREAM: "demo", PROJECT: "proj" }, async (client) => {
    const reading = await client.turn("s", { message: "hi", metadata: { demo: { words: 3, delayMs: 0 } } });
    assert.equal(reading.headers["x-execution-id"], "proj:dev:s:0");
    assert.equal(JSON.parse(reading.lines[0]).data.executionId, "proj:dev:s:0");
  }));
