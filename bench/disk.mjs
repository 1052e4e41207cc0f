// What a commit costs on the disk that the measured Workers' state is on, whoever makes it.

import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { over } from "./stats.mjs";

const TRIES = 50;
const PAGE = Buffer.alloc(4_096, "x");

/** Times of writing a page and having it on the disk, in ms; the folder is that of every state, `TMPDIR`. */
export function syncMs() {
  const folder = mkdtempSync(join(tmpdir(), "steadfast-disk-"));
  const file = openSync(join(folder, "pages"), "w");
  const times = [];
  for (let n = 0; n < TRIES; n++) {
    const from = performance.now();
    writeSync(file, PAGE);
    fsyncSync(file);
    times.push(performance.now() - from);
  }
  closeSync(file);
  rmSync(folder, { recursive: true });
  return over(times);
}
