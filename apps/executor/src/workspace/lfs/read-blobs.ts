import type { Git } from "../checkout/git.ts";

/** The contents of small objects, by id. */
export async function readBlobs(git: Git, at: readonly string[], objects: readonly string[], signal: AbortSignal) {
  const parts: Buffer[] = [];
  await git.check([...at, "cat-file", "--batch"], {
    signal,
    stdin: objects.map((object) => `${object}\n`).join(""),
    onStdout: (bytes) => parts.push(bytes),
  });
  const output = Buffer.concat(parts);
  const contents = new Map<string, Buffer>();
  for (let position = 0; position < output.length; ) {
    const end = output.indexOf("\n", position);
    const [object = "", , size = "0"] = output.toString("latin1", position, end).split(" ");
    const start = end + 1;
    contents.set(object, output.subarray(start, start + Number(size)));
    position = start + Number(size) + 1;
  }
  return contents;
}
