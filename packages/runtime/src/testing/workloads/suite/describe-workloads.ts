import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import {
  type DebianFixture,
  debianFixture,
  debianImages,
  describeWithEngines,
  type EngineName,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime, SandboxLimits, StepStatus } from "../../../contract/index.ts";
import type { EgressOptions } from "../../../egress/index.ts";
import { nameServer, publicIpv4, startTestNetwork } from "../../../egress/testing/test-network.ts";
import type { Hardening } from "../../../isolation/hardening.ts";
import { refusals, workloads } from "../catalogue/index.ts";
import { makePackageSources } from "../package-sources.ts";
import { startStaticServer } from "../static-server.ts";
import type { WorkloadStep } from "../workload.ts";

/** The runtime under test. It is created separately for each relaxation. */
export interface WorkloadTarget {
  readonly name: "docker" | "oci";
  readonly engines: readonly EngineName[];
  prepare(images: DebianFixture): Promise<PreparedWorkloadTarget>;
}

interface PreparedWorkloadTarget extends AsyncDisposable {
  /** Path of the network namespace that sandboxes are attached to. Without one the suite creates it. */
  readonly networkNamespace?: string;
  createRuntime(hardening: Partial<Hardening>, egress: EgressOptions): Promise<Runtime>;
}

/** An executor's default limits, with less memory and at most as many cores as this machine has. */
const limits: SandboxLimits = { cpus: Math.min(4, availableParallelism()), memoryBytes: 2 * 2 ** 30, pids: 4096 };
const sourcesPort = 8080;
const sourcesName = "packages.example.com";
const mirror = `http://${sourcesName}:${sourcesPort}`;
const zones = { [`${sourcesName} A`]: [[{ type: "A", data: publicIpv4, ttl: 300 }]] } as const;
const owner = `workloads-${process.pid}`;
/** Maximum output that is kept per step. */
const keptBytes = 1 << 20;

interface RunStep {
  readonly status: StepStatus;
  readonly output: string;
  readonly bytes: number;
}

/** Runs every workload with the defaults, and every refusal with the defaults and with its relaxation. */
export function describeWorkloads(target: WorkloadTarget): void {
  describeWithEngines(target.engines, `real workloads on the ${target.name} runtime, with the defaults`, () => {
    const cleanup = new AsyncDisposableStack();
    const runtimes = new Map<string, Promise<Runtime>>();
    let prepared: PreparedWorkloadTarget;
    let directory: string;
    let egress: EgressOptions;
    let npmLock: string;

    beforeAll(async () => {
      const images = await debianFixture();
      prepared = cleanup.use(await target.prepare(images));
      const { networkNamespace: hostPath } = prepared;
      const network = cleanup.use(await startTestNetwork(hostPath === undefined ? {} : { hostPath }));
      await network.internet.ask({ op: "name-server", address: nameServer, zones });
      egress = { networkNamespace: network.hostPath, upstreams: [{ address: nameServer, port: 53 }] };
      directory = cleanup.use(await temporaryDirectory("airlock-workloads-")).path;
      const served = join(directory, "served");
      ({ npmLock } = await makePackageSources(served, { packagesDirectory: images.packagesDirectory, url: mirror }));
      cleanup.use(
        await startStaticServer({
          namespacePath: network.internetPath,
          directory: served,
          address: publicIpv4,
          port: sourcesPort,
        }),
      );
      // The first use unpacks the image. Do that here, so that it does not count towards a workload's time.
      await runJob([{ script: "true" }], { timeoutMs: 200_000 });
    }, 600_000);
    afterAll(() => cleanup.disposeAsync());

    const runtimeWith = (hardening: Partial<Hardening>) => {
      const key = JSON.stringify(hardening);
      const runtime =
        runtimes.get(key) ??
        prepared.createRuntime(hardening, egress).then((made) => {
          cleanup.defer(() => made.close());
          return made;
        });
      runtimes.set(key, runtime);
      return runtime;
    };

    /** Runs the steps as one job. Returns how each ended, up to the first that failed. */
    async function runJob(
      steps: readonly WorkloadStep[],
      options: { readonly hardening?: Partial<Hardening>; readonly timeoutMs?: number } = {},
    ): Promise<readonly RunStep[]> {
      const runtime = await runtimeWith(options.hardening ?? {});
      const id = `workload-${randomBytes(6).toString("hex")}`;
      const signal = AbortSignal.timeout((options.timeoutMs ?? 60_000) * steps.length);
      await using sandbox = await runtime.createSandbox(
        {
          id,
          owner,
          workspace: {
            checkout: null,
            files: [{ path: ".input/package-lock.json", content: Buffer.from(npmLock), modifiedAt: undefined }],
            readOnlyFiles: [],
          },
          limits,
          egress: { kind: "public" },
        },
        { signal },
      );
      const ended: RunStep[] = [];
      for (const [index, { image: name = "plain", script }] of steps.entries()) {
        const image = debianImages[name];
        await sandbox.prepareImage(image, { signal, progress: () => {} });
        const printed: Buffer[] = [];
        let bytes = 0;
        const status = await sandbox.runStep(
          {
            key: `step-${index}`,
            image,
            files: [{ path: String(index), content: `set -eu\n${script}\n`, executable: true }],
            script: `/airlock/${index}`,
            workingDirectory: "/data",
            env: { MIRROR: mirror, INPUT: "/data/.input" },
          },
          {
            signal,
            output: (_, chunk) => {
              bytes += chunk.length;
              if (bytes <= keptBytes) printed.push(chunk);
            },
          },
        );
        ended.push({ status, output: Buffer.concat(printed).toString(), bytes });
        if (status.kind !== "exited" || status.exitCode !== 0) break;
      }
      return ended;
    }

    for (const { id, does, steps, timeoutMs } of workloads) {
      it(
        `${id}: ${does}`,
        async () => {
          const ended = await runJob(steps, timeoutMs === undefined ? {} : { timeoutMs });
          // Include the last step's output, which tells why it failed.
          const last = ended.at(-1);
          expect({ steps: ended.length, status: last?.status, said: said(last) }).toEqual({
            steps: steps.length,
            status: { kind: "exited", exitCode: 0 },
            said: expect.any(String),
          });
          for (const [index, { prints }] of steps.entries()) {
            if (prints) expect(ended[index]?.output).toMatch(prints);
          }
          if (id === "much-output") expect(last?.bytes).toBe(200_000_000);
        },
        (timeoutMs ?? 60_000) * steps.length + 10_000,
      );
    }

    describe("with refused operations", () => {
      for (const { id, does, script, says, relaxation } of refusals) {
        it(`${id}: ${does}`, async () => {
          const [ended] = await runJob([{ script }]);
          expect(ended?.output).toMatch(says);
          expect(ended?.status).not.toEqual({ kind: "exited", exitCode: 0 });
        });
        it(`${id}: works with the administrator's ${Object.keys(relaxation).join(", ")}`, async () => {
          // Without a user namespace the image has to be unpacked again.
          const [ended] = await runJob([{ script }], { hardening: relaxation, timeoutMs: 110_000 });
          expect({ status: ended?.status, said: said(ended) }).toEqual({
            status: { kind: "exited", exitCode: 0 },
            said: expect.any(String),
          });
        }, 120_000);
      }
    });
  });
}

function said(step: RunStep | undefined): string {
  return step?.output.slice(-2000) ?? "";
}
