import type { RuntimeDescription } from "@airlock/runtime";
import type { InstalledProgram } from "./version-findings.ts";

/** The programs of the host that a runtime is made of, named as advisories name them. */
export function runtimePrograms(
  name: string,
  { version, components = [] }: Pick<RuntimeDescription, "version" | "components">,
): InstalledProgram[] {
  if (name === "docker") return [{ name, version }, ...components];
  // `crun 1.8.1`, as the oci runtime gives its version.
  const [program = "", ...rest] = version.split(" ");
  return components.length > 0 ? [...components] : [{ name: program, version: rest.join(" ") }];
}
