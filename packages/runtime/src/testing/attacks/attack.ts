import type { EgressPolicy } from "@airlock/job";
import type { Sandbox, SandboxLimits, StepStatus } from "../../contract/index.ts";
import type { EgressOptions } from "../../egress/index.ts";
import type { Hardening } from "../../isolation/hardening.ts";
import type { HostileImageName } from "./hostile-images.ts";

/**
 * Something that a hostile step tries, carried out for real inside a sandbox. Its script prints a line that begins with
 * `BREACH` if the attack succeeded, or with `HELD` if it was prevented. Without either line the attack could not even
 * be tried.
 */
export interface Attack {
  /** Unique, in kebab case. Names the test and the row of the documentation's table. */
  readonly id: string;
  /** What the step does, as the end of a sentence: "a step …". */
  readonly does: string;
  /** What prevents it, worded for the security documentation. */
  readonly defence: string;
  /** Run by `/bin/sh` in the attacker's image, which contains busybox and perl. */
  readonly script: string;
  /** Changes to the suite's default plan for the sandbox. */
  readonly plan?: AttackPlan;
  /** The image, if it is not the attacker's usual one. */
  readonly image?: HostileImageName;
  /**
   * How to switch off the defence, so that the attack must succeed; or why that can't be shown. A function if the
   * runtimes differ.
   */
  readonly weakened: Weakened | ((runtime: RuntimeName) => Weakened);
  /**
   * Script that runs in another sandbox under the same plan during the attack. The attack finds what it prints after
   * the word `READY` in `NEIGHBOUR`.
   */
  readonly neighbour?: string;
  /** Prepares on the host what the attack is after. The step receives its `env`. */
  readonly prepare?: () => Promise<HostProps>;
  /** Checks from the host what the attack did. Returns what is wrong, or `null`. */
  readonly inspect?: (scene: Scene) => Promise<string | null>;
  /** Checks from the host repeatedly while the step runs. Returns what is wrong, or `null`. */
  readonly watch?: () => Promise<string | null>;
  /** What the script prints, instead of BREACH and HELD, once it did what `inspect` or `watch` judges. */
  readonly expects?: string;
  /** The runtimes that the attack concerns. Default: every runtime. */
  readonly runtimes?: readonly RuntimeName[];
  /** Why the attack is not carried out in a pod. */
  readonly notInPods?: string;
  /** Timeout of the step in milliseconds, after which it is stopped. Default: 20,000. */
  readonly timeoutMs?: number;
  /** Whether a step that is refused, or killed by a limit, counts as defended. One that is stopped by its timeout does not. */
  readonly endIsHeld?: boolean;
}

/** What is prepared on the host during an attack. */
interface HostProps extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

export type RuntimeName = "docker" | "oci" | "microvm" | "kubernetes";

export interface AttackPlan {
  readonly limits?: Partial<SandboxLimits>;
  readonly egress?: EgressPolicy;
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
}

export type Weakened =
  | {
      readonly hardening?: Partial<Hardening>;
      readonly plan?: AttackPlan;
      readonly egress?: Pick<EgressOptions, "closed">;
      /** A different script if breaching needs one, e.g. a smaller bomb. */
      readonly script?: string;
    }
  | { readonly cannotBeShown: string };

/** As `weakened` in containers. In a guest of `microvm` it can't be shown, because of `why`. */
export function notInGuests(weakened: Weakened, why: string): (runtime: RuntimeName) => Weakened {
  return (runtime) => (runtime === "microvm" ? { cannotBeShown: why } : weakened);
}

/** Attacks that the profiles of container runtimes let through, so that only our own filter prevents them. */
const heldByFilter: ReadonlySet<string> = new Set([
  "asynchronous-contexts",
  "socket-families",
  "socket-pair-families",
  "socket-protocols",
  "socketcall",
  "call-table-of-32-bits",
]);

/** The defences that {@link Attack.weakened} switches off on a runtime. */
export function weakenedOn({ id, weakened }: Pick<Attack, "id" | "weakened">, runtime: RuntimeName): Weakened {
  const own = typeof weakened === "function" ? weakened(runtime) : weakened;
  if (runtime !== "kubernetes" || "cannotBeShown" in own || own.hardening === undefined) return own;
  if (heldByFilter.has(id)) return { hardening: { seccomp: false } };
  return { cannotBeShown: "the container runtime's own profile and the Pod Security Standard hold, too" };
}

/** Whether the attack is carried out on a runtime. */
export function concerns({ runtimes, notInPods }: Attack, runtime: RuntimeName): boolean {
  return (runtimes?.includes(runtime) ?? true) && (runtime !== "kubernetes" || notInPods === undefined);
}

/** What the host sees of the sandbox that was attacked. */
export interface Scene {
  readonly runtime: RuntimeName;
  /** `null`: this machine does not have the workspace. */
  readonly workspaceDir: string | null;
  readonly sandbox: Sandbox;
  readonly output: string;
  /** How the step ended. An error if it was refused, stopped or timed out. */
  readonly status: StepStatus | Error;
}
