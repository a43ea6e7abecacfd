import { randomBytes } from "node:crypto";
import { describeWithEngines, type EngineName } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime, SandboxPlan, StepStatus } from "../../../contract/index.ts";
import type { EgressOptions } from "../../../egress/index.ts";
import type { Zones } from "../../../egress/testing/agent-messages.ts";
import { instanceIpv4, nameServer, publicIpv4, startTestNetwork } from "../../../egress/testing/test-network.ts";
import type { Hardening } from "../../../isolation/hardening.ts";
import { hostPlace } from "../../host-place.ts";
import {
  type Attack,
  type AttackPlan,
  concerns,
  type RuntimeName,
  type Scene,
  type Weakened,
  weakenedOn,
} from "../attack.ts";
import { attacks } from "../catalogue/index.ts";
import type { HostileImageName } from "../hostile-images.ts";
import { startNeighbour } from "../neighbour.ts";
import { judge, watchHost } from "./judge-attack.ts";

/** The runtime under attack. It is created separately for each weakened configuration. */
export interface AttackTarget {
  readonly name: Exclude<RuntimeName, "kubernetes">;
  readonly engines: readonly EngineName[];
  /** How many times longer than in a container a step may take, e.g. because it is emulated. Default: 1. */
  readonly timeFactor?: number;
  /** Called once before the first attack. */
  prepare(): Promise<PreparedTarget>;
}

interface PreparedTarget extends AsyncDisposable {
  /** Path of the network namespace that sandboxes are attached to. Without one the suite creates it. */
  readonly networkNamespace?: string;
  /** Directory in which its runtimes create workspaces. */
  readonly workspacesDir: string;
  createRuntime(hardening: Partial<Hardening>, egress: EgressOptions): Promise<Runtime>;
  /** Loads an attacker's image into the runtime and returns its reference. Without a name it loads the usual one. */
  loadImage(runtime: Runtime, name: HostileImageName | undefined): Promise<string>;
}

const limits = { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 };
const a = (data: string, ttl = 300) => ({ type: "A", data, ttl }) as const;
const zones: Zones = {
  "public.example.com A": [[a(publicIpv4)]],
  "private.example.com A": [[a("10.99.0.2")]],
  "metadata.google.internal A": [[a("169.254.169.254")]],
  "rebinding.example.com A": [[a(publicIpv4, 0)], [a("10.99.0.2", 0)]],
  "*.tunnel.example.org A": [[a(publicIpv4)]],
};
const defaultTimeoutMs = 20_000;

/** Carries out every attack that concerns the runtime: with the defaults, and with the defence off. */
export function describeAttacks(target: AttackTarget): void {
  describeWithEngines(target.engines, `attacks on the ${target.name} runtime`, () => {
    const cleanup = new AsyncDisposableStack();
    const runtimes = new Map<string, Promise<Runtime>>();
    /** Runtimes that enforce egress policies at the same time need different owners, as executors have. */
    const owners = new Map<Runtime, string>();
    const images = new Map<Runtime, Map<string, Promise<string>>>();
    let prepared: PreparedTarget;
    let egress: EgressOptions;
    beforeAll(async () => {
      prepared = cleanup.use(await target.prepare());
      const { networkNamespace: hostPath } = prepared;
      const network = cleanup.use(await startTestNetwork(hostPath === undefined ? {} : { hostPath }));
      await network.internet.ask({ op: "name-server", address: nameServer, zones });
      const upstreams = [{ address: nameServer, port: 53 }];
      egress = { networkNamespace: network.hostPath, upstreams, closed: [instanceIpv4] };
    });
    afterAll(() => cleanup.disposeAsync());

    const runtimeWith = (weaknesses: Weaknesses) => {
      const { hardening = {}, egress: weakEgress = {} } = weaknesses;
      const key = JSON.stringify([hardening, weakEgress]);
      const runtime = runtimes.get(key) ?? openRuntime(hardening, weakEgress);
      runtimes.set(key, runtime);
      return runtime;
    };
    const imageIn = (runtime: Runtime, name: HostileImageName | undefined) => {
      const loaded = images.get(runtime) ?? new Map<string, Promise<string>>();
      images.set(runtime, loaded);
      const image = loaded.get(name ?? "") ?? prepared.loadImage(runtime, name);
      loaded.set(name ?? "", image);
      return image;
    };
    const openRuntime = async (hardening: Partial<Hardening>, weakEgress: EgressOptions) => {
      const runtime = await prepared.createRuntime(hardening, { ...egress, ...weakEgress });
      owners.set(runtime, `attacks-${process.pid}-${owners.size}`);
      cleanup.defer(() => runtime.close());
      return runtime;
    };

    const timeoutOf = (attack: Attack) => (attack.timeoutMs ?? defaultTimeoutMs) * (target.timeFactor ?? 1);

    async function carryOut(attack: Attack, weaknesses: Weaknesses, plan: AttackPlan, script = attack.script) {
      const runtime = await runtimeWith(weaknesses);
      const id = `attack-${randomBytes(6).toString("hex")}`;
      const owner = owners.get(runtime) ?? "";
      await using props = await attack.prepare?.();
      const timeout = AbortSignal.timeout(timeoutOf(attack));
      const image = await imageIn(runtime, attack.image);
      const printed: Buffer[] = [];
      await using watch = watchHost(attack);
      let status: StepStatus | Error;
      const sandboxPlan: SandboxPlan = {
        id,
        owner,
        workspace: { checkout: null, files: [], readOnlyFiles: [] },
        limits: { ...limits, ...plan.limits },
        egress: plan.egress ?? { kind: "none" },
      };
      await using neighbour = attack.neighbour
        ? await startNeighbour(runtime, {
            plan: { ...sandboxPlan, id: `${id}-b` },
            script: attack.neighbour,
            image,
            signal: timeout,
          })
        : undefined;
      await using sandbox = await runtime.createSandbox(sandboxPlan, { signal: timeout });
      try {
        await sandbox.prepareImage(image, { signal: timeout, progress: () => {} });
        status = await sandbox.runStep(
          {
            key: "attack",
            image,
            files: [{ path: "attack", content: script, executable: true }],
            script: "/airlock/attack",
            workingDirectory: plan.workingDirectory ?? "/data",
            env: { ...props?.env, ...plan.env, ...(neighbour ? { NEIGHBOUR: neighbour.said } : {}) },
          },
          { signal: timeout, output: (_, bytes) => void printed.push(bytes) },
        );
      } catch (error) {
        // Refusing or stopping the step is a defence. Whether it is the one for this attack is judged below.
        status = error instanceof Error ? error : new Error(String(error));
      }
      const scene: Scene = {
        runtime: target.name,
        sandbox,
        workspaceDir: hostPlace(prepared.workspacesDir, { owner, id }).workspaceDir,
        output: Buffer.concat(printed).toString("latin1"),
        status,
      };
      const seen = await watch.end();
      return { verdict: seen ? ({ kind: "breach", what: seen } as const) : await judge(attack, scene) };
    }

    for (const attack of attacks.filter((each) => concerns(each, target.name))) {
      const weakened = weakenedOn(attack, target.name);
      const timeout = 3 * timeoutOf(attack);
      describe(attack.id, () => {
        it(
          `fails: a step ${attack.does}`,
          async () => {
            const { verdict } = await carryOut(attack, {}, attack.plan ?? {});
            expect(verdict).toEqual({ kind: "held", how: expect.any(String) });
          },
          timeout,
        );
        if ("cannotBeShown" in weakened) return;
        it(
          "succeeds without its defence",
          async () => {
            const plan = { ...attack.plan, ...weakened.plan };
            const { verdict } = await carryOut(attack, weakened, plan, weakened.script);
            expect(verdict).toEqual({ kind: "breach", what: expect.any(String) });
          },
          timeout,
        );
      });
    }
  });
}

type Weaknesses = Pick<Exclude<Weakened, { readonly cannotBeShown: string }>, "hardening" | "egress">;
