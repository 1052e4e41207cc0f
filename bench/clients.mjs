// Who speaks to a subject: each protocol's client has `measureTurn`, `open` and `resume`.

import * as steadfast from "./measure.mjs";

export async function clientOf({ protocol }) {
  return protocol === "ai-chat" ? import("./peers/client.mjs") : steadfast;
}
