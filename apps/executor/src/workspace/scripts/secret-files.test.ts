import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { placeSecrets } from "./secret-files.ts";

const files = [
  { step: 0, name: "TOKEN", value: "value" },
  { step: 0, name: "KEY", value: "line\n" },
];
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

it("places secrets where any user of the sandbox can read them and nobody can find them who was not told, and removes them", async () => {
  await using directory = await temporaryDirectory();
  const before = process.umask(0o077);
  try {
    const names = new Set<string>();
    for (let round = 0; round < 2; round++) {
      await using placed = await placeSecrets(directory.path, files);
      const inside = placed.variables.TOKEN_FILE ?? "";
      expect(inside).toMatch(/^\/airlock\/secrets\/[0-9a-f]{32}\/TOKEN$/);
      expect(placed.variables.KEY_FILE).toBe(inside.replace(/TOKEN$/, "KEY"));
      const file = join(directory.path, inside.replace("/airlock/", ""));
      expect(await readFile(file, "utf8")).toBe("value");
      expect([await modeOf(file), await modeOf(join(file, "..")), await modeOf(join(file, "../.."))]).toEqual([
        0o444, 0o755, 0o711,
      ]);
      names.add(inside);
    }
    expect(names.size).toBe(2);
  } finally {
    process.umask(before);
  }
  expect(await readdir(directory.path)).toEqual([]);
});

it("makes nothing for a step without any, and leaves nothing where it fails", async () => {
  await using directory = await temporaryDirectory();
  await using nothing = await placeSecrets(directory.path, []);
  expect([nothing.variables, await readdir(directory.path)]).toEqual([{}, []]);
  const twice = [...files, ...files];
  await expect(placeSecrets(directory.path, twice)).rejects.toThrow("EEXIST");
  await mkdir(join(directory.path, "other"));
  expect(await readdir(directory.path)).toEqual(["other"]);
});
