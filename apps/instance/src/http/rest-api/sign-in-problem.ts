import { createHash } from "node:crypto";
import { escapeHiddenInLines } from "@airlock/api";
import type { AirlockError } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { toApiError } from "../shared/api-error.ts";

const style = `:root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }
main { max-width: 36em; margin: 15vh auto 0; padding: 0 20px; overflow-wrap: anywhere }
h1 { font-size: 24px }`;
/** Allows this style only. */
const styleSource = `'sha256-${createHash("sha256").update(style).digest("base64")}'`;

/** Browsers are led here by the provider, so that a person reads the answer. Programs get the usual form of errors. */
export function sendSignInProblem(request: FastifyRequest, reply: FastifyReply, error: AirlockError): FastifyReply {
  const { status, body } = toApiError(error);
  if (!request.headers.accept?.includes("text/html")) return reply.status(status).send(body);
  const { message, hint } = body.error;
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not signed in · Airlock</title>
<style>${style}</style>
<main>
<h1>Not signed in</h1>
<p>${toHtml(message)}</p>
${hint ? `<p>${toHtml(hint)}</p>\n` : ""}<p><a href="/">Back to Airlock</a> · <a href="/help/sign-in">Help</a></p>
</main>
</html>
`;
  return reply
    .status(status)
    .headers({
      "content-type": "text/html; charset=utf-8",
      // A page of text and two links. `sandbox` would keep the link from working.
      "content-security-policy": `default-src 'none'; style-src ${styleSource}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
    })
    .send(page);
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function toHtml(text: string): string {
  return escapeHiddenInLines(text).replace(/[&<>"']/g, (character) => entities[character] ?? "");
}
