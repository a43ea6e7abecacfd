import type { EgressPolicy } from "@airlock/job";
import type { SandboxLimits, StepStatus } from "../../contract/index.ts";
import type { EgressOptions } from "../../egress/index.ts";
import type { Hardening } from "../../isolation/hardening.ts";
import type { HostileImageName } from "./hostile-images.ts";

/**
 * Something that a hostile step tries, carried out for real inside a sandbox. Its script prints a line that begins with
 * `BREACH` when the attack succeeded and one that begins with `HELD` when it was prevented, so that an attack that could
 * not even be tried is seen as such.
 */
export interface Attack {
  /** Unique, in kebab case; names the test and the row of the documentation's table. */
  readonly id: string;
  /** What the step does, as a sentence's end: "a step …". */
  readonly does: string;
  /** What prevents it, as a reader of the security documentation wants it. */
  readonly defence: string;
  /** Run by `/bin/sh` in the attacker's image, which has busybox and perl. */
  readonly script: string;
  /** What the sandbox is given beyond the defaults of the suite. */
  readonly plan?: AttackPlan;
  /** Where it differs from the attacker's image, e.g. a hostile one. */
  readonly image?: HostileImageName;
  /**
   * The same attack with its defence switched off, which has to succeed; or why that can't be shown.
   * A function where the runtimes differ.
   */
  readonly weakened: Weakened | ((runtime: RuntimeName) => Weakened);
  /**
   * Run in another sandbox under the same plan for as long as the attack takes. What it prints after the word `READY` the
   * attack finds in `NEIGHBOUR`.
   */
  readonly neighbour?: string;
  /** Puts on the host what the attack is after; its `env` is given to the step. */
  readonly prepare?: () => Promise<HostProps>;
  /** Looks from the host at what the attack did; answers what is wrong, `null` when nothing is. */
  readonly inspect?: (scene: Scene) => Promise<string | null>;
  /** Looks from the host again and again while the step runs; answers what is wrong, `null` when nothing is. */
  readonly watch?: () => Promise<string | null>;
  /** What the script prints when it did what `inspect` or `watch` judges, instead of BREACH and HELD. */
  readonly expects?: string;
  /** Default: every runtime. */
  readonly runtimes?: readonly RuntimeName[];
  /** Of the step, in ms; a step that takes longer is stopped. Default: 20,000. */
  readonly timeoutMs?: number;
  /** Whether the step's end by a limit (its kill, its timeout) is the defence. */
  readonly endIsHeld?: boolean;
}

/** What stands on the host during an attack. */
interface HostProps extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

export type RuntimeName = "docker" | "oci";

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
      /** Where breaching takes other words than the defended run, e.g. less of a bomb. */
      readonly script?: string;
    }
  | { readonly cannotBeShown: string };

/** What the host sees of the sandbox that was attacked. */
export interface Scene {
  readonly runtime: RuntimeName;
  readonly workspaceDir: string;
  readonly output: string;
  /** How the step ended; an error when it was refused, stopped or timed out. */
  readonly status: StepStatus | Error;
}
