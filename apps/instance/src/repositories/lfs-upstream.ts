import { lookup } from "node:dns";
import { lookup as lookUp } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction } from "node:net";
import type { Readable } from "node:stream";
import { readAtMost } from "@airlock/async";
import { AirlockError, errorMessage } from "@airlock/job";
import { isPrivateName, type Proxies, RoutedAgents } from "@airlock/proxy";
import { z } from "zod";
import type { RepositorySource } from "./repository-url.ts";

export interface LfsObject {
  /** SHA-256 of the content, 64 hex digits. */
  readonly oid: string;
  /** In bytes. */
  readonly size: number;
}

export type LfsAnswer = LfsObject & { readonly error?: { readonly code: number; readonly message: string } };

const Answer = z.object({
  objects: z
    .array(
      z.object({
        oid: z.string(),
        actions: z
          .object({
            download: z
              .object({ href: z.string().max(8000), header: z.record(z.string(), z.string()).default({}) })
              .optional(),
          })
          .optional(),
        error: z.object({ code: z.number().int(), message: z.string().default("") }).optional(),
      }),
    )
    .max(1000),
});
type Located = z.output<typeof Answer>["objects"][number];

const mediaType = "application/vnd.git-lfs+json";
const maximumAnswerBytes = 4 * 1024 * 1024;
const timeoutMs = 30_000;
const idleMs = 60_000;

/** The HTTP clients for all LFS servers: one for the code hosts, and one that connects to public addresses only. */
export class LfsAgents implements AsyncDisposable {
  readonly host: RoutedAgents;
  readonly elsewhere: RoutedAgents;
  readonly #proxies: Proxies;

  constructor(proxies: Proxies) {
    const options = { headersTimeout: timeoutMs, bodyTimeout: idleMs };
    this.#proxies = proxies;
    this.host = new RoutedAgents(proxies, { ...options, connect: { timeout: timeoutMs } });
    this.elsewhere = new RoutedAgents(proxies, { ...options, connect: { timeout: timeoutMs, lookup: lookUpPublic } });
  }

  /**
   * Refuses an object's place that is not public. `lookUpPublic` checks names, unless a proxy resolves them. Then the
   * name is checked as this machine resolves it, or by its form. What the proxy connects to is its administrator's
   * decision.
   * @throws {AirlockError} `lfs-unavailable`.
   */
  async requirePublic(url: URL): Promise<void> {
    const host = bareHost(url);
    if (isIP(host) !== 0 ? !isPublic(host) : this.#proxies.forUrl(url) && !(await isPublicName(host))) {
      throw unavailable("stores the object at an internal address");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.host[Symbol.asyncDispose](), this.elsewhere[Symbol.asyncDispose]()]);
  }
}

async function isPublicName(host: string): Promise<boolean> {
  const found = await lookUp(host, { all: true }).catch(() => []);
  return found.length === 0 ? !isPrivateName(host) : found.every(({ address }) => isPublic(address));
}

/**
 * The Git LFS server of the code host that a repository is mirrored from. Its URL is derived from the repository's URL.
 * Redirects are not followed. Objects that the code host stores elsewhere are fetched only by https and only from
 * public addresses, and without the repository's credentials.
 */
export class LfsUpstream {
  readonly #base: URL;
  readonly #origin: string;
  readonly #authorization: Readonly<Record<string, string>>;

  readonly #agents: LfsAgents;

  /** @throws {AirlockError} `no-lfs`: the repository's URL is not http or https. */
  constructor(source: RepositorySource, agents: LfsAgents) {
    this.#agents = agents;
    if (!/^https?:/.test(source.url)) {
      throw new AirlockError("Git LFS objects can only be fetched from code hosts with http or https", {
        code: "no-lfs",
      });
    }
    const url = new URL(source.url);
    const user = decodeURIComponent(url.username);
    const basic = Buffer.from(`${user}:${decodeURIComponent(url.password)}`).toString("base64");
    this.#authorization = source.hasCredentials ? { authorization: `Basic ${basic}` } : {};
    url.username = "";
    url.password = "";
    url.search = "";
    url.hash = "";
    const path = url.pathname.replace(/\/+$/, "");
    url.pathname = `${path.endsWith(".git") ? path : `${path}.git`}/info/lfs`;
    this.#base = url;
    this.#origin = url.origin;
  }

  /**
   * Tells which of the objects exist.
   * @throws {AirlockError} `lfs-unavailable`.
   */
  async list(objects: readonly LfsObject[], signal: AbortSignal): Promise<LfsAnswer[]> {
    const located = new Map((await this.#locate(objects, signal)).map((object) => [object.oid, object]));
    return objects.map(({ oid, size }) => {
      const found = located.get(oid);
      if (found?.actions?.download) return { oid, size };
      const { code = 404, message = "object not found" } = found?.error ?? {};
      return { oid, size, error: { code, message: message.slice(0, 300) } };
    });
  }

  /**
   * Opens an object's content, which has `size` bytes according to the code host.
   * @throws {AirlockError} `lfs-not-found`, `lfs-unavailable`.
   */
  async open(object: LfsObject, signal: AbortSignal): Promise<Readable> {
    const [located] = (await this.#locate([object], signal)).filter(({ oid }) => oid === object.oid);
    const download = located?.actions?.download;
    if (!download) throw new AirlockError("no such Git LFS object", { code: "lfs-not-found" });
    if (!URL.canParse(download.href)) throw unavailable("sent an invalid address");
    const url = new URL(download.href);
    const own = url.origin === this.#origin;
    if (!own && url.protocol !== "https:") throw unavailable(`keeps the object at ${url.host}, without TLS`);
    const header = Object.fromEntries(
      Object.entries(download.header)
        .map(([name, value]) => [name.toLowerCase(), value] as const)
        .filter(([name]) => !connectionHeaders.test(name)),
    );
    if (!own) await this.#agents.requirePublic(url);
    const answer = await send(own ? this.#agents.host : this.#agents.elsewhere, url, {
      method: "GET",
      headers: { ...(own ? this.#authorization : {}), ...header, "accept-encoding": "identity" },
      signal,
    });
    if (answer.statusCode === 200) return answer.body;
    answer.body.destroy();
    if (answer.statusCode === 404) throw new AirlockError("no such Git LFS object", { code: "lfs-not-found" });
    throw unavailable(`answered ${answer.statusCode} for an object`);
  }

  async #locate(objects: readonly LfsObject[], signal: AbortSignal): Promise<Located[]> {
    const body = JSON.stringify({
      operation: "download",
      transfers: ["basic"],
      objects: objects.map(({ oid, size }) => ({ oid, size })),
      hash_algo: "sha256",
    });
    const answer = await send(this.#agents.host, new URL(`${this.#base.href}/objects/batch`), {
      method: "POST",
      headers: { ...this.#authorization, accept: mediaType, "content-type": mediaType },
      body,
      signal,
    });
    const text = await readText(answer.body);
    if (answer.statusCode !== 200) throw unavailable(`answered ${answer.statusCode}`);
    const parsed = Answer.safeParse(parseJson(text));
    if (!parsed.success) throw unavailable("sent an invalid response");
    return parsed.data.objects;
  }
}

/** Headers that would change how the request is sent, rather than authenticate it. */
const connectionHeaders = /^(?:host|connection|content-length|transfer-encoding|upgrade|te|expect|keep-alive)$/;

async function send(
  agents: RoutedAgents,
  url: URL,
  options: {
    readonly method: "GET" | "POST";
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal: AbortSignal;
  },
) {
  try {
    return await agents.for(url).request({ origin: url.origin, path: url.pathname + url.search, ...options });
  } catch (cause) {
    throw unavailable(`gave no answer${agents.wayTo(url)}: ${errorMessage(cause)}`);
  }
}

/** Connects to the same address that was checked. Otherwise DNS could change in between (TOCTOU). */
const lookUpPublic: LookupFunction = (host, options, callback) => {
  lookup(host, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, "", 0);
    const first = addresses.find(({ address }) => isPublic(address));
    if (!first) return callback(new Error(`${host} has no public address`), "", 0);
    if (options.all) callback(null, [first]);
    else callback(null, first.address, first.family);
  });
};

const reserved = new BlockList();
for (const range of [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
]) {
  const [net = "", prefix] = range.split("/");
  reserved.addSubnet(net, Number(prefix), "ipv4");
}
// IPv6 assigns only 2000::/3. Addresses in it that embed an IPv4 address could lead to private networks.
const given = new BlockList();
given.addSubnet("2000::", 3, "ipv6");
const standIns = new BlockList();
standIns.addSubnet("2002::", 16, "ipv6");
standIns.addSubnet("2001::", 32, "ipv6");

function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !reserved.check(address, "ipv4");
  return given.check(address, "ipv6") && !standIns.check(address, "ipv6");
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "");
}

async function readText(answer: Readable): Promise<string> {
  const tooLong = () => unavailable("sent a response that is too long");
  try {
    return (await readAtMost(answer, maximumAnswerBytes, tooLong)).toString();
  } catch (error) {
    if (error instanceof AirlockError) throw error;
    throw unavailable(`closed the connection: ${errorMessage(error)}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unavailable(what: string): AirlockError {
  return new AirlockError(`the code host's Git LFS server ${what}`, {
    code: "lfs-unavailable",
    hint: "Check the code host and the repository's credentials.",
  });
}
