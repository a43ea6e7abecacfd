import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { removeTree } from "../../host/remove-tree.ts";
import { bytePath, canMount, checkDisk, readDisk, readTree, sizesOf } from "./testing/read-disk.ts";
import { defaultWorkspaceBytes, makeWorkspaceDisk } from "./workspace-disk.ts";

const never = new AbortController().signal;
const mebibyte = 2 ** 20;

describe("the workspace disk", () => {
  it("without a checkout is an empty file system of the default size that takes little space", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const path = join(place.path, "disk");

    const { bytes } = await makeWorkspaceDisk({ path, diskBytes: undefined, checkout: null, signal: never });

    expect(bytes).toBe(defaultWorkspaceBytes);
    await checkDisk(path);
    expect((await sizesOf(path)).used).toBeLessThan(2 * mebibyte);
    expect(await outputOf(["debugfs", "-R", "stat data", path])).toMatch(/Type: directory\s+Mode:\s+0777/);
  });

  it.each([4, 5, 64, 511, 512, 4096])("of %i MiB offers at least nine tenths of that size", async (size) => {
    await using place = await temporaryDirectory("airlock-disk-");
    const path = join(place.path, "disk");

    await makeWorkspaceDisk({ path, diskBytes: size * mebibyte + 100, checkout: null, signal: never });

    await checkDisk(path);
    const header = await outputOf(["dumpe2fs", "-h", path]);
    const free = Number(/Free blocks:\s+(\d+)/.exec(header)?.[1]) * 4096;
    expect(free).toBeGreaterThan(0.9 * size * mebibyte);
  });

  it.skipIf(!canMount)("has the checkout's files with their names, modes, times, links and holes", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const { checkout, path } = await hostileCheckout(place.path);

    await makeWorkspaceDisk({ path, diskBytes: 2 ** 30, checkout, signal: never });

    await checkDisk(path);
    const [expected, found] = [await readTree(checkout), await readDisk(path, "data")];
    expect(found.filter((line) => line.startsWith("root"))).toEqual(["root 777 0 0"]);
    const rest = (lines: readonly string[]) => lines.filter((line) => !line.startsWith("root"));
    expect(rest(found)).toEqual(rest(expected));
    expect((await sizesOf(path)).used).toBeLessThan(16 * mebibyte);
  });

  it.skipIf(!canMount)("holds trees that are deeper than a path can be long", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    await using _removed = makeDeepTree(checkout, 2040);
    const path = join(place.path, "disk");

    await makeWorkspaceDisk({ path, diskBytes: 2 ** 30, checkout, signal: never });

    await checkDisk(path);
    expect((await readDisk(path, "data")).filter((line) => line.endsWith("/bottom"))).toHaveLength(2);
  });

  it.skipIf(!canMount)("holds many files in one directory", { timeout: 60_000 }, async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    for (let index = 0; index < 5000; index += 1) writeFileSync(join(checkout, `name-of-a-file-${index}`), `${index}`);
    const path = join(place.path, "disk");

    await makeWorkspaceDisk({ path, diskBytes: 2 ** 30, checkout, signal: never });

    await checkDisk(path);
    const script =
      'mount -o loop "$1" /mnt; cd /mnt/data; ls | wc -l; cat name-of-a-file-1234; rm name-of-a-file-1*; touch new; ls | wc -l; cd /; umount /mnt';
    const output = await outputOf(["unshare", "--mount", "sh", "-euc", script, "sh", path]);
    expect(output).toBe(`5000\n1234${5000 - 1111 + 1}\n`);
    await checkDisk(path);
  });

  it.skipIf(!canMount)("has a file of many extents", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    const file = openSync(join(checkout, "holes"), "w");
    for (let index = 0; index < 2000; index += 1) writeSync(file, `block ${index}`, index * 8192);
    writeSync(file, "end", 4 * 2 ** 30);
    closeSync(file);
    const path = join(place.path, "disk");

    await makeWorkspaceDisk({ path, diskBytes: 2 ** 30, checkout, signal: never });

    await checkDisk(path);
    const script = `mount -o loop,ro "$1" /mnt; cd /mnt/data; stat -c %s holes; tail -c 3 holes; head -c 20M holes | sha256sum`;
    const found = await outputOf(["unshare", "--mount", "sh", "-euc", script, "sh", path]);
    const hash = await outputOf(["sh", "-euc", 'head -c 20M "$1" | sha256sum', "sh", join(checkout, "holes")]);
    expect(found).toBe(`${4 * 2 ** 30 + 3}\nend${hash}`);
    expect((await sizesOf(path)).used).toBeLessThan(16 * mebibyte);
  });

  it.skipIf(!canMount)("gives the files of an executor without root to the guest's root", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    writeFileSync(join(checkout, "file"), "");
    await outputOf(["chown", "-R", "1234:1234", place.path]);
    const path = join(place.path, "disk");

    await makeWorkspaceDisk({ path, diskBytes: 64 * mebibyte, checkout, signal: never });

    expect((await readDisk(path, "data")).find((line) => line.endsWith(" file"))).toMatch(/^f 644 0 0 /);
  });

  it.each([
    ["bytes", (directory: string) => writeFileSync(join(directory, "large"), Buffer.alloc(8 * mebibyte, 1))],
    [
      "files",
      (directory: string) => {
        for (let index = 0; index < 3000; index += 1) writeFileSync(join(directory, `${index}`), "");
      },
    ],
  ])("refuses a checkout with too many %s as the job's fault, and leaves nothing", async (_what, fill) => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    fill(checkout);
    const path = join(place.path, "disk");

    const made = makeWorkspaceDisk({ path, diskBytes: 8 * mebibyte, checkout, signal: never });

    await expect(made).rejects.toMatchObject({
      reason: "checkout-invalid",
      hint: "The workspace is full: ask for more with resources.disk.",
    });
    expect(await readdir(place.path)).toEqual(["checkout"]);
  });

  it("leaves nothing when it is aborted", async () => {
    await using place = await temporaryDirectory("airlock-disk-");
    const checkout = join(place.path, "checkout");
    await mkdir(checkout);
    for (let index = 0; index < 2000; index += 1) writeFileSync(join(checkout, `${index}`), "text");
    const reason = new Error("canceled");
    const controller = new AbortController();

    const made = makeWorkspaceDisk({
      ...{ path: join(place.path, "disk"), diskBytes: 2 ** 30, checkout },
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(reason), 20);

    await expect(made).rejects.toBe(reason);
    expect(await readdir(place.path)).toEqual(["checkout"]);
  });
});

/** Makes directories within each other, too deep for a path, and removes them when the result is disposed of. */
function makeDeepTree(directory: string, depth: number): AsyncDisposable {
  let descriptor = openSync(directory, "r");
  for (let index = 0; index < depth; index += 1) {
    const child = `/proc/self/fd/${descriptor}/d`;
    mkdirSync(child);
    const next = openSync(child, "r");
    closeSync(descriptor);
    descriptor = next;
  }
  writeFileSync(`/proc/self/fd/${descriptor}/bottom`, "bottom");
  closeSync(descriptor);
  return { [Symbol.asyncDispose]: () => removeTree(directory) };
}

async function hostileCheckout(directory: string): Promise<{ readonly checkout: string; readonly path: string }> {
  const checkout = join(directory, "checkout");
  await mkdir(checkout);
  const at = (name: string) => join(checkout, name);
  for (const name of ["new\nline", "\xff\xfe", "n".repeat(255), '"; $(id)', "-rf", "back\\slash"]) {
    writeFileSync(bytePath(checkout, name), `content of ${name.length}`);
  }
  for (const [name, target] of [
    ["passwd", "/etc/passwd"],
    ["above", "../../../../etc"],
    ["long", "x".repeat(4000)],
    ["l59", "y".repeat(59)],
    ["l60", "y".repeat(60)],
  ] as const) {
    symlinkSync(target, at(name));
  }
  mkdirSync(at("empty"));
  writeFileSync(at("a"), "a");
  linkSync(at("a"), at("b"));
  linkSync(at("a"), at("empty/c"));
  writeFileSync(at("setuid"), "");
  chmodSync(at("setuid"), 0o4755);
  chmodSync(at("empty"), 0o1777);
  writeFileSync(at("old"), "");
  utimesSync(at("old"), -1.5, -1.5);
  writeFileSync(at("future"), "");
  utimesSync(at("future"), 5_000_000_000.25, 5_000_000_000.25);
  writeFileSync(at("sparse"), "start");
  truncateSync(at("sparse"), 64 * mebibyte);
  writeFileSync(at("4096"), "z".repeat(4096));
  return { checkout, path: join(directory, "disk") };
}
