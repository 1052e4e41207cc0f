// Commands that end, that are ended, and what they leave behind.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "./child.mjs";

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "steadfast-mutants-"))));
after(() => rmSync(folder, { recursive: true, force: true }));

const shell = (script, bounds) => run("sh", ["-c", script], { seconds: 60, log: join(folder, "log"), ...bounds });

/** A process that was ended may wait for somebody to ask how. */
function isGone(pid) {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", pid], { encoding: "utf8" });
  return stdout.trim() === "" || stdout.startsWith("Z");
}

async function assertGone(pid) {
  for (let look = 0; look < 50 && !isGone(pid); look += 1) await sleep(20);
  assert.ok(isGone(pid), `${pid} is left`);
}

test("a command that ends tells its code and all that it said", async () => {
  const { how, code, lines } = await shell("echo one; echo two >&2; exit 3");
  assert.deepEqual([how, code, lines.sort()], ["ended", 3, ["one", "two"]]);
  assert.deepEqual(readFileSync(join(folder, "log"), "utf8").split("\n").sort(), ["", "one", "two"]);
  assert.equal((await shell("kill -ABRT $$")).code, "SIGABRT");
});

test("a command that hangs is ended with all that it started", async () => {
  for (const bounds of [{ seconds: 0.1 }, { quiet: 0.1 }]) {
    const { how, lines } = await shell("sleep 60 & echo $!; wait", bounds);
    assert.equal(how, "late");
    await assertGone(lines[0]);
  }
});

test("what a command leaves behind is ended, too", async () => {
  const { how, lines } = await shell("sleep 60 >/dev/null 2>&1 & echo $!");
  assert.equal(how, "ended");
  await assertGone(lines[0]);
});

test("a command is ended at the line that says enough", async () => {
  const { how, lines } = await shell("echo go on; echo enough; sleep 60", { until: (line) => line === "enough" });
  assert.deepEqual([how, lines], ["seen", ["go on", "enough"]]);
});
