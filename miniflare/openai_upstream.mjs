// A scripted OpenAI-compatible `POST /chat/completions`.
//
// Owns the chunks that such a server streams and the faults of it. The script stands in the last user message, after
// `script:`, because this protocol carries no metadata; counts are kept by that message's text.

import { setTimeout as pause } from "node:timers/promises";

/** A message that carries its script: `steps` of `say`, `think`, `refuse`, `call`, `error`, and how it ends. */
export function scripted(name, script) {
  return `${name} script:${JSON.stringify(script)}`;
}

const chunk = (choices, more = {}) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1_700_000_000,
  model: "scripted",
  choices,
  ...more,
});

const choice = (delta, finish_reason = null) => chunk([{ index: 0, delta, finish_reason }]);

/** Tool calls come in pieces, the name first, as real servers send them. */
function* callChunks({ index = 0, id, name, args }) {
  yield choice({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] });
  const half = args.length >> 1;
  for (const piece of [args.slice(0, half), args.slice(half)]) {
    yield choice({ tool_calls: [{ index, function: { arguments: piece } }] });
  }
}

/** The events of a script, as the text after `data: `. */
export function* eventsOf(script) {
  const { steps = [], finish = "stop", usage = true, done = true, rawLast } = script;
  yield JSON.stringify(choice({ role: "assistant", content: "" }));
  for (const step of steps) {
    if (step.say !== undefined) yield JSON.stringify(choice({ content: step.say }));
    if (step.raw !== undefined) yield step.raw;
    if (step.think !== undefined) yield JSON.stringify(choice({ reasoning_content: step.think }));
    if (step.refuse !== undefined) yield JSON.stringify(choice({ refusal: step.refuse }));
    if (step.call !== undefined) for (const part of callChunks(step.call)) yield JSON.stringify(part);
    if (step.error !== undefined) yield JSON.stringify({ error: step.error });
  }
  if (finish !== null) yield JSON.stringify(choice({}, finish));
  if (usage) {
    yield JSON.stringify(chunk([], { usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 } }));
  }
  if (rawLast !== undefined) yield rawLast;
  if (done) yield "[DONE]";
}

/** Answers one request by its script: `starts[n]` is the n-th start's fault (`status`, `retryAfter`, `dropAfter`, `closeAfter`, `stallAfter`). */
export async function answerChatCompletion(body, request, response, upstream) {
  const content = body.messages.at(-1).content;
  const text = typeof content === "string" ? content : content.map((part) => part.text ?? "").join("");
  const script = JSON.parse(text.split("script:")[1] ?? '{"steps":[{"say":"plain"}]}');
  const count = upstream.counts(text);
  const fault = script.starts?.[count.starts] ?? {};
  count.requests += 1;
  count.starts += 1;
  count.bodies.push(body);
  count.headers.push(request.headers);
  if (fault.status) {
    const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
    return response
      .writeHead(fault.status, { "content-type": "application/json", ...headers })
      .end('{"error":{"message":"scripted"}}');
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.flushHeaders();
  let sent = 0;
  for (const event of eventsOf(script)) {
    if (response.destroyed) return;
    const end = ["stallAfter", "closeAfter", "dropAfter"].find((name) => sent === fault[name]);
    if (end) upstream.happened(`chat ${end}`);
    if (end === "dropAfter") return response.destroy();
    if (end === "closeAfter") return response.end();
    if (end === "stallAfter") return;
    // Awaited, so that a drop loses nothing that it counts as sent.
    await new Promise((written) => response.write(`data: ${event}\n\n`, written));
    sent += 1;
    if (script.delayMs) await pause(script.delayMs);
  }
  response.end();
}
