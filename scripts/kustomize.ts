// Writes the bases and components in deploy/kustomize from the charts. A test says when they are stale.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { kustomizeBases } from "./charts/kustomize-bases.ts";
import { root } from "./programs/run.ts";

const directory = path.join(root, "deploy/kustomize");
const files = await kustomizeBases();
rmSync(path.join(directory, "components"), { recursive: true, force: true });
for (const [name, text] of files) {
  mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
  writeFileSync(path.join(directory, name), text);
}
