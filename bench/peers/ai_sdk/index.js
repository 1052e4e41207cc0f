// Subject A: Cloudflare's AIChatAgent as its documentation's first example has it, the model behind the AI SDK.
//
// Every setting is a default of the peer's. The script goes upstream in a header, as a gateway's metadata would.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AIChatAgent } from "@cloudflare/ai-chat";
import { routeAgentRequest } from "agents";
import { convertToModelMessages, streamText } from "ai";

export class ChatAgent extends AIChatAgent {
  async onChatMessage(_onFinish, { body }) {
    const upstream = createOpenAICompatible({ name: "bench", baseURL: `${this.env.UPSTREAM_URL}/v1` });
    const result = streamText({
      model: upstream("bench"),
      messages: await convertToModelMessages(this.messages),
      headers: { "x-bench": JSON.stringify(body.bench) },
    });
    return result.toUIMessageStreamResponse();
  }
}

export default {
  async fetch(request, env) {
    return (await routeAgentRequest(request, env)) ?? new Response("not found", { status: 404 });
  },
};
