// Subject B: the same AIChatAgent without the AI SDK in the Worker: the cheapest answer that its API takes.
//
// Owns the way from the upstream's frames to UI message stream events. The agent splits each piece of a body into
// events by itself and drops what a piece cuts, so a piece here is whole events, as many as came at once.

import { AIChatAgent } from "@cloudflare/ai-chat";
import { routeAgentRequest } from "agents";

const event = (chunk) => `data: ${JSON.stringify(chunk)}\n\n`;

const START = event({ type: "start" }) + event({ type: "text-start", id: "1" });
const END = event({ type: "text-end", id: "1" }) + event({ type: "finish" });

/** One frame of the upstream as an event; a token's time stands behind it, since a client sees nothing but the text. */
function eventOf(frame) {
  const { type, data } = JSON.parse(frame.slice(frame.indexOf("data: ") + "data: ".length));
  if (type === "execution.completed") return END;
  if (type !== "message.part.updated") return "";
  return event({ type: "text-delta", id: "1", delta: `${data.delta}@${data.sentAt} ` });
}

/** A body of frames as a body of events, read when the agent asks for more. */
function events(frames) {
  const reader = frames.getReader();
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  return new ReadableStream({
    start: (controller) => controller.enqueue(encoder.encode(START)),
    async pull(controller) {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        const whole = (rest + decoder.decode(value, { stream: true })).split("\n\n");
        rest = whole.pop();
        const piece = whole.map(eventOf).join("");
        if (piece !== "") return controller.enqueue(encoder.encode(piece));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** The text of the last message when it is the agent's own, from which a continuation is to go on. */
function partial(messages) {
  const last = messages.at(-1);
  if (last?.role !== "assistant") return undefined;
  return last.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}

export class ChatAgent extends AIChatAgent {
  async onChatMessage(_onFinish, { body }) {
    const answer = await fetch(`${this.env.UPSTREAM_URL}/agents/run/stream`, {
      method: "POST",
      headers: { "x-execution-id": crypto.randomUUID() },
      body: JSON.stringify({ metadata: { bench: body.bench }, partial: partial(this.messages) }),
    });
    return new Response(events(answer.body), { headers: { "content-type": "text/event-stream" } });
  }
}

export default {
  async fetch(request, env) {
    return (await routeAgentRequest(request, env)) ?? new Response("not found", { status: 404 });
  },
};
