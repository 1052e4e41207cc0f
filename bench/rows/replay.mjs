// A finished turn read again from its first line, beside the pass-through that is served the same bytes by its upstream.

import { request } from "../../miniflare/client.mjs";
import { figure } from "../context.mjs";
import { DEFAULT, PASS, SUBJECTS } from "../subjects.mjs";

async function read(url, options) {
  const asked = performance.now();
  const reading = await request(url, options);
  await reading.whole();
  if (reading.status !== 200) throw new Error(`${options.path}: ${reading.status}`);
  return { ms: performance.now() - asked, bytes: reading.bytes };
}

export default {
  key: "replay",
  title: "Replay",
  async measure(context) {
    const { rounds, lines } = context.plan.replay;
    const [ours, pass] = [DEFAULT, PASS].map(({ key }) => SUBJECTS.find((subject) => subject.key === key));
    const served = await context.served();
    const { url, turn } = await context.at(ours);
    await context.at(pass);
    await turn({ lines, gapMs: 0 }, "replay");
    const path = "/v1/sessions/replay/turns/0/stream";
    const { bytes } = await read(url, { path });
    await fetch(`${served.upstreamUrl}/kept`, { method: "POST", body: bytes });
    const asks = {
      [ours.key]: () => read(url, { path }),
      [pass.key]: () =>
        read(served.urls[pass.name], {
          method: "POST",
          path: "/",
          body: JSON.stringify({ message: "go", metadata: { bench: { kept: true } } }),
        }),
    };
    const results = await context.rounds(rounds, "replay", [ours, pass], async ({ key }) => {
      const { ms, bytes: got } = await asks[key]();
      if (!got.equals(bytes)) throw new Error("these are not the same bytes");
      return ms;
    });
    return [
      figure("replay.ms", `replay of ${lines} lines (${(bytes.length / 1e6).toFixed(1)} MB)`, "ms", results),
      figure("replay.rate", "… lines a second", "lines/s", results, (ms) => (1_000 * lines) / ms),
    ];
  },
};
