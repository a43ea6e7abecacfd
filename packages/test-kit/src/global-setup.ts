import { existsSync } from "node:fs";
import type { TestProject } from "vitest/node";
import type { Engines } from "./engines.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const missing: Record<string, string> = { docker: "not started", registry: "not started", postgres: "not started" };
  const runtimePath = ["/usr/bin/crun", "/usr/sbin/runc"].find((path) => existsSync(path));
  const chromium = "/usr/bin/chromium";
  const engines: Engines = {
    docker: null,
    registry: null,
    postgres: null,
    oci: runtimePath ? { runtimePath } : null,
    chromium: existsSync(chromium) ? { executablePath: chromium } : null,
    missing,
  };
  project.provide("engines", engines);
  return async () => {};
}
