import { setTimeout } from "node:timers/promises";
import type { StepStatus } from "../../../contract/index.ts";
import type { Attack, Scene } from "../attack.ts";

export type Verdict =
  | { readonly kind: "held"; readonly how: string }
  | { readonly kind: "breach"; readonly what: string }
  | { readonly kind: "not tried"; readonly output: string; readonly status: StepStatus | Error };

/** Calls `watch` ten times per second until something is wrong or the step has ended. */
export function watchHost({ watch }: Attack): AsyncDisposable & { readonly end: () => Promise<string | null> } {
  const ended = new AbortController();
  const seen = (async () => {
    while (watch && !ended.signal.aborted) {
      const wrong = await watch();
      if (wrong) return wrong;
      await setTimeout(100);
    }
    return null;
  })();
  const end = () => {
    ended.abort();
    return seen;
  };
  return { end, [Symbol.asyncDispose]: async () => void (await end()) };
}

export async function judge(attack: Attack, scene: Scene): Promise<Verdict> {
  const { status } = scene;
  const breach = /^BREACH.*$/m.exec(scene.output)?.[0] ?? (await attack.inspect?.(scene));
  if (breach) return { kind: "breach", what: breach };
  const held = /^HELD.*$/m.exec(scene.output)?.[0];
  if (held) return { kind: "held", how: held };
  if (attack.expects && scene.output.includes(attack.expects))
    return { kind: "held", how: "nothing is seen from the host" };
  const isTimeout = status instanceof Error && status.name === "TimeoutError";
  if (attack.endIsHeld && !isTimeout && (status instanceof Error || status.kind === "killed")) {
    return { kind: "held", how: status instanceof Error ? status.message : status.signal };
  }
  return { kind: "not tried", output: scene.output.slice(0, 2000), status };
}
