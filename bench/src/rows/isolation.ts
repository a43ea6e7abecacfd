import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { Hardening, Runtime, SandboxPlan } from "@airlock/runtime";
import { createDockerRuntime } from "@airlock/runtime/docker";
import { createOciRuntime } from "@airlock/runtime/oci";
import { busyboxImage, dockerArchive, loadImage, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Subject } from "../measuring/paired.ts";
import { type BenchResult, type Comparison, compare } from "../measuring/result.ts";
import { installedRuntimes } from "./bare-runtime.ts";
import { sandboxSubjects } from "./sandbox-subjects.ts";

const image = "airlock-bench:latest";
const runsc = "/usr/bin/runsc";
/** Address of a DNS server. The steps of this row make no queries. */
const upstreams = [{ address: "192.0.2.53", port: 53 }];

/** Everything that an administrator can relax. */
const relaxed: Partial<Hardening> = {
  noNewPrivileges: false,
  seccomp: false,
  maskedPaths: false,
  userNamespace: false,
};

interface Variant {
  readonly name: string;
  readonly hardening: Partial<Hardening>;
  readonly egress: SandboxPlan["egress"];
}

/** The others are compared with the first one. */
const variants: readonly [Variant, ...Variant[]] = [
  { name: "relaxed, no network", hardening: relaxed, egress: { kind: "none" } },
  { name: "hardened, no network", hardening: {}, egress: { kind: "none" } },
  { name: "hardened, public", hardening: {}, egress: { kind: "public" } },
];

type Create = (variant: Variant, networkNamespace: string) => Promise<Runtime>;

/** Measures how much hardening and an egress policy slow down the start of a step, on each runtime. */
export async function isolation(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 10;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting engines");
  const { engines } = cleanup.use(await startEngines(["docker", "oci", "network"]));
  // Networks are created in the engine's namespace, so that the machine's own is not affected.
  if (!engines.docker || !engines.oci) throw new Error("this row needs Docker and an OCI runtime");
  const { socketPath, networkNamespace } = engines.docker;
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const archive = path.join(directory.path, "image.tar");
  const fixture = await busyboxImage();
  await writeFile(archive, await dockerArchive(fixture, image));
  await loadImage(fixture, socketPath, image);

  const creators: [string, Create][] = [];
  const programs = [...installedRuntimes(engines.oci.runtimePath), ...(existsSync(runsc) ? [runsc] : [])];
  for (const runtimePath of programs) {
    const program = path.basename(runtimePath);
    creators.push([
      `oci ${program}`,
      async ({ name, hardening }) => {
        const runtime = await createOciRuntime({
          stateDir: path.join(directory.path, program, name.replaceAll(/\W+/g, "-")),
          runtimePath,
          allowHostImage: false,
          hardening,
          gvisor: { platform: "ptrace" },
          egress: { networkNamespace, upstreams },
        });
        await runtime.loadImages(archive, { signal: new AbortController().signal });
        return runtime;
      },
    ]);
  }
  creators.push([
    "docker",
    async ({ hardening }) =>
      createDockerRuntime({
        host: `unix://${socketPath}`,
        allowHostImage: false,
        workspaces: { dir: path.join(directory.path, "workspaces") },
        hardening,
        egress: { networkNamespace, upstreams },
      }),
  ]);

  const subjects: Subject[] = [];
  for (const [runtimeName, create] of creators) {
    for (const variant of variants) {
      options.progress(`preparing ${runtimeName}, ${variant.name}`);
      const runtime = await create(variant, networkNamespace);
      cleanup.defer(() => runtime.close());
      const made = cleanup.use(await sandboxSubjects(runtime, image, variant.egress));
      subjects.push(
        ...made.subjects.map((subject) => ({ ...subject, name: `${runtimeName}, ${variant.name}: ${subject.name}` })),
      );
    }
  }
  const samples = await runPaired(subjects, { rounds, warmup: 1, progress: options.progress });
  const [plain, ...others] = variants;
  const comparisons: Comparison[] = creators.flatMap(([runtimeName]) =>
    others.flatMap((variant) =>
      ["first step", "further step"].map((which) =>
        compare(samples, `${runtimeName}, ${variant.name}: ${which}`, `${runtimeName}, ${plain.name}: ${which}`, null),
      ),
    ),
  );
  return {
    bench: "isolation: the start of a step with and without hardening and egress policy",
    rounds,
    samples,
    comparisons,
    notes: [
      "A first step is sandbox, image check, step and giving everything back; the network is made and removed with it.",
      "`relaxed`: without seccomp, no-new-privileges, masked paths and user namespace. gVisor has its own kernel in either.",
    ],
  };
}
