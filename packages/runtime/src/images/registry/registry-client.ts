import { readAtMost } from "@airlock/async";
import { noProxies, type Proxies } from "@airlock/proxy";
import type { Response } from "undici";
import { z } from "zod";
import type { Abortable, RegistryCredentials } from "../../contract/index.ts";
import { imageInvalid, imageUnavailable } from "../../contract/index.ts";
import { manifestMediaTypes } from "../manifest/image-manifest.ts";
import { credentialsDigest } from "../policy/registry-credentials.ts";
import { type ImageReference, isLoopbackHost } from "../reference/image-reference.ts";
import { type Challenge, parseChallenges } from "./parse-challenges.ts";
import { RegistryConnections } from "./registry-connections.ts";
import { BusyRegistryError, busyHint, parseRetryAfter, type RegistryPatience } from "./registry-patience.ts";
import { steadily } from "./steady-stream.ts";

export interface RegistryOptions {
  /** Registries (`HOST[:PORT]`) that are contacted over plain HTTP. Loopback hosts always are. Default: none. */
  readonly insecureRegistries?: readonly string[];
  /**
   * Absolute path of a directory like Docker's `certs.d`. `HOST[:PORT]/*.crt` are certificate authorities of that
   * registry, `HOST[:PORT]/NAME.cert` and `NAME.key` our client certificate. Default: none.
   */
  readonly certificatesDirectory?: string;
  /** The ways to registries and their token services. Default: all direct. */
  readonly proxies?: Proxies;
  /** Timeout in milliseconds for a manifest or a token. Default: 60,000. */
  readonly documentMs?: number;
  /** Stall timeout: milliseconds that a layer may take for its next 64 KiB. Default: 60,000. */
  readonly stallMs?: number;
}

/** How, and with which credentials, to contact a registry. */
export interface RegistryAccess extends Abortable {
  /** Waits while the registry is busy. Not used for mirrors: if a mirror is busy, the next source is tried. */
  readonly patience: RegistryPatience;
  /** Default: anonymous. */
  readonly credentials?: RegistryCredentials | undefined;
}

/** A single attempt without retries. */
type Asking = Omit<RegistryAccess, "patience">;

/** A source of an image: its registry or a mirror. */
export interface ImageSource {
  readonly isMirror: boolean;
  /** `HOST[:PORT]`. */
  readonly registry: string;
  readonly origin: string;
}

const Token = z.object({
  token: z.string().max(100_000).optional(),
  access_token: z.string().max(100_000).optional(),
});
const Errors = z.object({ errors: z.array(z.object({ code: z.string().regex(/^[A-Z_]{1,64}$/) })).min(1) });
const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** How long a mirror that failed is not tried again. */
const distrustMs = 60_000;
const stallBytes = 64 * 1024;
const maximumTokens = 10_000;

/**
 * A client for the pull half of the distribution API. It does not verify content; the blob store does.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #mirrors: readonly URL[];
  readonly #documentBytes: number;
  readonly #connections: RegistryConnections;
  /** Tokens by repository and credentials, because one job's access says nothing about another's. */
  readonly #tokens = new Map<string, string>();
  readonly #distrustedUntil = new Map<string, number>();

  constructor(options: RegistryOptions, documentBytes: number, mirrors: readonly URL[] = []) {
    this.#options = options;
    this.#mirrors = mirrors;
    this.#documentBytes = documentBytes;
    this.#connections = new RegistryConnections(options.certificatesDirectory ?? null, options.proxies ?? noProxies);
  }

  async close(): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }

  /** Tries an image's mirrors and then its registry until one attempt succeeds. Throws the registry's error. */
  async fromSources<T>(
    image: ImageReference,
    { signal }: Abortable,
    attempt: (source: ImageSource) => Promise<T>,
  ): Promise<T> {
    for (const source of this.#mirrorsOf(image)) {
      try {
        return await attempt(source);
      } catch (error) {
        signal.throwIfAborted();
        // A mirror that merely lacks the image stays trusted.
        if (!isImageInvalid(error)) this.#distrustedUntil.set(source.origin, performance.now() + distrustMs);
      }
    }
    return attempt(this.#registryOf(image));
  }

  /**
   * Fetches a manifest or index. Its media type tells which it is. `isPrivate`: the registry required a token, and we
   * sent credentials.
   */
  async manifest(
    image: ImageReference,
    source: ImageSource,
    version: string,
    access: RegistryAccess,
  ): Promise<{ readonly bytes: Buffer; readonly mediaType: string; readonly isPrivate: boolean }> {
    return await this.#patiently(image, source, access, async () => {
      const options = this.#inTime(access);
      const response = await this.#request(image, source, `manifests/${version}`, manifestTypes, options);
      const bytes = await this.#readBounded(image, response, options);
      const { credentials } = access;
      const isPrivate = credentials !== undefined && this.#tokens.has(tokenKey(image, source, credentials));
      return { bytes, isPrivate, mediaType: (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "" };
    });
  }

  /**
   * Returns the digest that a tag points to now, or `undefined` if the registry does not send it.
   * @throws {AirlockError} when the image can't be read.
   */
  async digest(image: ImageReference, source: ImageSource, access: RegistryAccess): Promise<string | undefined> {
    const response = await this.#head(image, source, access);
    return Digest.safeParse(response.headers.get("docker-content-digest")).data;
  }

  /**
   * Asks the registry, never a mirror, whether these credentials may read the image.
   * @throws {AirlockError} when they may not.
   */
  async checkAccess(image: ImageReference, access: RegistryAccess): Promise<void> {
    await this.#head(image, this.#registryOf(image), access);
  }

  /** Streams the content of a blob. Errors while reading are network errors. */
  async blob(
    image: ImageReference,
    source: ImageSource,
    digest: string,
    access: RegistryAccess,
  ): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#patiently(image, source, access, () =>
      this.#request(image, source, `blobs/${digest}`, "*/*", access),
    );
    return steadily(bodyOf(response), { bytes: stallBytes, ms: this.#options.stallMs ?? 60_000 });
  }

  async #head(image: ImageReference, source: ImageSource, access: RegistryAccess): Promise<Response> {
    const path = `manifests/${image.version.text}`;
    return await this.#patiently(image, source, access, () =>
      this.#request(image, source, path, manifestTypes, this.#inTime(access), "HEAD"),
    );
  }

  /** Repeats the whole attempt, because the token service may be what is busy. */
  async #patiently<T>(
    image: ImageReference,
    { isMirror, registry }: ImageSource,
    { patience, signal }: RegistryAccess,
    attempt: () => Promise<T>,
  ): Promise<T> {
    try {
      return await (isMirror ? attempt() : patience.run(registry, attempt));
    } catch (error) {
      signal.throwIfAborted();
      throw asUnavailable(image, error);
    }
  }

  #inTime({ signal, credentials }: RegistryAccess): Asking {
    const timeout = AbortSignal.timeout(this.#options.documentMs ?? 60_000);
    return { credentials, signal: AbortSignal.any([signal, timeout]) };
  }

  async #request(
    image: ImageReference,
    source: ImageSource,
    path: string,
    accept: string,
    { signal, credentials }: Asking,
    method: "GET" | "HEAD" = "GET",
  ): Promise<Response> {
    const { origin, registry, isMirror } = source;
    const url = new URL(`${origin}/v2/${image.repository}/${path}`);
    const own = isMirror ? undefined : credentials;
    const key = tokenKey(image, source, own);
    const isPlain = url.protocol === "http:";
    const request = () => {
      const authorization = this.#tokens.get(key);
      const headers = { accept, "user-agent": "airlock", ...(authorization ? { authorization } : {}) };
      return this.#connections.fetch(url, { method, headers, signal, registry, isPlain });
    };
    try {
      let response = await request();
      if (response.status === 401) {
        await response.body?.cancel();
        const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
        const authorization = await this.#authorize(image, source, challenges, { signal, credentials: own });
        if (authorization !== undefined) {
          if (this.#tokens.size >= maximumTokens) this.#tokens.clear();
          this.#tokens.set(key, authorization);
          response = await request();
          // Some registries give every user a token for public images. So only a token that was accepted makes an image
          // count as private.
          if (response.status === 401) this.#tokens.delete(key);
        }
      }
      if (response.status === 200) return response;
      throw await refusal(image, response);
    } catch (error) {
      signal.throwIfAborted();
      throw asUnavailable(image, error);
    }
  }

  #registryOf({ registry }: ImageReference): ImageSource {
    const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
    return { isMirror: false, registry, origin: `${this.#isPlain(registry) ? "http" : "https"}://${host}` };
  }

  #mirrorsOf({ registry }: ImageReference): readonly ImageSource[] {
    if (registry !== "docker.io") return [];
    return this.#mirrors
      .map(({ origin, host }) => ({ isMirror: true, registry: host, origin }))
      .filter(({ origin }) => (this.#distrustedUntil.get(origin) ?? 0) <= performance.now());
  }

  #isPlain(registry: string): boolean {
    return isLoopbackHost(registry.replace(/:\d+$/, "")) || (this.#options.insecureRegistries ?? []).includes(registry);
  }

  /**
   * Returns the value of an Authorization header that answers one of the challenges.
   * https://distribution.github.io/distribution/spec/auth/token/
   */
  async #authorize(
    image: ImageReference,
    source: ImageSource,
    challenges: readonly Challenge[],
    { signal, credentials }: Asking,
  ): Promise<string | undefined> {
    if (credentials?.registryToken) return `Bearer ${credentials.registryToken}`;
    const basic =
      credentials && credentials.username !== ""
        ? `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`
        : undefined;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    // Prefer a token: with basic authentication every request would carry the password.
    if (!bearer) return challenges.some(({ scheme }) => scheme === "basic") ? basic : undefined;

    const { parameters } = bearer;
    const realm = URL.parse(parameters.get("realm") ?? "");
    const isPlain = source.origin.startsWith("http:");
    if (realm?.protocol !== "https:" && !(realm?.protocol === "http:" && isPlain))
      throw imageUnavailable(image.canonical, new Error("the registry names no usable token service"));
    const asked = { service: parameters.get("service") ?? "", scope: `repository:${image.repository}:pull` };
    const connection = { signal, registry: source.registry, isPlain };
    const refresh = credentials?.identityToken;
    if (!refresh) for (const [name, value] of Object.entries(asked)) if (value) realm.searchParams.set(name, value);
    const response = await this.#connections.fetch(realm, {
      ...connection,
      headers: { accept: "application/json", ...(basic && !refresh ? { authorization: basic } : {}) },
      method: refresh ? "POST" : "GET",
      ...(refresh
        ? {
            form: { grant_type: "refresh_token", client_id: "airlock", ...asked, refresh_token: refresh },
          }
        : {}),
    });
    if (response.status !== 200) throw await refusal(image, response);
    const text = (await this.#readBounded(image, response, { signal })).toString();
    const token = Token.safeParse(parseJson(text));
    const value = token.data?.token ?? token.data?.access_token;
    // Keep the answer out of the message, because it may contain credentials that we sent.
    if (value === undefined || !/^[\x21-\x7e]+$/.test(value)) {
      throw imageUnavailable(image.canonical, new Error("the registry's token service sent no token"));
    }
    return `Bearer ${value}`;
  }

  async #readBounded(image: ImageReference, response: Response, { signal }: Abortable): Promise<Buffer> {
    const tooLarge = () => imageInvalid(image.canonical, "has a manifest that is too large");
    try {
      return await readAtMost(bodyOf(response), this.#documentBytes, tooLarge);
    } catch (error) {
      signal.throwIfAborted();
      throw asUnavailable(image, error);
    }
  }
}

const maximumErrorBytes = 64 * 1024;
const manifestTypes = manifestMediaTypes.join(", ");

function tokenKey(
  image: ImageReference,
  { origin }: ImageSource,
  credentials: RegistryCredentials | undefined,
): string {
  return `${origin}/${image.repository} ${credentialsDigest(credentials)}`;
}

function asUnavailable(image: ImageReference, error: unknown): Error {
  if (error instanceof Error && error.name === "AirlockError") return error;
  return imageUnavailable(image.canonical, error);
}

function isImageInvalid(error: unknown): boolean {
  return error instanceof Error && "reason" in error && error.reason === "image-invalid";
}

async function* bodyOf(response: Response): AsyncIterable<Uint8Array> {
  if (response.body) yield* response.body;
}

/**
 * Converts an error response. Only known codes of the body are passed on: the author of a job must not read the answers
 * of other servers through us (SSRF).
 */
async function refusal(image: ImageReference, response: Response): Promise<Error> {
  const body = Errors.safeParse(await errorBody(response));
  const words = `${response.status}${body.success ? ` ${body.data.errors.map((error) => error.code).join(" ")}` : ""}`;
  switch (response.status) {
    case 404:
      return imageInvalid(image.canonical, `does not exist (the registry says ${words})`);
    case 401:
    case 403:
      return imageInvalid(image.canonical, `does not exist or may not be read (the registry says ${words})`);
    case 429:
    case 503: {
      const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), new Date());
      return imageUnavailable(image.canonical, new BusyRegistryError(words, retryAfterMs), busyHint);
    }
    default:
      return imageUnavailable(image.canonical, new Error(`the registry says ${words}`));
  }
}

/** `undefined`: it is not JSON, or too long for an error. */
async function errorBody(response: Response): Promise<unknown> {
  const tooLong = new Error("the error is too long");
  try {
    return parseJson((await readAtMost(bodyOf(response), maximumErrorBytes, () => tooLong)).toString());
  } catch (error) {
    if (error !== tooLong) throw error;
    return undefined;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
