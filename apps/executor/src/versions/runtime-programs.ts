import type { RuntimeDescription } from "@airlock/runtime";
import type { InstalledProgram } from "./version-findings.ts";

/** The host programs that a runtime consists of, named as in the advisories. */
export function runtimePrograms(
  name: string,
  { version, components = [] }: Pick<RuntimeDescription, "version" | "components">,
): InstalledProgram[] {
  if (name === "docker") return [{ name, version }, ...components];
  // The oci runtime reports a version such as `crun 1.8.1`.
  const [program = "", ...rest] = version.split(" ");
  return components.length > 0 ? [...components] : [{ name: program, version: rest.join(" ") }];
}
