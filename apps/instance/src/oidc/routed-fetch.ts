import type { RoutedAgents } from "@airlock/proxy";
import type { CustomFetch } from "openid-client";

/** A provider's documents are a few kilobytes. */
const maxBytes = 1024 * 1024;

/** Requests of the client library, on the way that the environment prescribes. */
export function routedFetch(agents: RoutedAgents): CustomFetch {
  return async (address, { method, headers, body, signal }) => {
    const url = new URL(address);
    if (body !== null && body !== undefined && typeof body !== "string" && !(body instanceof URLSearchParams)) {
      throw new Error("the request's body has an unknown form");
    }
    const answer = await agents.for(url).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: method === "POST" ? "POST" : "GET",
      headers,
      body: body ? body.toString() : null,
      signal: signal ?? null,
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of answer.body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > maxBytes) throw new Error(`the answer of ${url.origin} is longer than 1 MiB`);
      parts.push(part);
    }
    const response = new Headers();
    for (const [name, value] of Object.entries(answer.headers)) {
      for (const one of [value].flat()) if (one !== undefined) response.append(name, one);
    }
    const { statusCode: status } = answer;
    return new Response(status === 204 || status === 304 ? null : Buffer.concat(parts), { status, headers: response });
  };
}
