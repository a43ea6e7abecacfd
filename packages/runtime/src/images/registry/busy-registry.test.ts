import type { ServerResponse } from "node:http";
import { busyboxImage, type FixtureImage, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { defaultImageOptions, type ImageOptions } from "../policy/image-options.ts";
import { defaultImagePolicy } from "../policy/image-policy.ts";
import { parseImageReference } from "../reference/image-reference.ts";
import { ImageStore } from "../store/image-store.ts";
import { RegistryClient } from "./registry-client.ts";
import { RegistryPatience } from "./registry-patience.ts";
import { type Answer, openRegistry, serving } from "./testing/fake-registry.ts";

const never = new AbortController().signal;

async function openStore(images: Partial<ImageOptions> = {}) {
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const store = await ImageStore.open({
    ...{ directory, style: "flat", keepOwners: false, idRange: null },
    images: { ...defaultImageOptions, ...images },
    registry: { documentMs: 5_000, stallMs: 5_000 },
  });
  stack.defer(() => store.close());
  const owned = stack.move();
  const words: string[] = [];
  return {
    words,
    prepare: (image: string, registryAuth = {}) =>
      store.prepare(image, { signal: never, progress: (text) => void words.push(text), registryAuth }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Asked {
  readonly line: string;
  readonly at: number;
}

/** A registry that requires a token and refuses the first request that `isBusy` selects. */
function busyAtFirst(
  image: FixtureImage,
  isBusy: (line: string) => boolean,
  refuse: (response: ServerResponse) => void,
) {
  const asked: Asked[] = [];
  let hasRefused = false;
  const answer: Answer = (request, response) => {
    const { method, url = "", headers } = request;
    const line = `${method} ${url}`;
    asked.push({ line, at: performance.now() });
    if (!hasRefused && isBusy(line)) {
      hasRefused = true;
      return refuse(response);
    }
    if (url.startsWith("/token")) return void response.end(JSON.stringify({ token: "good" }));
    if (headers.authorization !== "Bearer good") {
      const challenge = `Bearer realm="http://${headers.host}/token",service="here"`;
      return void response.writeHead(401, { "www-authenticate": challenge }).end();
    }
    response.setHeader("docker-content-digest", image.manifest.digest);
    serving(image)(request, response);
  };
  /** Milliseconds between the refused request and its repetition. */
  const waitedMs = () => {
    const [first, second] = asked.filter(({ line }) => isBusy(line));
    return (second?.at ?? Number.NaN) - (first?.at ?? Number.NaN);
  };
  return { answer, asked, waitedMs };
}

describe("a busy registry", () => {
  const refusals = [429, 503].flatMap((status) =>
    (["token", "manifest", "configuration", "layer"] as const).map((what) => [status, what] as const),
  );

  it.each(refusals)(
    "that answers %i to the request for a %s is asked again at the time that it named",
    async (status, what) => {
      const image = await busyboxImage();
      const parts = {
        token: "GET /token",
        manifest: "GET /v2/x/y/manifests/1",
        configuration: `GET /v2/x/y/blobs/${image.config.digest}`,
        layer: `GET /v2/x/y/blobs/${image.layers[0]?.digest}`,
      };
      const busy = busyAtFirst(
        image,
        (line) => line.startsWith(parts[what]),
        (response) => response.writeHead(status, { "retry-after": "1" }).end(),
      );
      await using registry = await openRegistry(busy.answer);
      await using store = await openStore();

      await store.prepare(`${registry.address}/x/y:1`);

      expect(busy.waitedMs()).toBeGreaterThan(990);
      expect(store.words).toContain(`${registry.address} is busy (the registry says ${status}): retrying in 1.0s`);
    },
  );

  it("is also asked again when the executor checks what a tag means now", async () => {
    const image = await busyboxImage();
    const busy = busyAtFirst(
      image,
      (line) => line.startsWith("HEAD"),
      (response) => response.writeHead(503, { "retry-after": new Date(Date.now() + 2000).toUTCString() }).end(),
    );
    await using registry = await openRegistry(busy.answer);
    await using store = await openStore({ policy: { ...defaultImagePolicy, pull: "always" } });
    await store.prepare(`${registry.address}/x/y:1`);

    await store.prepare(`${registry.address}/x/y:1`);

    expect(busy.waitedMs()).toBeGreaterThan(900);
    expect(store.words.join("\n")).toContain("is busy (the registry says 503): retrying in");
  });

  it("is waited for at most five minutes, and the error says what helps", async () => {
    const image = await busyboxImage();
    const busy = busyAtFirst(
      image,
      (line) => line.includes("/manifests/"),
      (response) =>
        response
          .writeHead(429, { "retry-after": "21600" })
          .end(JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "x" }] })),
    );
    await using registry = await openRegistry(busy.answer);
    await using store = await openStore();

    await expect(store.prepare(`${registry.address}/x/y:1`)).rejects.toMatchObject({
      reason: "image-unavailable",
      hint: expect.stringContaining("credentials or a mirror"),
      cause: { message: "the registry says 429 TOOMANYREQUESTS" },
    });
    expect(busy.asked).toHaveLength(1);
  });

  it("that is a mirror is not waited for: the original registry is asked", async () => {
    await using mirror = await openRegistry((_, response) => response.writeHead(429, { "retry-after": "60" }).end());
    const client = new RegistryClient({}, 1e6, [new URL(`http://${mirror.address}`)]);
    const words: string[] = [];
    const patience = new RegistryPatience({ signal: never, progress: (text) => void words.push(text) });
    const image = parseImageReference("example:1");
    try {
      const answer = await client.fromSources(image, { signal: never }, async (source) =>
        source.isMirror ? await client.manifest(image, source, "1", { signal: never, patience }) : "the registry's",
      );

      expect(answer).toBe("the registry's");
    } finally {
      await client.close();
    }
    expect(mirror.asked).toHaveLength(1);
    expect(words).toEqual([]);
  });
});

describe("a registry that offers two ways to authenticate", () => {
  const bearer = (host: string | undefined) => `Bearer realm="http://${host}/token",service="here"`;

  it.each<[string, (host: string | undefined) => string | string[]]>([
    ["Basic first", (host) => `Basic realm="r", ${bearer(host)}`],
    ["Basic last", (host) => `${bearer(host)}, Basic realm="r"`],
    ["in two lines", (host) => ['Basic realm="r"', bearer(host)]],
    ["after an unknown method", (host) => `Negotiate, NTLM abc==, ${bearer(host)}`],
  ])("gives a token to an anonymous client: %s", async (_, challenge) => {
    const image = await busyboxImage();
    await using registry = await openRegistry((request, response) => {
      if (request.url?.startsWith("/token")) return void response.end(JSON.stringify({ token: "good" }));
      if (request.headers.authorization === "Bearer good") return serving(image)(request, response);
      response.writeHead(401, { "www-authenticate": challenge(request.headers.host) }).end();
    });
    await using store = await openStore();

    await store.prepare(`${registry.address}/x/y:1`);

    expect(registry.asked.join("\n")).not.toContain("Basic");
  });

  it("receives the password if it offers no token", async () => {
    const image = await busyboxImage();
    await using registry = await openRegistry((request, response) => {
      if (request.headers.authorization?.startsWith("Basic ")) return serving(image)(request, response);
      response.writeHead(401, { "www-authenticate": 'Negotiate, Basic realm="r"' }).end();
    });
    await using store = await openStore();

    await store.prepare(`${registry.address}/x/y:1`, { [registry.address]: { username: "a", password: "b" } });
  });
});
