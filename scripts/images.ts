// Writes the container images into dist/images/, without a registry and without a container engine. docs/images.md
// describes the result.
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { planImages } from "./images/image-plans.ts";
import { architecture, writeLayout } from "./images/oci-layout.ts";
import { softwareBill } from "./images/software-bill.ts";
import { root } from "./programs/run.ts";

const usage = `usage: npm run images -- [--programs DIR] [--output DIR] [--repository NAME] [--dind] [--add DIR]...

  --programs DIR      what npm run build has written; default: dist
  --output DIR        where to write; default: dist/images
  --repository NAME   what the names of images begin with, e.g. registry.example.com/team; default: localhost
  --dind              also make airlock-executor-dind, the executor with a Docker engine, of Debian's docker.io
  --add DIR           the output of a machine of another architecture, to make images for both`;

/** @returns the exit code. */
async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) return 2;
  const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string };
  await mkdir(options.output, { recursive: true });
  for (const { name, image, debian, npm } of await planImages(options.programs, { version, dind: options.dind })) {
    const reference = `${options.repository}/${name}:${version}`;
    const directory = path.join(options.output, name);
    const digest = await writeLayout(image, {
      directory,
      reference,
      others: options.add.map((other) => path.join(other, name)),
    });
    const bill = softwareBill({ image: name, version, architecture, debian, npm });
    await writeFile(`${directory}.linux-${architecture}.spdx.json`, `${JSON.stringify(bill, null, 2)}\n`);
    console.log(`${reference} ${digest}`);
  }
  return 0;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        programs: { type: "string", default: path.join(root, "dist") },
        output: { type: "string", default: path.join(root, "dist/images") },
        repository: { type: "string", default: "localhost" },
        dind: { type: "boolean", default: false },
        add: { type: "string", multiple: true, default: [] },
      },
    });
    if (!/^[a-z0-9.-]+(:\d+)?(\/[a-z0-9._-]+)*$/.test(values.repository)) {
      throw new Error(`--repository ${values.repository} must be like registry.example.com/team`);
    }
    return values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return null;
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(`images: ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});
