import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  dockerArchive,
  engines,
  type FixtureImage,
  type LayerEntry,
  pushImage,
  shellLessImage,
  temporaryDirectory,
  writeOciLayout,
} from "@airlock/test-kit";
import { describe, expect, it, vi } from "vitest";
import type { ImageLimits } from "../manifest/image-limits.ts";
import { LayerStack } from "../unpack/layer-stack.ts";
import { ImageStore } from "./image-store.ts";

const never = new AbortController().signal;

describeWithEngines(["oci", "registry"], "an image from a registry", () => {
  const push = (image: FixtureImage, repository: string) =>
    pushImage(image, { registry: engines().registry?.address ?? "", repository });

  it("is pulled and unpacked with progress messages, and not a second time", async () => {
    await using place = await openStore();
    const reference = await push(await busyboxImage(), "oci/twice");
    const words: string[] = [];

    const first = await place.prepare(reference, words);
    const more: string[] = [];
    const second = await place.prepare(reference, more);

    expect(words[0]).toMatch(/^looking up /);
    expect(words.slice(-2)).toEqual([
      expect.stringMatching(/^pulling layer 1 of 1, [\d.]+ MiB of [\d.]+ MiB \(100 %\)$/),
      "unpacking layer 1 of 1",
    ]);
    expect(more).toEqual([]);
    expect(second).toEqual(first);
    expect(first.env).toContain("FROM_IMAGE=yes");
  });

  it("can be pulled by digest, and is found again without the registry", async () => {
    await using place = await openStore();
    const image = await busyboxImage();
    const tagged = await push(image, "oci/by-digest");
    const reference = `${tagged.replace(/:latest$/, "")}@${image.manifest.digest}`;

    await place.prepare(reference);

    expect((await place.reopened().then((store) => place.prepareIn(store, reference))).layers).toHaveLength(1);
  });

  it("is fetched once for all jobs that want it at the same time", async () => {
    await using place = await openStore();
    const reference = await push(await busyboxImage(), "oci/once");
    const words: string[] = [];

    const all = await Promise.all(Array.from({ length: 5 }, () => place.prepare(reference, words)));

    expect(new Set(all).size).toBe(1);
    expect(words.filter((text) => text.startsWith("unpacking"))).toHaveLength(5);
  });

  it("that does not exist is the job's fault; an unreachable registry is not", async () => {
    await using place = await openStore();
    const address = engines().registry?.address ?? "";

    await expect(place.prepare(`${address}/oci/none:1`)).rejects.toMatchObject({ reason: "image-invalid" });
    await expect(place.prepare("127.0.0.1:1/oci/none:1")).rejects.toMatchObject({ reason: "image-unavailable" });
  });

  it("contains the files that remain after its layers delete and replace each other's", async () => {
    await using place = await openStore();
    const image = await buildImage([
      [
        ...(await busyboxLayer()),
        { name: "gone", content: "" },
        { name: "tree/a/b", content: "" },
        { name: "opaque/old", content: "" },
        { name: "opaque/sub/old", content: "" },
        { name: "linked", type: "symlink", linkname: "etc" },
        { name: "sticky/", type: "directory", mode: 0o1777 },
      ],
      [
        { name: ".wh.gone", content: "" },
        { name: ".wh.tree", content: "" },
        { name: "opaque/sub/new", content: "" },
        { name: "opaque/.wh..wh..opq", content: "" },
        { name: "sticky/file", content: "" },
      ],
      [{ name: "tree/again", content: "" }],
    ]);
    const prepared = await place.prepare(await push(image, "oci/whiteouts"));
    const root = new LayerStack(prepared.layers.map((name) => join(place.store.layersDirectory, name)));

    expect(await root.lstat("gone")).toBeUndefined();
    expect([...(await root.names("tree"))]).toEqual(["again"]);
    expect([...(await root.names("opaque"))]).toEqual(["sub"]);
    expect([...(await root.names("opaque/sub"))]).toEqual(["new"]);
    expect(await root.lstat("linked/passwd")).toBeUndefined();
    expect((await root.resolve("linked/passwd"))?.stats.isFile()).toBe(true);
    expect(((await root.lstat("sticky"))?.stats.mode ?? 0) & 0o7777).toBe(0o1777);
  });

  it("keeps the layers that it shares with another image", async () => {
    await using place = await openStore();
    const base = await busyboxLayer();
    await place.prepare(await push(await buildImage([base]), "oci/base"));
    const words: string[] = [];

    await place.prepare(await push(await buildImage([base, [{ name: "more", content: "" }]]), "oci/derived"), words);

    expect(words.filter((text) => text.startsWith("unpacking"))).toEqual(["unpacking layer 2 of 2"]);
  });

  it.each<[string, (shell: readonly LayerEntry[]) => readonly LayerEntry[], RegExp]>([
    [
      "/dev as a link",
      (shell) => [...shell, { name: "dev", type: "symlink", linkname: "/proc/self/fd" }],
      /a symbolic link at \/dev/,
    ],
    [
      "/proc as a link",
      (shell) => [...shell, { name: "proc", type: "symlink", linkname: "tmp" }],
      /a symbolic link at \/proc/,
    ],
    ["/data as a file", (shell) => [...shell, { name: "data", content: "" }], /a file at \/data/],
    [
      "/airlock as a link",
      (shell) => [...shell, { name: "airlock", type: "symlink", linkname: "etc" }],
      /a symbolic link at \/airlock/,
    ],
    [
      "/bin/sh as a dangling link",
      () => [{ name: "bin/sh", type: "symlink", linkname: "../../../../../bin/busybox" }],
      /no \/bin\/sh/,
    ],
    ["/bin/sh as a circular link", () => [{ name: "bin/sh", type: "symlink", linkname: "sh" }], /no \/bin\/sh/],
    [
      "/bin/sh for another CPU",
      () => [{ name: "bin/sh", content: `\x7fELF${"\x02\x01\x01".padEnd(14, "\0")}\x16\0`, mode: 0o755 }],
      /this CPU cannot run/,
    ],
    ["/bin/sh that is garbage", () => [{ name: "bin/sh", content: "garbage", mode: 0o755 }], /this CPU cannot run/],
    ["/bin/sh that is not a program", () => [{ name: "bin/sh", content: "", mode: 0o644 }], /no \/bin\/sh/],
  ])("is refused for %s", async (_, entries, message) => {
    await using place = await openStore();
    const image = await buildImage([entries(await busyboxLayer())]);

    await expect(place.prepare(await push(image, "oci/hostile"))).rejects.toMatchObject({
      reason: "image-invalid",
      message: expect.stringMatching(message),
    });
  });

  it("runs as the user that its own /etc/passwd names", async () => {
    await using place = await openStore();
    const run = async (user: string) =>
      (await place.prepare(await push(await busyboxImage({ User: user }), `oci/user-${user.replace(/\W/g, "-")}`)))
        .user;

    expect(await run("app")).toEqual({ uid: 1234, gid: 1234, additionalGids: [], home: "/" });
    expect(await run("77:root")).toEqual({ uid: 77, gid: 0, additionalGids: [], home: "/" });
    await expect(run("stranger")).rejects.toMatchObject({ reason: "image-invalid" });
  });

  it("does not read the host's /etc/passwd through a link", async () => {
    await using place = await openStore();
    const shell = (await busyboxLayer()).filter(({ name }) => name !== "etc/passwd");
    const image = await buildImage(
      [[...shell, { name: "etc/passwd", type: "symlink", linkname: "../../../../etc/passwd" }]],
      {
        User: "nobody",
      },
    );

    await expect(place.prepare(await push(image, "oci/passwd"))).rejects.toMatchObject({ reason: "image-invalid" });
  });

  it("is never left incomplete when the process that pulls it is killed", async () => {
    await using place = await openStore();
    const image = await busyboxImage();
    // Never finishes the layer, so that the process is killed in the middle of it.
    await using registry = await fakeRegistry(image, {
      layer: async (response, bytes) => {
        response.write(bytes.subarray(0, bytes.length / 2));
        await new Promise(() => {});
      },
    });
    const child = spawn(
      process.execPath,
      ["--input-type=module", "-e", pullProgram(place.directory, registry.reference)],
      {
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
    await registry.layerRequested;
    await vi.waitFor(async () => expect(await readdir(join(place.directory, "tmp"))).not.toEqual([]), 10_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await readdir(join(place.directory, "tmp"))).not.toEqual([]);

    const store = await place.reopened();
    registry.behave({});

    expect(await readdir(join(place.directory, "tmp"))).toEqual([]);
    expect((await place.prepareIn(store, registry.reference)).layers).toHaveLength(1);
  });
});

describeWithEngines(["oci"], "a registry that sends false data", () => {
  it.each<[string, Behaviour, string]>([
    [
      "another layer",
      { layer: async (response, bytes) => void response.end(Buffer.alloc(bytes.length, "x")) },
      "image-invalid",
    ],
    [
      "a layer that is cut off",
      { layer: async (response, bytes) => void response.end(bytes.subarray(0, 100)) },
      "image-unavailable",
    ],
    [
      "more data than announced",
      { layer: async (response, bytes) => void response.end(Buffer.concat([bytes, bytes])) },
      "image-invalid",
    ],
    [
      "a connection that breaks",
      { layer: async (response, bytes) => void response.write(bytes.subarray(0, 100), () => response.destroy()) },
      "image-unavailable",
    ],
    ["an error", { layer: async (response) => void response.writeHead(500).end() }, "image-unavailable"],
    [
      "too many requests",
      { manifest: (response) => void response.writeHead(429, { "retry-after": "3600" }).end() },
      "image-unavailable",
    ],
    ["a manifest that is not JSON", { manifest: (response) => void response.end("<html>") }, "image-invalid"],
    ["an endless manifest", { manifest: (response) => void response.end(Buffer.alloc(5 << 20, " ")) }, "image-invalid"],
  ])("with %s can't make the executor use that data", async (_, behaviour, reason) => {
    await using place = await openStore();
    await using registry = await fakeRegistry(await busyboxImage(), behaviour);

    await expect(place.prepare(registry.reference)).rejects.toMatchObject({ reason });
    expect(await readdir(place.store.layersDirectory)).toEqual([]);
    expect(await readdir(join(place.directory, "tmp"))).toEqual([]);
  });

  it("can't make the executor print what another server answered", async () => {
    await using place = await openStore();
    await using registry = await fakeRegistry(await busyboxImage(), {
      manifest: (response) => void response.writeHead(404).end('{"errors":[{"code":"instance-secret-token"}]}'),
    });

    const error = await place.prepare(registry.reference).catch((caught: unknown) => String(caught));

    expect(error).not.toContain("secret");
  });

  it("can require a token, and gets the one that its token service issued", async () => {
    await using place = await openStore();
    await using registry = await fakeRegistry(await busyboxImage(), { token: "let-me-in" });

    expect((await place.prepare(registry.reference)).layers).toHaveLength(1);
  });

  it("can offer an image index, from which this machine's platform is chosen", async () => {
    await using place = await openStore();
    await using registry = await fakeRegistry(await busyboxImage(), { index: ["s390x", "this"] });
    await using other = await fakeRegistry(await busyboxImage(), { index: ["s390x"] });

    expect((await place.prepare(registry.reference)).layers).toHaveLength(1);
    await expect(place.prepare(other.reference)).rejects.toThrow("is not built for linux/");
  });
});

describe("the size limits of an image", () => {
  it.each<[string, Partial<ImageLimits>]>([
    ["layers", { layers: 0 }],
    ["stored bytes", { compressedBytes: 1000 }],
    ["unpacked bytes", { unpackedBytes: 1000 }],
    ["entries", { entries: 3 }],
  ])("bound its %s", async (_, limits) => {
    await using place = await openStore(limits);
    const archive = join(place.directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), "bounded:1"));

    const loadedAndPrepared = place.store.load(archive, { signal: never }).then(() => place.prepare("bounded:1"));

    await expect(loadedAndPrepared).rejects.toMatchObject({ reason: "image-invalid" });
  });
});

describe("an image archive", () => {
  it("of docker save is loaded under its tags", async () => {
    await using place = await openStore();
    const archive = join(place.directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), "team/app:7"));

    expect(await place.store.load(archive, { signal: never })).toEqual(["docker.io/team/app:7"]);
    expect((await place.prepare("team/app:7")).layers).toHaveLength(1);
  });

  it("that is an OCI layout is loaded under the name of its directory", async () => {
    await using place = await openStore();
    const layout = join(place.directory, "my-app");
    await mkdir(layout);
    await writeOciLayout(await busyboxImage(), layout, "1.2");

    expect(await place.store.load(layout, { signal: never })).toEqual(["localhost/my-app:1.2"]);
    expect((await place.prepare("localhost/my-app:1.2")).layers).toHaveLength(1);
  });

  it("replaces an older image of the same name", async () => {
    await using place = await openStore();
    const archive = join(place.directory, "image.tar");
    const load = async (image: FixtureImage) => {
      await writeFile(archive, await dockerArchive(image, "app:1"));
      await place.store.load(archive, { signal: never });
    };
    await load(await busyboxImage());
    await place.prepare("app:1");

    await load(await shellLessImage());

    await expect(place.prepare("app:1")).rejects.toThrow("has no /bin/sh");
  });

  it("that is not an image archive is refused", async () => {
    await using place = await openStore();
    const archive = join(place.directory, "garbage.tar");
    await writeFile(archive, Buffer.alloc(10_000, "x"));

    await expect(place.store.load(archive, { signal: never })).rejects.toMatchObject({ reason: "image-invalid" });
    expect(await readdir(join(place.directory, "tmp"))).toEqual([]);
  });

  it("names an archive that does not exist", async () => {
    await using place = await openStore();
    await expect(place.store.load("/nonexistent/image.tar", { signal: never })).rejects.toMatchObject({
      message: expect.stringContaining("the archive /nonexistent/image.tar can't be read"),
      hint: expect.stringContaining("docker save"),
    });
  });
});

async function openStore(limits: Partial<ImageLimits> = {}) {
  const directory = await temporaryDirectory("airlock-images-");
  const isRoot = process.geteuid?.() === 0;
  const open = () =>
    ImageStore.open({
      directory: directory.path,
      style: isRoot ? "overlay" : "flat",
      keepOwners: isRoot,
      idRange: null,
      registry: { insecureRegistries: [engines().registry?.address ?? ""] },
      limits,
    });
  const stores = [await open()];
  const prepareIn = (store: ImageStore, image: string, words: string[] = []) =>
    store.prepare(image, { signal: never, progress: (text) => void words.push(text) });
  return {
    directory: directory.path,
    store: stores[0] as ImageStore,
    prepareIn,
    prepare: (image: string, words?: string[]) => prepareIn(stores[0] as ImageStore, image, words),
    async reopened() {
      const store = await open();
      stores.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

interface Behaviour {
  readonly manifest?: (response: ServerResponse) => void;
  readonly layer?: (response: ServerResponse, bytes: Buffer) => Promise<void>;
  readonly token?: string;
  readonly index?: readonly ("s390x" | "this")[];
}

/** A registry with one image and configurable misbehavior. */
async function fakeRegistry(image: FixtureImage, initial: Behaviour) {
  let behaviour = initial;
  const requested = Promise.withResolvers<void>();
  const blobs = new Map([image.config, ...image.layers, image.manifest].map((blob) => [blob.digest, blob]));
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "";
    if (path.startsWith("/token")) return response.end(JSON.stringify({ token: behaviour.token }));
    if (behaviour.token && request.headers.authorization !== `Bearer ${behaviour.token}`) {
      const challenge = `Bearer realm="http://${request.headers.host}/token",service="fake",scope="x"`;
      return response.writeHead(401, { "www-authenticate": challenge }).end();
    }
    const layer = image.layers.find((blob) => path.endsWith(blob.digest));
    if (layer) {
      requested.resolve();
      if (behaviour.layer) return behaviour.layer(response, layer.bytes);
      return response.end(layer.bytes);
    }
    const named = path.includes("/manifests/");
    if (named && behaviour.manifest) return behaviour.manifest(response);
    const digest = path.split("/").at(-1) ?? "";
    if (named && !blobs.has(digest) && behaviour.index) {
      const { mediaType, digest: manifestDigest, bytes } = image.manifest;
      const architectures = { s390x: "s390x", this: process.arch === "x64" ? "amd64" : process.arch };
      const manifests = behaviour.index.map((name) => ({
        mediaType,
        size: bytes.length,
        digest: name === "this" ? manifestDigest : `sha256:${"0".repeat(64)}`,
        platform: { os: "linux", architecture: architectures[name] },
      }));
      return response
        .writeHead(200, { "content-type": "application/vnd.docker.distribution.manifest.list.v2+json" })
        .end(JSON.stringify({ schemaVersion: 2, manifests }));
    }
    const blob = blobs.get(digest) ?? (named ? image.manifest : undefined);
    if (!blob) return response.writeHead(404).end();
    return response.writeHead(200, { "content-type": blob.mediaType }).end(blob.bytes);
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    reference: `127.0.0.1:${port}/fake/image:1`,
    layerRequested: requested.promise,
    behave(next: Behaviour) {
      behaviour = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A program that pulls an image in a separate process. */
function pullProgram(directory: string, reference: string): string {
  const module = fileURLToPath(new URL("image-store.ts", import.meta.url));
  const options = { directory, style: "overlay", keepOwners: true, idRange: null, registry: {} };
  return `
    const { ImageStore } = await import(${JSON.stringify(module)});
    const store = await ImageStore.open(${JSON.stringify(options)});
    await store.prepare(${JSON.stringify(reference)}, { signal: new AbortController().signal, progress() {} });
  `;
}
