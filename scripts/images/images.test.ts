import { execFile } from "node:child_process";
import { createReadStream, readFileSync } from "node:fs";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import {
  clusterHookMs,
  describeWithEngines,
  engines,
  importArchive,
  kubectl,
  kubernetesCluster,
  loadArchive,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../programs/run.ts";
import { buildImages, buildPrograms } from "./build-images.ts";
import { architecture, type Descriptor } from "./oci-layout.ts";

const names = ["airlock-executor", "airlock-helper", "airlock-instance"];
const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { readonly version: string };
const repository = "localhost/images-test";

let directory: TemporaryDirectory;
let first: string;

beforeAll(async () => {
  directory = await temporaryDirectory("images-");
  await buildPrograms(path.join(directory.path, "programs"));
  first = path.join(directory.path, "first");
  await images(first);
}, 240_000);

afterAll(async () => await directory[Symbol.asyncDispose]());

function images(output: string, ...words: string[]): Promise<string> {
  const programs = path.join(directory.path, "programs");
  return buildImages(["--programs", programs, "--output", output, "--repository", repository, ...words]);
}

async function blob(image: string, digest: string) {
  return JSON.parse(await readFile(path.join(image, "blobs/sha256", digest.slice("sha256:".length)), "utf8"));
}

/** The index of all architectures, which `index.json` refers to. */
async function indexOf(image: string): Promise<{ readonly manifests: readonly Descriptor[] }> {
  const { manifests } = JSON.parse(await readFile(path.join(image, "index.json"), "utf8"));
  return await blob(image, manifests[0].digest);
}

describe("the images of this machine", () => {
  it("are the same bytes when they are built again, and keep the manifests of another architecture", async () => {
    const foreign = path.join(directory.path, "foreign");
    for (const name of names) await pretendArchitecture(path.join(first, name), path.join(foreign, name));
    const second = path.join(directory.path, "second");
    await images(second, "--add", foreign);

    for (const name of names) {
      const [own] = (await indexOf(path.join(first, name))).manifests;
      const both = (await indexOf(path.join(second, name))).manifests;
      expect(both.map(({ platform }) => platform?.architecture).sort()).toEqual([architecture, "riscv64"].sort());
      expect(both).toContainEqual(own);
      const bill = `${name}.linux-${architecture}.spdx.json`;
      expect(await readFile(path.join(second, bill), "utf8")).toBe(await readFile(path.join(first, bill), "utf8"));
    }
  }, 120_000);

  it("run as a user that is not root, and the helper is one program without a shell", async () => {
    for (const name of names) {
      const image = path.join(first, name);
      const manifest = await blob(image, (await indexOf(image)).manifests[0]?.digest ?? "");
      const { config } = await blob(image, manifest.config.digest);
      expect(config.User).toBe("65532:65532");
      if (name !== "airlock-helper") continue;
      const layer = path.join(image, "blobs/sha256", manifest.layers[0].digest.slice("sha256:".length));
      expect((await promisify(execFile)("tar", ["-tzf", layer])).stdout).toBe("agent\n");
    }
  });

  it("list their software with versions", async () => {
    const bill = JSON.parse(
      await readFile(path.join(first, `airlock-executor.linux-${architecture}.spdx.json`), "utf8"),
    );
    const found = new Map(
      bill.packages.map((each: { name: string; versionInfo: string }) => [each.name, each.versionInfo]),
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills it in.
    const { stdout } = await promisify(execFile)("dpkg-query", ["--show", "--showformat=${Version}", "git"]);
    expect(bill.spdxVersion).toBe("SPDX-2.3");
    expect(found.get("git")).toBe(stdout);
    expect(found.get("node")).toBe(process.versions.node);
    expect([...found.keys()]).toEqual(expect.arrayContaining(["libc6", "ca-certificates", "undici", "zod"]));
  });

  it("need programs, and a repository's name", async () => {
    const empty = path.join(directory.path, "empty");
    await mkdir(empty);
    await expect(buildImages(["--programs", empty])).rejects.toThrow("has no programs: run npm run build first");
    await expect(buildImages(["--repository", "https://registry.example.com"])).rejects.toThrow("must be like");
  });
});

describeWithEngines(["docker"], "the images in a Docker engine", () => {
  it("are loaded from their archives and run without rights", async () => {
    const { docker } = engines();
    const run = async (name: string, words: readonly string[]) => {
      const options = ["--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
      const command = ["--host", `unix://${docker?.socketPath}`, "run", ...options, ...words.slice(1)];
      const { stdout } = await promisify(execFile)("docker", [
        ...command,
        `${repository}/${name}:${version}`,
        words[0] ?? "",
      ]);
      return stdout;
    };
    for (const name of names)
      await loadArchive(createReadStream(path.join(first, `${name}.tar`)), docker?.socketPath ?? "");

    expect(await run("airlock-instance", ["--version"])).toBe(`${version}\n`);
    const shown = await run("airlock-executor", ["--version"]);
    expect(shown.split("\n")[0]).toBe(version);
    expect(shown).toContain(`Node v${process.versions.node}`);
  }, 120_000);
});

describeWithEngines(["kubernetes"], "the images in Kubernetes", () => {
  it(
    "run in pods of the restricted Pod Security Standard",
    async () => {
      const cluster = await kubernetesCluster();
      for (const name of names) await importArchive(cluster, createReadStream(path.join(first, `${name}.tar`)));
      const namespace = `images-${path
        .basename(directory.path)
        .toLowerCase()
        .replace(/[^a-z0-9]/g, "")}`;
      await kubectl(cluster, "create", "namespace", namespace);
      try {
        await kubectl(cluster, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted");
        const pods = [pod("instance", ["--version"]), pod("executor", ["--help"])];
        await writeFile(
          path.join(directory.path, "pods.json"),
          JSON.stringify({ apiVersion: "v1", kind: "List", items: pods }),
        );
        await kubectl(cluster, "--namespace", namespace, "apply", "-f", path.join(directory.path, "pods.json"));
        const ended = [
          "wait",
          "--for=jsonpath={.status.phase}=Succeeded",
          "pod/instance",
          "pod/executor",
          "--timeout=60s",
        ];
        await kubectl(cluster, "--namespace", namespace, ...ended);

        expect(await kubectl(cluster, "--namespace", namespace, "logs", "instance")).toMatch(/^\d+\.\d+\.\d+\n$/);
        expect(await kubectl(cluster, "--namespace", namespace, "logs", "executor")).toContain("executor validate");
      } finally {
        await kubectl(cluster, "delete", "namespace", namespace, "--wait=false");
      }
    },
    clusterHookMs,
  );
});

function pod(name: string, args: readonly string[]) {
  const securityContext = {
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  };
  const container = {
    name,
    image: `${repository}/airlock-${name}:${version}`,
    imagePullPolicy: "Never",
    args,
    securityContext,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { restartPolicy: "Never", containers: [container] },
  };
}

/** Copies a layout and claims that it was built on a machine of another architecture. */
async function pretendArchitecture(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  for (const name of await readdir(path.join(to, "blobs/sha256"))) {
    const file = path.join(to, "blobs/sha256", name);
    const text = (await readFile(file)).toString("latin1");
    // Only the nested index is changed. Nothing checks its digest, because it is written anew.
    if (!text.startsWith('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index')) continue;
    await writeFile(file, text.replace(`"architecture":"${architecture}"`, '"architecture":"riscv64"'));
  }
}
