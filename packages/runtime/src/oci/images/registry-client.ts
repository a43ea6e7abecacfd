import { createHash } from "node:crypto";
import { Agent, fetch, type Response } from "undici";
import { z } from "zod";
import type { Abortable, RegistryCredentials } from "../../contract.ts";
import { imageInvalid, imageUnavailable } from "../../errors.ts";
import { manifestMediaTypes } from "./image-manifest.ts";
import type { ImageReference } from "../../images/image-reference.ts";

export interface RegistryOptions {
  /** `HOST[:PORT]` of registries that are asked over plain HTTP. Loopback hosts always are. Default: none. */
  readonly insecureRegistries?: readonly string[];
  /** Answers the credentials for a registry, or `undefined` to go there anonymously. */
  readonly credentials?: (registry: string) => RegistryCredentials | undefined;
}

/** On whose behalf a registry is asked. */
export interface RegistryAccess extends Abortable {
  /** Default: anonymous. */
  readonly credentials?: RegistryCredentials | undefined;
}

const Token = z.object({ token: z.string().optional(), access_token: z.string().optional() });
const Errors = z.object({ errors: z.array(z.object({ code: z.string().regex(/^[A-Z_]{1,64}$/) })).min(1) });

/**
 * The pull half of the distribution API. https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 * Content is not verified here: whoever stores it does that.
 */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #documentBytes: number;
  // The default time-outs of 300 s would hold a slot of the executor for a registry that is gone.
  readonly #agent = new Agent({ connect: { timeout: 10_000 }, headersTimeout: 30_000, bodyTimeout: 60_000 });
  /** By repository and credentials: what one job may read says nothing about another. */
  readonly #tokens = new Map<string, string>();

  constructor(options: RegistryOptions, documentBytes: number) {
    this.#options = options;
    this.#documentBytes = documentBytes;
  }

  async close(): Promise<void> {
    await this.#agent.close();
  }

  /**
   * A manifest or index as it was sent; its media type decides what it is. `isPrivate`: the registry wanted credentials,
   * and was given some.
   */
  async manifest(
    image: ImageReference,
    version: string,
    options: RegistryAccess,
  ): Promise<{ readonly bytes: Buffer; readonly mediaType: string; readonly isPrivate: boolean }> {
    const response = await this.#request(image, `manifests/${version}`, manifestMediaTypes.join(", "), options);
    const bytes = await this.#readBounded(image, response, options);
    const isPrivate = options.credentials !== undefined && this.#tokens.has(tokenKey(image, options.credentials));
    return { bytes, isPrivate, mediaType: (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "" };
  }

  /** @throws {AirlockError} when these credentials do not reach the image. */
  async checkAccess(image: ImageReference, options: RegistryAccess): Promise<void> {
    const path = `manifests/${image.version.text}`;
    await this.#request(image, path, manifestMediaTypes.join(", "), options, "HEAD");
  }

  /** The content of a blob as it comes. Errors while it is read are the network's. */
  async blob(image: ImageReference, digest: string, options: RegistryAccess): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#request(image, `blobs/${digest}`, "*/*", options);
    return bodyOf(response);
  }

  async #request(
    image: ImageReference,
    path: string,
    accept: string,
    { signal, credentials }: RegistryAccess,
    method: "GET" | "HEAD" = "GET",
  ): Promise<Response> {
    const url = `${this.#origin(image.registry)}/v2/${image.repository}/${path}`;
    const key = tokenKey(image, credentials);
    const request = () => {
      const authorization = this.#tokens.get(key);
      const headers = { accept, "user-agent": "airlock", ...(authorization ? { authorization } : {}) };
      return fetch(url, { method, headers, signal, dispatcher: this.#agent });
    };
    try {
      let response = await request();
      if (response.status === 401) {
        await response.body?.cancel();
        const authorization = await this.#authorize(image, response.headers.get("www-authenticate") ?? "", {
          signal,
          credentials,
        });
        if (authorization !== undefined) {
          this.#tokens.set(key, authorization);
          response = await request();
        }
      }
      if (response.status === 200) return response;
      throw await refusal(image, response);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Error && error.name === "AirlockError") throw error;
      throw imageUnavailable(image.canonical, error);
    }
  }

  #origin(registry: string): string {
    const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
    return `${this.#isPlain(registry) ? "http" : "https"}://${host}`;
  }

  #isPlain(registry: string): boolean {
    const isLoopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(registry);
    return isLoopback || (this.#options.insecureRegistries ?? []).includes(registry);
  }

  /** The value of an Authorization header that answers the challenge. https://distribution.github.io/distribution/spec/auth/token/ */
  async #authorize(
    image: ImageReference,
    challenge: string,
    { signal, credentials }: RegistryAccess,
  ): Promise<string | undefined> {
    const basic = credentials
      ? `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`
      : undefined;
    const scheme = /^\s*(\w+)\s/.exec(`${challenge} `)?.[1]?.toLowerCase();
    if (scheme === "basic") return basic;
    if (scheme !== "bearer") return undefined;

    const parameters = new Map<string, string>();
    for (const [, key, value] of challenge.matchAll(/(\w+)="([^"]*)"/g)) parameters.set(key ?? "", value ?? "");
    const realm = URL.parse(parameters.get("realm") ?? "");
    const isAllowed = realm?.protocol === "https:" || (realm?.protocol === "http:" && this.#isPlain(image.registry));
    if (!realm || !isAllowed)
      throw imageUnavailable(image.canonical, new Error("the registry names no usable token service"));
    const service = parameters.get("service");
    if (service) realm.searchParams.set("service", service);
    realm.searchParams.set("scope", `repository:${image.repository}:pull`);
    const response = await fetch(realm, {
      headers: { accept: "application/json", ...(basic ? { authorization: basic } : {}) },
      signal,
      dispatcher: this.#agent,
    });
    if (response.status !== 200) throw await refusal(image, response);
    const text = (await this.#readBounded(image, response, { signal })).toString();
    const token = Token.parse(JSON.parse(text));
    const value = token.token ?? token.access_token;
    return value === undefined ? undefined : `Bearer ${value}`;
  }

  async #readBounded(image: ImageReference, response: Response, { signal }: Abortable): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of bodyOf(response)) {
        size += chunk.byteLength;
        if (size > this.#documentBytes) throw imageInvalid(image.canonical, "has a manifest that is too large");
        chunks.push(chunk);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Error && error.name === "AirlockError") throw error;
      throw imageUnavailable(image.canonical, error);
    }
    return Buffer.concat(chunks);
  }
}

function tokenKey(image: ImageReference, credentials: RegistryCredentials | undefined): string {
  return `${image.registry}/${image.repository} ${credentialsDigest(credentials)}`;
}

/** Tells credentials apart without keeping them. */
export function credentialsDigest(credentials: RegistryCredentials | undefined): string {
  if (!credentials) return "anonymous";
  return createHash("sha256")
    .update(JSON.stringify([credentials.username, credentials.password]))
    .digest("hex");
}

async function* bodyOf(response: Response): AsyncIterable<Uint8Array> {
  if (response.body) yield* response.body;
}

/** Nothing of the body but known codes is passed on: whoever names an image must not read what other servers answer. */
async function refusal(image: ImageReference, response: Response): Promise<Error> {
  const body = Errors.safeParse(await boundedJson(response));
  const words = `${response.status}${body.success ? ` ${body.data.errors.map((error) => error.code).join(" ")}` : ""}`;
  switch (response.status) {
    case 404:
      return imageInvalid(image.canonical, `does not exist (the registry says ${words})`);
    case 401:
    case 403:
      return imageInvalid(image.canonical, `does not exist or may not be read (the registry says ${words})`);
    default:
      return imageUnavailable(image.canonical, new Error(`the registry says ${words}`));
  }
}

async function boundedJson(response: Response): Promise<unknown> {
  let text = "";
  for await (const chunk of bodyOf(response)) {
    text += Buffer.from(chunk).toString();
    if (text.length > 64 * 1024) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
