import { createHash, randomUUID } from "node:crypto";
import type { WriteStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readAtMost } from "@airlock/async";
import { AirlockError, errorMessage } from "@airlock/job";
import { type Proxies, RoutedAgents } from "@airlock/proxy";
import { z } from "zod";
import type { MirrorSource } from "../cache/mirror.ts";
import { checkoutInvalid, checkoutUnavailable } from "../checkout/checkout-errors.ts";
import type { LfsObject } from "./lfs-pointer.ts";

const Header = z.record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/), z.string().max(8000));
const Batch = z.object({
  objects: z
    .array(
      z.object({
        oid: z.string(),
        actions: z
          .object({ download: z.object({ href: z.string().max(8000), header: Header.optional() }).optional() })
          .optional(),
        error: z.object({ code: z.number(), message: z.string().default("") }).optional(),
      }),
    )
    .max(1000),
});

/** Where to download an object. */
interface Download {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

const mediaType = "application/vnd.git-lfs+json";
const maximumAnswerBytes = 4 * 1024 * 1024;
const hostHint = "The executor's administrator can allow hosts in EXECUTOR_GIT_LFS_HOSTS.";

/**
 * Client of Git LFS's batch API for one repository. The server's URL derives from the repository's URL, whatever the
 * repository says about it. Follows no redirects. The job's credentials go only to the repository's origin.
 */
export class LfsClient implements AsyncDisposable {
  readonly #source: MirrorSource;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #agents: RoutedAgents;

  /** @param allowedHosts `HOST[:PORT]` of servers that objects may come from, in addition to the repository's own. */
  constructor(source: MirrorSource, allowedHosts: readonly string[], proxies: Proxies) {
    this.#source = source;
    const options = { connect: { timeout: 10_000 }, headersTimeout: 30_000, bodyTimeout: 30_000 };
    this.#agents = new RoutedAgents(proxies, options);
    this.#allowedHosts = new Set(allowedHosts);
  }

  /** @throws {AirlockError} reason `checkout-invalid` for a missing object, `checkout-unavailable`, `policy`. */
  async locate(objects: readonly LfsObject[], signal: AbortSignal): Promise<Map<string, Download>> {
    const { url, headers } = this.#source;
    const { statusCode, body } = await this.#request(new URL(`${url.href}/info/lfs/objects/batch`), {
      method: "POST",
      headers: { ...headers, accept: mediaType, "content-type": mediaType },
      body: JSON.stringify({
        operation: "download",
        transfers: ["basic"],
        objects: objects.map(({ oid, size }) => ({ oid, size })),
        hash_algo: "sha256",
      }),
      signal,
    });
    const text = await readText(body, signal);
    if (statusCode !== 200) throw refused("the server's list of Git LFS objects", statusCode);
    const answer = Batch.safeParse(parseJson(text));
    if (!answer.success) throw checkoutUnavailable("the server's list of Git LFS objects is not valid");
    const downloads = new Map<string, Download>();
    for (const { oid, actions, error } of answer.data.objects) {
      if (error) throw refused(`the Git LFS object ${oid.slice(0, 64)}`, error.code);
      if (actions?.download) downloads.set(oid, this.#download(actions.download.href, actions.download.header ?? {}));
    }
    return downloads;
  }

  #download(href: string, header: Readonly<Record<string, string>>): Download {
    const { url: repository, headers } = this.#source;
    const url = URL.canParse(href, repository.href) ? new URL(href, repository.href) : undefined;
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
      throw checkoutUnavailable("the server sent an invalid address for a Git LFS object");
    }
    // A server behind a TLS-terminating proxy may not know the scheme of its public URL.
    if (url.host === repository.host) url.protocol = repository.protocol;
    if (url.origin === repository.origin) return { url, headers: { ...headers, ...lowerCase(header) } };
    if (this.#allowedHosts.has(url.host)) return { url, headers: lowerCase(header) };
    throw new AirlockError(`a Git LFS object is at ${url.host}, which this executor does not fetch from`, {
      code: "policy",
      reason: "policy",
      hint: hostHint,
    });
  }

  /**
   * Downloads an object to `file`, which exists only if its content matches the pointer.
   * @throws {AirlockError} reason `checkout-invalid` or `checkout-unavailable`.
   */
  async fetch({ oid, size }: LfsObject, { url, headers }: Download, file: string, signal: AbortSignal): Promise<void> {
    const { statusCode, body } = await this.#request(url, {
      method: "GET",
      headers: { ...headers, "accept-encoding": "identity" },
      signal,
    });
    if (statusCode !== 200) {
      body.destroy();
      throw refused(`the Git LFS object ${oid}`, statusCode);
    }
    const making = `${file}.tmp-${randomUUID()}`;
    const hash = createHash("sha256");
    let bytes = 0;
    async function* checked(source: AsyncIterable<Buffer>) {
      for await (const part of source) {
        bytes += part.length;
        if (bytes > size) throw wrongContent(oid, "is longer than its pointer says");
        hash.update(part);
        yield part;
      }
    }
    try {
      await writeWhole(making, (target) => pipeline(body, checked, target, { signal }));
      if (bytes !== size) throw wrongContent(oid, "is shorter than its pointer says");
      if (hash.digest("hex") !== oid) throw wrongContent(oid, "has different content than its pointer says");
      await rename(making, file);
    } catch (error) {
      await rm(making, { force: true });
      signal.throwIfAborted();
      if (error instanceof AirlockError) throw error;
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") throw error;
      throw checkoutUnavailable(
        `the connection was lost while fetching the Git LFS object ${oid}: ${errorMessage(error)}`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }

  async #request(
    url: URL,
    options: {
      readonly method: "GET" | "POST";
      readonly headers: Readonly<Record<string, string>>;
      readonly body?: string;
      readonly signal: AbortSignal;
    },
  ) {
    try {
      return await this.#agents.for(url).request({ origin: url.origin, path: url.pathname + url.search, ...options });
    } catch (error) {
      options.signal.throwIfAborted();
      throw checkoutUnavailable(
        `no answer from the Git LFS server at ${url.host}${this.#agents.wayTo(url)}: ${errorMessage(error)}`,
      );
    }
  }
}

/** Writes a new file. It is open before the work begins, and closed when this settles, so that it can be removed then. */
async function writeWhole(path: string, work: (target: WriteStream) => Promise<void>): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await work(file.createWriteStream());
}

/** Headers that would change the request itself rather than authenticate it. */
const ownHeaders = /^(?:host|connection|content-length|transfer-encoding|upgrade|te|expect|keep-alive)$/;

function lowerCase(header: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(header)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !ownHeaders.test(name)),
  );
}

async function readText(body: Readable, signal: AbortSignal): Promise<string> {
  const tooLong = () => checkoutUnavailable("the server's list of Git LFS objects is too long");
  try {
    return (await readAtMost(body, maximumAnswerBytes, tooLong)).toString();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AirlockError) throw error;
    throw checkoutUnavailable(
      `the connection was lost while fetching the list of Git LFS objects: ${errorMessage(error)}`,
    );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refused(what: string, status: number): AirlockError {
  const text = `${what} was answered with status ${status}`;
  if (status >= 300 && status < 400) return checkoutUnavailable(`${text}: the executor does not follow redirects`);
  if (status === 401 || status === 429 || status >= 500) return checkoutUnavailable(text);
  return checkoutInvalid(text, "Check that the objects were pushed and that the instance serves Git LFS.");
}

function wrongContent(oid: string, how: string): AirlockError {
  return checkoutUnavailable(
    `the Git LFS object ${oid} ${how}`,
    "The server, or a proxy before it, sends damaged data.",
  );
}
