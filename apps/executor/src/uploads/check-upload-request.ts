import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

/** Why a step's request is not passed on to the instance. */
export interface UploadRefusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** A step's request as it is passed on. */
export interface CheckedUpload {
  readonly method: "HEAD" | "POST";
  /** Relative to the instance's URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The same limit as the instance's for one part of an index. */
export const maxUploadBytes = 1024 ** 3;

const routes = ["/.executors/lsif/upload", "/.executors/scip/upload", "/.api/lsif/upload", "/.api/scip/upload"];
/** All other headers are dropped: credentials, those of the connection, and those that proxies believe. */
const passedOn = ["accept", "content-encoding", "content-length", "content-type", "user-agent", "x-uncompressed-size"];
const single = ["content-length", "host", "transfer-encoding"];

/** Decides whether a step's request is an upload, and what of it the instance gets. */
export function checkUploadRequest(request: IncomingMessage, port: number): CheckedUpload | UploadRefusal {
  const { method, url = "", headers } = request;
  const [path = "", query] = splitOnce(url, "?");
  // Compared as sent: an encoded path or a whole URL is another text.
  if (!routes.includes(path)) {
    return refusal(404, "unknown-route", "only uploads of code indexes pass here", `Use ${routes.join(", ")}.`);
  }
  if (method !== "POST" && method !== "HEAD") {
    return refusal(405, "method-not-allowed", "only POST and HEAD pass here", "Send the index with POST.");
  }
  if (headers.upgrade !== undefined) {
    return refusal(400, "upgrade-refused", "a connection can't be upgraded here", "Leave out the header Upgrade.");
  }
  const repeated = single.find((name) => countOf(request, name) > 1);
  if (repeated !== undefined) {
    return refusal(400, "header-repeated", `the header ${repeated} occurs twice`, "Send it once.");
  }
  if (headers.host !== `127.0.0.1:${port}` && headers.host !== `localhost:${port}`) {
    return refusal(400, "host-refused", "the header Host names another server", `Use http://127.0.0.1:${port}.`);
  }
  return checkBody(headers) ?? { method, path: relative(path, query), headers: passOn(headers) };
}

function checkBody(headers: IncomingHttpHeaders): UploadRefusal | null {
  const { "transfer-encoding": encoding, "content-length": length } = headers;
  if (encoding !== undefined && (length !== undefined || encoding.toLowerCase() !== "chunked")) {
    const hint = "Send Content-Length, or Transfer-Encoding: chunked.";
    return refusal(400, "framing-refused", "the length of the body is ambiguous", hint);
  }
  if (length !== undefined && Number(length) > maxUploadBytes) return tooLarge;
  return null;
}

export const tooLarge: UploadRefusal = refusal(
  413,
  "part-too-large",
  "one part of an index is at most 1 GiB",
  "Send the index in several parts (multiPart=true).",
);

export function refusal(status: number, code: string, message: string, hint: string): UploadRefusal {
  return { status, code, message, hint };
}

function countOf({ rawHeaders }: IncomingMessage, name: string): number {
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}

function passOn(headers: IncomingHttpHeaders): Record<string, string> {
  const found = passedOn.map((name) => [name, headers[name]] as const);
  return Object.fromEntries(found.flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])));
}

function relative(path: string, query: string | undefined): string {
  return `${path.slice(1)}${query === undefined ? "" : `?${query}`}`;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
