import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  engines,
  type FixtureImage,
  openWorkplace,
  type PrivateRegistry,
  pushImage,
  startPrivateRegistry,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RegistryCredentials, Runtime } from "./contract/index.ts";
import { createDockerRuntime } from "./docker/index.ts";
import type { ImageOptions } from "./images/policy/image-options.ts";
import { defaultImagePolicy, type ImagePolicy } from "./images/policy/image-policy.ts";
import { parseImagePattern } from "./images/reference/image-pattern.ts";
import { openRegistry, serving } from "./images/registry/testing/fake-registry.ts";
import { createOciRuntime } from "./oci/index.ts";

const signal = new AbortController().signal;

type CreateRuntime = (stateDir: string, images: Partial<ImageOptions>, insecure: readonly string[]) => Promise<Runtime>;

/** What both runtimes make of an administrator's settings of images. */
function itGetsImages(createRuntime: CreateRuntime, kind: string): void {
  let stack: AsyncDisposableStack;
  let registry: string;
  let secret: PrivateRegistry;
  let dir: string;
  let count = 0;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    registry = engines().registry?.address ?? expect.unreachable();
    secret = stack.use(await startPrivateRegistry(registry.replace(/:\d+$/, "")));
  });
  afterAll(() => stack.disposeAsync());

  const policy = (more: Partial<ImagePolicy>) => ({ policy: { ...defaultImagePolicy, ...more } });

  /** What an image says of itself, and what was told while it was got. */
  async function use(
    images: Partial<ImageOptions>,
    image: string,
    registryAuth: Readonly<Record<string, RegistryCredentials>> = {},
    insecure: readonly string[] = [],
  ): Promise<{ readonly output: string; readonly words: readonly string[] }> {
    count += 1;
    const runtime = await createRuntime(join(dir, "state"), images, [registry, secret.address, ...insecure]);
    try {
      const id = `images-${process.pid}-${count}`;
      await using place = await openWorkplace(runtime, { id, owner: "test-images", image, registryAuth });
      const words: string[] = [];
      await place.sandbox.prepareImage(image, { signal, progress: (text) => words.push(text) });
      return { output: (await place.run("cat /which")).stdout, words };
    } finally {
      await runtime.close();
    }
  }

  async function push(repository: string, content: string, to = registry, authorization?: string) {
    const image = await buildImage([await busyboxLayer(), [{ name: "which", content }]], { Env: ["PATH=/bin"] });
    const options = { registry: to, repository: `${kind}/${repository}`, ...(authorization ? { authorization } : {}) };
    return { reference: await pushImage(image, options), digest: image.manifest.digest };
  }

  it("under if-not-present once, under always whenever the tag changed, and under never not at all", async () => {
    const { reference } = await push("moving", "first");

    await expect(use(policy({ pull: "never" }), reference)).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining("EXECUTOR_IMAGE_PULL_POLICY"),
    });
    expect((await use({}, reference)).output).toBe("first");
    await push("moving", "second");
    expect((await use({}, reference)).output).toBe("first");
    expect((await use(policy({ pull: "never" }), reference)).output).toBe("first");

    expect((await use(policy({ pull: "always" }), reference)).output).toBe("second");
    const again = await use(policy({ pull: "always" }), reference);
    expect(again.output).toBe("second");
    expect(again.words.join("\n")).not.toMatch(/unpacking|pulling layer/);
    expect((await use({}, reference)).output).toBe("second");
  });

  it("by digest with exactly that content", async () => {
    const { reference, digest } = await push("pinned", "first");
    await push("pinned", "second");
    const pinned = `${reference.replace(/:latest$/, "")}@${digest}`;

    expect((await use(policy({ requireDigest: true }), pinned)).output).toBe("first");
    expect((await use(policy({ pull: "never" }), pinned)).output).toBe("first");
    await expect(use(policy({ requireDigest: true }), reference)).rejects.toMatchObject({ reason: "policy" });
    const unknown = `${reference.replace(/:latest$/, "")}@sha256:${"0".repeat(64)}`;
    await expect(use({}, unknown)).rejects.toMatchObject({ reason: "image-invalid" });
  });

  it("only if they are allowed and not denied, including local images and `host`", async () => {
    const { reference } = await push("allowed", "this");
    const patterns = (...texts: string[]) => texts.map(parseImagePattern);
    await use({}, reference);

    await expect(use(policy({ denied: patterns(`${registry}/${kind}/*`) }), reference)).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining(`the pattern "${registry}/${kind}/*" of EXECUTOR_DENIED_IMAGES`),
    });
    await expect(use(policy({ allowed: patterns("docker.io/*") }), reference)).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining("EXECUTOR_ALLOWED_IMAGES"),
    });
    expect((await use(policy({ allowed: patterns(`${registry}/*`) }), reference)).output).toBe("this");
    await expect(use(policy({ allowed: patterns("*:latest") }), "host")).rejects.toMatchObject({ reason: "policy" });
  });

  it("only for its own architecture, and refuses others before they run", async () => {
    const image = await busyboxImage();
    const config = JSON.parse(image.config.bytes.toString());
    const other = withConfig(image, { ...config, architecture: "s390x" });
    const reference = await pushImage(other, { registry, repository: `${kind}/foreign` });

    await expect(use({}, reference)).rejects.toMatchObject({
      reason: "image-invalid",
      message: expect.stringMatching(/is built for linux\/s390x, not for linux\//),
    });
  });

  it("from a mirror without sending the registry's credentials, and only once", async () => {
    const repository = `library/airlock-${kind}-${process.pid}`;
    const image = await buildImage([await busyboxLayer(), [{ name: "which", content: "mirrored" }]]);
    await pushImage(image, { registry, repository, tag: "1" });
    const seen: string[] = [];
    await using dead = await listen(registry.replace(/:\d+$/, ""), seen);
    const mirrors = [new URL(`http://${dead.address}`), new URL(`http://${registry}`)];
    const auth = { "docker.io": { username: "hub-user", password: "password-of-the-hub" } };
    const name = repository.replace("library/", "");

    expect((await use({ mirrors }, `${name}:1`, auth)).output).toBe("mirrored");
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.join("\n")).not.toMatch(/authorization/i);
    expect((await use({ ...policy({ pull: "never" }), mirrors }, `index.docker.io/${name}:1`)).output).toBe("mirrored");
    const pinned = `${name}@${image.manifest.digest}`;
    expect((await use({ mirrors }, pinned)).output).toBe("mirrored");
    expect((await use({ ...policy({ pull: "never" }), mirrors }, pinned)).output).toBe("mirrored");
  });

  it("from a registry that is busy at first, and reports that it waits", async () => {
    const image = await buildImage([await busyboxLayer(), [{ name: "which", content: "busy" }]]);
    let refusals = 0;
    await using busy = await openRegistry(
      (request, response) => {
        if (request.url === "/v2/") return void response.end("{}");
        // The Docker engine asks twice before it gives up.
        if (request.url?.includes("/manifests/") && refusals < 2) {
          refusals += 1;
          return void response.writeHead(429, { "retry-after": "1" }).end();
        }
        serving(image)(request, response);
      },
      registry.replace(/:\d+$/, ""),
    );

    const { output, words } = await use({}, `${busy.address}/${kind}/busy:1`, {}, [busy.address]);

    expect(output).toBe("busy");
    expect(words.join("\n")).toMatch(/is busy \(the registry says .*\): retrying in \d/);
  });

  it.each(["first", "last"])(
    "but refuses an index of an image without a platform and an attestation, with the attestation %s",
    async (place) => {
      const image = await buildImage([await busyboxLayer(), [{ name: "which", content: `attested ${place}` }]]);
      const entry = ({ mediaType, digest, bytes }: FixtureImage["manifest"], more: object = {}) => ({
        ...{ mediaType, digest, size: bytes.length },
        ...more,
      });
      const attestation = entry(image.config, {
        mediaType: image.manifest.mediaType,
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": image.manifest.digest,
        },
      });
      const manifests = place === "missing" ? [entry(image.manifest)] : [entry(image.manifest), attestation];
      const mediaType = "application/vnd.oci.image.index.v1+json";
      const index = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType, manifests: place === "last" ? manifests : manifests.reverse() }),
      );
      const digest = `sha256:${createHash("sha256").update(index).digest("hex")}`;
      await using served = await openRegistry(
        (request, response) => {
          const asked = request.url?.split("/manifests/")[1];
          if (request.url === "/v2/") return void response.end("{}");
          if (asked !== "1" && asked !== digest) return serving(image)(request, response);
          response.writeHead(200, {
            "content-type": mediaType,
            "content-length": index.length,
            "docker-content-digest": digest,
          });
          response.end(request.method === "HEAD" ? undefined : index);
        },
        registry.replace(/:\d+$/, ""),
      );

      const name = `${served.address}/${kind}/attested-${place}:1`;
      const used = use({}, name, {}, [served.address]);
      if (place === "missing") expect((await used).output).toBe("attested missing");
      else {
        // The Docker engine looks no further than the index, and gives the image without a platform to no machine.
        await expect(used).rejects.toMatchObject({
          reason: "image-invalid",
          message: expect.stringMatching(/ is not built for linux\/\w+$/),
          hint: expect.stringContaining("platform"),
        });
      }
    },
  );

  it.each([
    [
      "with a variable that is too long",
      [`LONG=${"x".repeat(131_067)}`],
      /has the environment variable "LONG" of 131072 bytes/,
    ],
    [
      "with too many variables",
      Array.from({ length: 20 }, (_, index) => `V${index}=${"x".repeat(100_000)}`),
      /has environment variables of 1\.9 MiB together; .* 1 MiB/,
    ],
  ])("but refuses images %s before they run", async (name, env, message) => {
    const image = await busyboxImage({ Env: env });
    const reference = await pushImage(image, { registry, repository: `${kind}/${name.replaceAll(" ", "-")}` });
    await expect(use({}, reference)).rejects.toMatchObject({
      reason: "image-invalid",
      message: expect.stringMatching(message),
    });
  });

  it("under no policy if they are private and the job may not read them, not even by digest", async () => {
    const [alice, bob] = secret.users;
    const { reference, digest } = await push("secret", "of alice", secret.address, alice.authorization);
    const auth = (user: RegistryCredentials) => ({ [secret.address]: user });
    const pinned = `${reference.replace(/:latest$/, "")}@${digest}`;

    for (const pull of ["if-not-present", "always", "never"] as const) {
      if (pull !== "never") expect((await use(policy({ pull }), reference, auth(alice))).output).toBe("of alice");
      await expect(use(policy({ pull }), reference)).rejects.toMatchObject({ reason: "image-invalid" });
      const eve = { username: "eve", password: "x" };
      await expect(use(policy({ pull }), reference, auth(eve))).rejects.toMatchObject({ reason: "image-invalid" });
      await expect(use(policy({ pull }), pinned)).rejects.toThrow();
      expect((await use(policy({ pull }), reference, auth(bob))).output).toBe("of alice");
    }
  });

  it("with the executor's own credentials if the job has none, and shows them in no process", async () => {
    const [alice] = secret.users;
    const { reference } = await push("own", "for all", secret.address, alice.authorization);
    const asked: string[] = [];
    const credentials = async (name: string) => {
      asked.push(name);
      return name === secret.address ? alice : undefined;
    };
    const watch = new AbortController();
    const shown = watchProcesses(alice.password, watch.signal);
    try {
      expect((await use({ credentials }, reference)).output).toBe("for all");
    } finally {
      watch.abort();
    }
    expect(await shown).toEqual({ rounds: expect.any(Number), found: [] });
    expect((await shown).rounds).toBeGreaterThan(2);
    expect(asked).toContain(secret.address);
  });
}

/** The same image with another configuration. */
function withConfig(image: FixtureImage, value: object): FixtureImage {
  const replaced = (document: FixtureImage["config"], content: object) => {
    const bytes = Buffer.from(JSON.stringify(content));
    return { ...document, bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
  };
  const config = replaced(image.config, value);
  const manifest = JSON.parse(image.manifest.bytes.toString());
  const described = { ...manifest.config, digest: config.digest, size: config.bytes.length };
  return { ...image, config, manifest: replaced(image.manifest, { ...manifest, config: described }) };
}

/** Looks for a text in the arguments and environments of this and all later processes again and again. */
async function watchProcesses(text: string, until: AbortSignal): Promise<{ rounds: number; found: string[] }> {
  const found: string[] = [];
  let rounds = 0;
  const others = new Set((await readdir("/proc")).filter((pid) => pid !== String(process.pid)));
  do {
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid) || others.has(pid)) continue;
      for (const file of ["cmdline", "environ"]) {
        const content = await readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "");
        if (content.includes(text)) found.push(`${pid} ${file}`);
      }
    }
    rounds += 1;
    await new Promise((resolve) => setTimeout(resolve, 20));
  } while (!until.aborted);
  return { rounds, found };
}

/** A registry that wants credentials of everybody and fails; writes down which headers it was sent. */
async function listen(host: string, seen: string[]): Promise<AsyncDisposable & { readonly address: string }> {
  const server = createServer((request, response) => {
    seen.push(`${request.url} ${Object.keys(request.headers).join(" ")}`);
    response.writeHead(401, { "www-authenticate": 'Basic realm="mirror"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `${host}:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describeWithEngines(["oci", "registry"], "the oci runtime gets images", () => {
  itGetsImages(
    (stateDir, images, insecureRegistries) =>
      createOciRuntime({
        ...{ stateDir, images, allowHostImage: true, runtimePath: engines().oci?.runtimePath ?? "" },
        // The registry of the tests is not always on the loopback.
        registry: { insecureRegistries },
      }),
    "oci",
  );
});

describeWithEngines(["docker", "registry"], "the docker runtime gets images", () => {
  itGetsImages(
    async (stateDir, images) =>
      createDockerRuntime({
        workspaces: { dir: join(stateDir, "workspaces") },
        ...{ stateDir, images, host: `unix://${engines().docker?.socketPath}`, allowHostImage: true },
      }),
    "docker",
  );
});
