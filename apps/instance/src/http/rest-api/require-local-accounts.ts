import { AirlockError } from "@airlock/job";
import type { InstanceContext } from "../shared/instance-context.ts";

/** @throws {AirlockError} `local-accounts-off`. */
export function requireLocalAccounts({ config, oidc }: InstanceContext): void {
  if (config.localAccounts) return;
  throw new AirlockError("this instance does not accept passwords of its own", {
    code: "local-accounts-off",
    hint: `Sign in with ${oidc?.settings.label ?? "the provider"}. The administrator's token keeps working.`,
  });
}
