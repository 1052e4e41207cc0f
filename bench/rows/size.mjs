// What is uploaded: the Worker's code, compressed as a deploy counts it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BUILD } from "../../miniflare/harness.mjs";
import { figure } from "../context.mjs";
import { builtPeer } from "../peers/build.mjs";
import { DEFAULT } from "../subjects.mjs";

const kilobytes = (path) => {
  const bytes = readFileSync(path);
  return { raw: bytes.length / 1_000, gzip: gzipSync(bytes, { level: 9 }).length / 1_000 };
};

export default {
  key: "size",
  title: "Size",
  async measure(context) {
    const results = { [DEFAULT.key]: [kilobytes(join(BUILD, "index_bg.wasm"))] };
    for (const { key, peer } of context.subjects)
      if (peer) results[key] = [kilobytes(join(builtPeer(peer), "index.js"))];
    return [
      figure("size.gzip", "code, gzip -9 (ours: the wasm)", "KB", results, ({ gzip }) => gzip),
      figure("size.raw", "… raw", "KB", results, ({ raw }) => raw),
    ];
  },
};
