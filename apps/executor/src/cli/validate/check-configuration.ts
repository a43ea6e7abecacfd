import { relaxations } from "@airlock/runtime";
import type { Config } from "../../config/options.ts";
import type { Check } from "./check.ts";

/** The variables were parsed already. Reports which of them have no effect, and which ones relax isolation. */
export function checkConfiguration({ notes, runtime, instance: { queues } }: Config): Check {
  return {
    name: "configuration",
    run: async ({ note }) => {
      for (const text of notes) note(text);
      for (const relaxation of relaxations(runtime.hardening)) note(`Less isolated than by default: ${relaxation}`);
      return queues.kind === "one" ? `queue ${queues.name}` : `queues ${queues.names.join(", ")}`;
    },
  };
}
