import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  engines,
  type FixtureImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import type { RegistryCredentials } from "../../contract/index.ts";
import type { ImageLimits } from "../manifest/image-limits.ts";
import { ImageStore } from "../store/image-store.ts";
import { mayReach, reachOfAddress } from "./registry-reach.ts";
import { type Answer, openRegistry, serving } from "./testing/fake-registry.ts";

const never = new AbortController().signal;
const credentials: RegistryCredentials = { username: "job", password: "password-of-the-job" };

async function openStore(options: { limits?: Partial<ImageLimits>; insecure?: readonly string[] } = {}) {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const store = await ImageStore.open({
    ...{ directory: path, style: "flat", keepOwners: false, idRange: null },
    registry: { documentMs: 1_000, stallMs: 1_000, insecureRegistries: options.insecure ?? [] },
    limits: { documentBytes: 64 * 1024, ...options.limits },
  });
  stack.defer(() => store.close());
  const owned = stack.move();
  return {
    path,
    store,
    prepare: (image: string, registryAuth = {}) =>
      store.prepare(image, { signal: never, progress: () => {}, registryAuth }),
    /** Names of the temporary files that a failed pull left behind. */
    halfDone: () => readdir(join(path, "tmp")),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("a hostile registry", () => {
  const digest = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const manifestOf = (layers: readonly object[]) =>
    JSON.stringify({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { digest: digest("config"), size: 6 },
      layers,
    });

  it.each<[string, Answer, object]>([
    [
      "an endless manifest",
      (_, response) => {
        response.writeHead(200);
        const flood = () => {
          while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, " ")));
        };
        response.on("drain", flood);
        flood();
      },
      { reason: "image-invalid", message: expect.stringContaining("too large") },
    ],
    [
      "a compressed manifest that unpacks to a gigabyte",
      (_, response) => {
        const layer = gzipSync(Buffer.alloc(2 ** 24, " "));
        response.writeHead(200, { "content-encoding": "gzip" }).end(Buffer.concat(Array(64).fill(layer)));
      },
      { reason: "image-invalid", message: expect.stringContaining("too large") },
    ],
    [
      "10,000 layers",
      (_, response) => response.end(manifestOf(Array(10_000).fill({ digest: digest("x"), size: 1 }))),
      { reason: "image-invalid" },
    ],
    [
      "500 layers, more than overlayfs supports",
      (_, response) => response.end(manifestOf(Array(500).fill({ digest: digest("x"), size: 1 }))),
      { reason: "image-invalid", message: expect.stringContaining("110 layers") },
    ],
    [
      "layers of a petabyte",
      (_, response) => response.end(manifestOf([{ digest: digest("x"), size: 2 ** 50 }])),
      { reason: "image-invalid", message: expect.stringContaining("larger than") },
    ],
    [
      "a manifest that arrives very slowly",
      (_, response) => {
        response.writeHead(200).write("{");
        const timer = setInterval(() => response.write(" "), 50);
        response.on("close", () => clearInterval(timer));
      },
      { reason: "image-unavailable" },
    ],
    ["no answer at all", () => {}, { reason: "image-unavailable" }],
    [
      "redirects without an end",
      ({ url }, response) => response.writeHead(307, { location: `${url}x` }).end(),
      { reason: "image-unavailable" },
    ],
    [
      "a redirect to a file",
      (_, response) => response.writeHead(307, { location: "file:///etc/passwd" }).end(),
      { reason: "image-unavailable" },
    ],
    [
      "a token service with a file URL",
      (_, response) => response.writeHead(401, { "www-authenticate": 'Bearer realm="file:///etc/passwd"' }).end(),
      { reason: "image-unavailable" },
    ],
  ])("with %s fails soon and leaves nothing half-done", async (_, answer, expected) => {
    await using registry = await openRegistry(answer);
    await using place = await openStore({ limits: { compressedBytes: 2 ** 40 } });

    await expect(place.prepare(`${registry.address}/x/y:1`, { [registry.address]: credentials })).rejects.toMatchObject(
      expected,
    );
    expect(await place.halfDone()).toEqual([]);
  });

  it.each<[string, (response: ServerResponse, image: FixtureImage) => void, object]>([
    [
      "endless",
      (response) => {
        const flood = () => {
          while (!response.destroyed && response.write(Buffer.alloc(256 * 1024)));
        };
        response.on("drain", flood);
        flood();
      },
      { reason: "image-invalid", message: expect.stringContaining("more than") },
    ],
    [
      "different from its digest",
      (response, image) => response.end(Buffer.alloc(image.layers[0]?.bytes.length ?? 0)),
      { reason: "image-invalid", message: expect.stringContaining("digest") },
    ],
    [
      "sent very slowly",
      (response) => {
        const timer = setInterval(() => response.write("x"), 50);
        response.on("close", () => clearInterval(timer));
      },
      { reason: "image-unavailable" },
    ],
    ["cut off", (response) => response.write("x", () => response.destroy()), { reason: "image-unavailable" }],
  ])("whose layer is %s fails soon and leaves nothing half-done", async (_, answer, expected) => {
    const image = await busyboxImage();
    const layer = image.layers[0]?.digest ?? "";
    await using registry = await openRegistry(
      serving(image, (path, response) => {
        if (!path.endsWith(layer)) return false;
        answer(response.writeHead(200), image);
        return true;
      }),
    );
    await using place = await openStore();

    await expect(place.prepare(`${registry.address}/x/y:1`)).rejects.toMatchObject(expected);
    expect(await place.halfDone()).toEqual([]);
  });

  it("that redirects to another host causes no credentials to be sent there", async () => {
    const image = await busyboxImage();
    await using other = await openRegistry(serving(image));
    await using registry = await openRegistry(({ url = "", headers }, response) => {
      if (!headers.authorization) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="here"' }).end();
      } else {
        response.writeHead(307, { location: `http://${other.address}${url}` }).end();
      }
    });
    await using place = await openStore();

    await place.prepare(`${registry.address}/x/y:1`, { [registry.address]: credentials });

    expect(registry.asked.filter((line) => line.includes("Basic"))).not.toEqual([]);
    expect(other.asked.length).toBeGreaterThan(0);
    expect(other.asked.join("\n")).not.toMatch(/Basic|Bearer/);
  });

  it("that echoes the credentials in its answer does not get them into an error", async () => {
    await using registry = await openRegistry(({ headers }, response) => {
      const sent = Buffer.from((headers.authorization ?? "").replace("Basic ", ""), "base64").toString();
      if (sent === "") {
        response.writeHead(401, { "www-authenticate": 'Basic realm="here"' }).end();
        return;
      }
      response
        .writeHead(500, { "x-sent": sent })
        .end(JSON.stringify({ errors: [{ code: sent, message: sent }], details: sent }));
    });
    await using place = await openStore();

    const error: unknown = await place
      .prepare(`${registry.address}/x/y:1`, { [registry.address]: credentials })
      .catch((reason: unknown) => reason);

    expect(error).toMatchObject({ reason: "image-unavailable" });
    let text = "";
    for (let each = error; each instanceof Error; each = each.cause) text += `${each.message} ${each.stack}`;
    expect(text).not.toContain(credentials.password);
  });

  it("that refers to a private image's layers in another registry has to send those layers itself", async () => {
    const secret = await buildImage([await busyboxLayer(), [{ name: "secret", content: "of alice" }]]);
    const isAsked = 'Basic realm="here"';
    await using alices = await openRegistry((request, response) => {
      if (request.headers.authorization) return serving(secret)(request, response);
      response.writeHead(401, { "www-authenticate": isAsked }).end();
    });
    // This registry has the manifest and the configuration but none of the layers.
    await using evil = await openRegistry(
      serving(secret, (path, response) => {
        const isLayer = secret.layers.some(({ digest: name }) => path.endsWith(name));
        if (isLayer) response.writeHead(404).end();
        return isLayer;
      }),
    );
    // This image's configuration claims that one of its own layers is a private layer.
    const own = await buildImage([await busyboxLayer(), [{ name: "own", content: "x" }]]);
    const lie = {
      ...JSON.parse(own.config.bytes.toString()),
      rootfs: JSON.parse(secret.config.bytes.toString()).rootfs,
    };
    const bytes = Buffer.from(JSON.stringify(lie));
    const config = { ...own.config, bytes, digest: digest(bytes.toString()) };
    const manifest = JSON.parse(own.manifest.bytes.toString());
    const described = { ...manifest.config, digest: config.digest, size: bytes.length };
    const lyingManifest = Buffer.from(JSON.stringify({ ...manifest, config: described }));
    await using liar = await openRegistry(
      serving({ ...own, config, manifest: { ...own.manifest, bytes: lyingManifest } }),
    );
    for (const style of ["flat", "overlay"] as const) {
      await using stack = new AsyncDisposableStack();
      const { path } = stack.use(await temporaryDirectory());
      const store = await ImageStore.open({
        ...{ directory: path, style, keepOwners: false, idRange: null, registry: {} },
      });
      stack.defer(() => store.close());
      const prepare = (image: string, registryAuth = {}) =>
        store.prepare(image, { signal: never, progress: () => {}, registryAuth });
      await prepare(`${alices.address}/x/y:1`, { [alices.address]: credentials });

      await expect(prepare(`${evil.address}/x/y:1`)).rejects.toMatchObject({ reason: "image-invalid" });
      await expect(prepare(`${liar.address}/x/y:1`)).rejects.toMatchObject({ reason: "image-invalid" });
      // Nor on the second try, when the store could find it.
      await expect(prepare(`${liar.address}/x/y:1`)).rejects.toMatchObject({ reason: "image-invalid" });
    }
  });
});

// With an engine the registry has a non-loopback address, so that some addresses are closer than the registry itself.
describeWithEngines(["docker", "registry"], "a hostile registry on the network", () => {
  it("can't redirect the executor to this machine's own addresses", async () => {
    const host = engines().registry?.address.replace(/:\d+$/, "") ?? "";
    await using inside = await openRegistry((_, response) => response.end("{}"));
    for (const target of [`http://${inside.address}/secrets`, "http://169.254.169.254/latest/meta-data/"]) {
      await using registry = await openRegistry((_, response) => {
        response.writeHead(307, { location: target }).end();
      }, host);
      await using place = await openStore({ insecure: [registry.address] });

      const error: unknown = await place.prepare(`${registry.address}/x/y:1`).catch((reason: unknown) => reason);

      expect(error).toMatchObject({ reason: "image-unavailable", cause: { name: "OutOfReachError" } });
    }
    expect(inside.asked).toEqual([]);
  });
});

describe("the reach of an address", () => {
  it.each([
    ["8.8.8.8", "public"],
    ["2606:4700::1111", "public"],
    ["10.1.2.3", "private"],
    ["192.168.0.1", "private"],
    ["100.64.0.1", "private"],
    ["fd12::1", "private"],
    ["127.0.0.1", "host"],
    ["::1", "host"],
    ["::ffff:127.0.0.1", "host"],
    ["169.254.169.254", "host"],
    ["fe80::1", "host"],
  ])("%s is %s", (address, reach) => {
    expect(reachOfAddress(address)).toBe(reach);
  });

  it("allows only redirects to addresses that are at least as far away", () => {
    expect(mayReach("public", "public")).toBe(true);
    expect(mayReach("public", "private")).toBe(false);
    expect(mayReach("private", "public")).toBe(true);
    expect(mayReach("private", "host")).toBe(false);
    expect(mayReach("host", "host")).toBe(true);
  });
});
