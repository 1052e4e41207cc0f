// The floor: a Worker that hands the upstream's stream on as it comes, and keeps nothing.

export default {
  async fetch(request, env) {
    const answer = await fetch(`${env.UPSTREAM_URL}/agents/run/stream`, {
      method: "POST",
      headers: { "x-execution-id": crypto.randomUUID() },
      body: await request.text(),
    });
    return new Response(answer.body, { headers: { "content-type": "text/event-stream" } });
  },
};
