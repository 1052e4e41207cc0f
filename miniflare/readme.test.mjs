// The commands of every README as a newcomer runs them, against the built Workers, with an old Node on the PATH.
//
// Owns which commands are not run, each with its reason. What stands in place of a text here is a port, a folder, an
// address or a pace; everything else is the README's own.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { inspect, until } from "./harness.mjs";
import { isTarget, Readme, Shell, withOldNode } from "./readme.mjs";
import { ScriptedUpstream } from "./upstream.mjs";

const ROOT = resolve(import.meta.dirname, "..");

/** Beginnings of the main README's commands that no test can run. */
const NOT_RUN = {
  "make test": "this test is a part of it",
  "npx wrangler deploy": "it needs an account",
  "printf '{\"%s\":": "it sets a secret of a deployment",
  "npx wrangler secret put UPSTREAM_KEY": "it sets a secret of a deployment",
  "make sim": "the long tier, of which `make test` has a part",
  "make chaos": "the long tier, of which `make test` has a part",
  "make mutants": "the long tier",
  "make fuzz": "the long tier, of which `make test` has a part",
  "make proof": "the long tier",
};

let folder, env, shells;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "steadfast-readme-"));
  env = withOldNode(folder);
  shells = [];
});
after(async () => {
  await Promise.all(shells.map((shell) => shell.end()));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

function shell() {
  const opened = new Shell({ ...env, OPENAI_API_KEY: "readme-key" });
  shells.push(opened);
  return opened;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Runs a block whose last command serves, in a terminal of its own, until the Worker answers. */
async function serve(block, port) {
  const terminal = shell();
  const over = terminal.run(block).catch(() => {});
  let ended = false;
  over.then(() => (ended = true));
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1_000) }).then(() => true, () => false);
  await until(block, async () => ended || (await answers()), { everyMs: 100 });
  assert.ok(!ended, terminal.output);
  return terminal;
}

/** What a block wrote, when no answer in it was a refusal. */
async function clean(running) {
  const output = await running;
  assert.doesNotMatch(output, /"retryable":/, output);
  return output;
}

const lines = (text) => text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
const told = (text) => lines(text).map(({ data }) => data?.delta ?? "").join("");
const begun = (session) => `until curl -sfo /dev/null $S/${session}/turns/0; do sleep 0.1; done`;

test("the old Node is one that wrangler refuses", async () => {
  const said = await shell().run("node node_modules/wrangler/bin/wrangler.js --version");
  assert.match(said, /requires at least Node\.js/);
});

/** The queries for a turn that seems stuck, on one that isn't. */
function stuck(queries, state) {
  const d1 = join(state, "v3", "d1", "miniflare-D1DatabaseObject");
  const [file] = readdirSync(d1).filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite");
  const [overdue, tried, log] = inspect(join(d1, file), (database) =>
    queries
      .replaceAll("acme:s1:0", "dev:calm:0")
      .split(";\n")
      .filter((query) => query.trim() !== "")
      .map((query) => database.prepare(query).all()),
  );
  assert.deepEqual(overdue, []);
  assert.deepEqual(tried.map(({ status, epoch }) => [status, epoch]), [["completed", 1]]);
  assert.deepEqual(log.map(({ line_count, log_end, lines }) => [log_end, lines]), [[log[0].line_count, log[0].line_count]]);
}

/** An example's two blocks: one that serves, one that asks. */
async function example(name, { agentPort, sleeping }, check) {
  const port = await freePort();
  const persisted = `--port ${port} --persist-to ${join(folder, name)}`;
  const readme = new Readme(`examples/${name}/README.md`, {
    changes: [
      ["npx wrangler dev", `npx wrangler dev ${persisted}${agentPort ? ` --var UPSTREAM_URL:http://127.0.0.1:${agentPort}` : ""}`],
      ["127.0.0.1:8787", `127.0.0.1:${port}`],
      ...(agentPort ? [["PORT=8788", `PORT=${agentPort}`]] : []),
      ...(sleeping ? [["sleep 1 ", `${begun(sleeping)} `]] : []),
    ],
  });
  const [serving, asking] = readme.all();
  await serve(serving, port);
  check(await clean(shell().run(asking)));
  assert.deepEqual(readme.leftovers(), []);
}

describe("every command", { concurrency: 2 }, () => {
  test("README.md", { timeout: 180_000 }, async () => {
    const [port, modelPort] = [await freePort(), await freePort()];
    const state = join(folder, "state");
    const model = await ScriptedUpstream.start();
    const at = (where) => `PORT=${where} STATE_DIR=${state}${where === port ? "" : "-model"}`;
    const readme = new Readme("README.md", {
      left: NOT_RUN,
      changes: [
        ["127.0.0.1:8787", `127.0.0.1:${port}`],
        ["--persist-to .state", `--persist-to ${state}`],
        [/^make (?=dev|kill)/gm, `${at(port)} make `],
        [/^ {2}make (?=dev)/gm, `  ${at(modelPort)} make `],
        ["https://api.openai.com/v1", model.url],
        [/\w+\.ndjson/g, `${folder}/$&`],
        ['"delayMs":100', '"delayMs":15'],
        ["sleep 1 ", `${begun("r1")} `],
      ],
    });
    try {
      const [dev, submit, kill, rest, itsModel, approval, ...others] = readme.all();
      const asksD1 = others.find((block) => block.includes("d1 execute"));
      // Two at once, so that each command has to find its own.
      await Promise.all([serve(dev, port), serve(itsModel, modelPort)]);

      // On a state that nobody has used yet.
      assert.match(await clean(shell().run(asksD1)), /"results": \[\]/);

      const second = shell();
      const first = second.run(submit);
      const seen = join(folder, "first.ndjson");
      await until("the middle of the turn", () => existsSync(seen) && readFileSync(seen, "utf8").split("\n").length > 20);
      assert.match(await shell().run(kill), /was killed with SIGKILL/);
      assert.doesNotMatch(await clean(first), /session\.run\.completed/, "it was cut in its middle");
      const compared = await clean(second.run(rest));
      assert.match(compared, /^nothing lost, nothing twice$/m);
      const run = JSON.parse(compared.trimEnd().split("\n").at(-1));
      assert.deepEqual([run.epoch, run.attempts.length], [2, 1], compared);

      writeFileSync(join(folder, "client.mjs"), readme.only("js"));
      const client = shell().run(`node ${join(folder, "client.mjs")}`);

      const approved = await clean(second.run(approval));
      assert.match(approved, /"accepted":true[^]*session\.run\.completed/);

      const asked = await clean(second.run(`curl -sN http://127.0.0.1:${modelPort}/v1/sessions/m/turns -H "$JSON" -d "$TURN"`));
      assert.match(asked, /"delta":"plain"[^]*session\.run\.completed/);
      assert.equal(model.counts("Tell me a story").headers[0].authorization, "Bearer readme-key");

      for (const block of others) if (block !== asksD1 && block !== "") await clean(shell().run(`set -e; ${block}`));
      assert.equal(await client, told(readFileSync(join(folder, "calm.ndjson"), "utf8")));
      stuck(readme.only("sql"), state);
      assert.deepEqual(readme.leftovers(), []);
      const gone = Object.keys(NOT_RUN).filter((command) => command.startsWith("make ") && !isTarget(command));
      assert.deepEqual(gone, [], "make doesn't know them any more");
    } finally {
      await model.close();
    }
  });

  test("examples/custom-worker/README.md", { timeout: 120_000 }, () =>
    example("custom-worker", { sleeping: "s2" }, (said) => {
      assert.match(said, /"delta":"three "[^]*"delta":"one "[^]*session\.run\.completed/);
      assert.match(said, /"accepted":true/);
      assert.match(said, /a lamp for 5: true/);
    }),
  );

  test("examples/plain-worker/README.md", { timeout: 120_000 }, async () =>
    example("plain-worker", { agentPort: await freePort() }, (said) => {
      assert.match(said, /"delta":"hi"[^]*session\.run\.completed/);
    }),
  );

  test("examples/sandbox-agent/README.md", { timeout: 120_000 }, async () => {
    const [port, agentPort] = [await freePort(), await freePort()];
    const readme = new Readme("examples/sandbox-agent/README.md", {
      changes: [
        ["node examples", `PORT=${agentPort} node examples`],
        ["127.0.0.1:9000", `127.0.0.1:${agentPort}`],
        ["make dev", `PORT=${port} STATE_DIR=${join(folder, "sandbox-agent")} make dev`],
      ],
    });
    await serve(readme.all()[0], port);
    const turn = { method: "POST", headers: { "content-type": "application/json" }, body: '{"message":"hi there"}' };
    const answer = await fetch(`http://127.0.0.1:${port}/v1/sessions/s/turns`, turn);
    assert.equal(told(await answer.text()), "You said: hi there");
    assert.deepEqual(readme.leftovers(), []);
  });
});

test("no README is left out", () => {
  const examples = readdirSync(join(ROOT, "examples")).sort();
  assert.deepEqual(examples, ["custom-worker", "plain-worker", "sandbox-agent"]);
});
