// Writes the bases in deploy/kustomize from the charts. A test says when they are stale.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { kustomizeBases } from "./charts/kustomize-bases.ts";
import { root } from "./programs/run.ts";

for (const [name, text] of await kustomizeBases()) writeFileSync(path.join(root, "deploy/kustomize", name), text);
