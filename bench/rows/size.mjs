// What is uploaded: the Worker's code, compressed as a deploy counts it.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BUILD } from "../../miniflare/harness.mjs";
import { figure } from "../context.mjs";
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
    for (const { key, buildDir } of context.subjects) {
      if (!buildDir || buildDir === BUILD) continue;
      const [script] = readdirSync(buildDir).filter((name) => /\.m?js$/.test(name));
      results[key] = [kilobytes(join(buildDir, script))];
    }
    return [
      figure("size.gzip", "code, gzip -9 (ours: the wasm)", "KB", results, ({ gzip }) => gzip),
      figure("size.raw", "… raw", "KB", results, ({ raw }) => raw),
    ];
  },
};
