import { randomBytes } from "node:crypto";
import { clusterHookMs, describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReadOnlyFile, Runtime, Sandbox, SandboxLimits, StepStatus } from "../../../contract/index.ts";
import type { Hardening } from "../../../isolation/hardening.ts";
import { type Attack, concerns, type Weakened, weakenedOn } from "../attack.ts";
import { attacks } from "../catalogue/index.ts";
import type { HostileImageName } from "../hostile-images.ts";
import { judge, type Verdict, watchHost } from "./judge-attack.ts";

export interface PodTarget extends AsyncDisposable {
  createRuntime(hardening: Pick<Hardening, "seccomp">): Runtime;
  /** Loads an attacker's image into the cluster and returns its reference. */
  loadImage(name: HostileImageName | undefined): Promise<string>;
}

type Weakness = Exclude<Weakened, { readonly cannotBeShown: string }>;

/** What an attack's pod is like. Attacks of the same kind share a pod. */
interface PodKind {
  readonly limits: SandboxLimits;
  readonly seccomp: boolean;
}

const MiB = 2 ** 20;
const limits: SandboxLimits = { cpus: 1, memoryBytes: 256 * MiB, pids: 100 };
/** Enough for every attack that a limit of memory prevents. */
const wideLimits: SandboxLimits = { cpus: 2, memoryBytes: 2048 * MiB, pids: 100, shmBytes: 512 * MiB };
const defaultTimeoutMs = 20_000;
/** The other suites' pods are on the same machine. */
const timeFactor = 2;
const preparationMs = 60_000;
const togetherSeconds = 20;
const togetherMs = 240_000;

const own = attacks.filter((attack) => concerns(attack, "kubernetes"));
/** Attacks that neither end their step nor have to be seen from the host run one after another in one step. */
const together = own.filter(
  ({ image, neighbour, inspect, watch, endIsHeld, expects, plan }) =>
    !image && !neighbour && !inspect && !watch && !endIsHeld && !expects && !plan,
);

/**
 * Carries out the attacks that concern pods. Creating a pod takes seconds, so attacks share pods: each is a step of its
 * own, or a part of one step.
 */
export function describePodAttacks(prepare: () => Promise<PodTarget>): void {
  describeWithEngines(["kubernetes"], "attacks on the kubernetes runtime", () => {
    const cleanup = new AsyncDisposableStack();
    const sandboxes = new Map<string, Promise<Sandbox>>();
    const images = new Map<string, Promise<string>>();
    const batches = new Map<string, Promise<ReadonlyMap<string, string>>>();
    let target: PodTarget;
    beforeAll(async () => {
      target = cleanup.use(await prepare());
    }, clusterHookMs);
    afterAll(() => cleanup.disposeAsync(), 120_000);

    const sandboxOf = (kind: PodKind) => remembered(sandboxes, JSON.stringify(kind), () => openSandbox(kind));
    const imageOf = (name: HostileImageName | undefined) =>
      remembered(images, name ?? "", () => target.loadImage(name));

    async function openSandbox(kind: PodKind): Promise<Sandbox> {
      const runtime = target.createRuntime({ seccomp: kind.seccomp });
      cleanup.defer(() => runtime.close());
      const plan = {
        id: `attacks-${randomBytes(4).toString("hex")}`,
        owner: `attacks-${process.pid}`,
        workspace: { checkout: null, files: [], readOnlyFiles: [] },
        limits: kind.limits,
        egress: { kind: "none" },
      } as const;
      return cleanup.use(await runtime.createSandbox(plan, { signal: AbortSignal.timeout(60_000) }));
    }

    async function runStep(
      sandbox: Sandbox,
      step: { image: string; files: readonly ReadOnlyFile[]; env: Readonly<Record<string, string>>; timeoutMs: number },
    ): Promise<{ output: string; status: StepStatus | Error }> {
      const { image, files, env, timeoutMs } = step;
      const printed: Buffer[] = [];
      const run = async () => {
        // The start of the container does not count as the step's time.
        await sandbox.prepareImage(image, { signal: AbortSignal.timeout(preparationMs), progress: () => {} });
        return await sandbox.runStep(
          { key: "attack", image, files, script: "/airlock/attack", workingDirectory: "/data", env },
          { signal: AbortSignal.timeout(timeoutMs), output: (_, bytes) => void printed.push(bytes) },
        );
      };
      const status = await run()
        // Refusing or stopping the step is a defence. Whether it is the one for this attack is judged later.
        .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
      return { output: Buffer.concat(printed).toString("latin1"), status };
    }

    /** What each attack of a batch printed. */
    async function carryOutTogether(parts: readonly Attack[], kind: PodKind): Promise<ReadonlyMap<string, string>> {
      const sandbox = await sandboxOf(kind);
      await using props = new AsyncDisposableStack();
      const env: Record<string, string> = {};
      for (const { prepare: prepareHost } of parts) {
        if (prepareHost) Object.assign(env, props.use(await prepareHost()).env);
      }
      const mark = randomBytes(8).toString("hex");
      const calls = parts.map(
        ({ id }) => `echo "${mark} ${id}"; timeout -s KILL ${togetherSeconds} sh /airlock/${id} </dev/null 2>&1; echo`,
      );
      const files = parts.map(({ id, script }) => ({ path: id, content: script, executable: true }));
      const { output, status } = await runStep(sandbox, {
        image: await imageOf(undefined),
        files: [...files, { path: "attack", content: `${calls.join("\n")}\n`, executable: true }],
        env,
        timeoutMs: togetherMs,
      });
      expect(status).toMatchObject({ kind: "exited" });
      const printed = output.split(`${mark} `).map((text) => {
        const end = text.indexOf("\n");
        return [text.slice(0, end), text.slice(end + 1)] as const;
      });
      return new Map(printed);
    }

    async function carryOutAlone(attack: Attack, kind: PodKind, script: string): Promise<Verdict> {
      const sandbox = await sandboxOf(kind);
      await using props = await attack.prepare?.();
      const image = await imageOf(attack.image);
      await using watch = watchHost(attack);
      const { output, status } = await runStep(sandbox, {
        image,
        files: [{ path: "attack", content: script, executable: true }],
        env: { ...props?.env, ...attack.plan?.env },
        timeoutMs: (attack.timeoutMs ?? defaultTimeoutMs) * timeFactor,
      });
      const seen = await watch.end();
      if (seen) return { kind: "breach", what: seen };
      return await judge(attack, { runtime: "kubernetes", sandbox, output, status, workspaceDir: null });
    }

    async function carryOut(attack: Attack, kind: PodKind, script: string, batch: readonly Attack[]): Promise<Verdict> {
      if (!batch.includes(attack) || script !== attack.script) return await carryOutAlone(attack, kind, script);
      const printed = await remembered(batches, JSON.stringify(kind), () => carryOutTogether(batch, kind));
      const output = printed.get(attack.id) ?? "";
      const status = { kind: "exited", exitCode: 0 } as const;
      return await judge(attack, {
        runtime: "kubernetes",
        sandbox: await sandboxOf(kind),
        output,
        status,
        workspaceDir: null,
      });
    }

    for (const attack of own) {
      const weakened = weakenedOn(attack, "kubernetes");
      describe(attack.id, () => {
        it(
          `fails: a step ${attack.does}`,
          async () => {
            const kind = { limits: { ...limits, ...attack.plan?.limits }, seccomp: true };
            const verdict = await carryOut(attack, kind, attack.script, together);
            expect(verdict).toEqual({ kind: "held", how: expect.any(String) });
          },
          togetherMs,
        );
        if ("cannotBeShown" in weakened) return;
        it(
          "succeeds without its defence",
          async () => {
            const verdict = await carryOut(
              attack,
              weakKind(weakened),
              weakened.script ?? attack.script,
              together.filter((each) => shares(weakenedOn(each, "kubernetes"), weakened)),
            );
            expect(verdict).toEqual({ kind: "breach", what: expect.any(String) });
          },
          togetherMs,
        );
      });
    }
  });
}

/** All attacks that need wider limits share a pod with all of them. */
function weakKind({ plan, hardening }: Weakness): PodKind {
  return { limits: plan?.limits ? wideLimits : limits, seccomp: hardening?.seccomp ?? true };
}

/** Whether two attacks with their defence off belong into the same pod. */
function shares(one: Weakened, other: Weakness): boolean {
  return !("cannotBeShown" in one) && JSON.stringify(weakKind(one)) === JSON.stringify(weakKind(other));
}

function remembered<Value>(map: Map<string, Promise<Value>>, key: string, make: () => Promise<Value>): Promise<Value> {
  const known = map.get(key);
  if (known) return known;
  const made = make();
  map.set(key, made);
  return made;
}
