import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { runtimeFailed } from "../../../contract/errors.ts";

/** A module of the kernel. */
export interface ModuleFile {
  /** As `virtio_blk`. */
  readonly name: string;
  /** Without the signature. */
  readonly content: Buffer;
}

/** Ends a signed module, after the signature and a `struct module_signature`. See `scripts/sign-file.c` of Linux. */
const signatureMark = Buffer.from("~Module signature appended~\n");
const signatureInfoBytes = 12;

/**
 * Reads modules and everything that they depend on, dependencies first. Modules that are built into the kernel are left
 * out.
 * @param directory `lib/modules/VERSION` of a kernel's package.
 * @throws {AirlockError} reason `runtime` when the kernel lacks one of them.
 */
export async function moduleFiles(names: readonly string[], directory: string): Promise<readonly ModuleFile[]> {
  const builtin = await readFile(join(directory, "modules.builtin"), "utf8");
  const isBuiltin = new Set(builtin.split("\n").map(nameOf));
  const files = await readdir(join(directory, "kernel"), { recursive: true });
  const paths = new Map(files.filter((file) => file.endsWith(".ko")).map((file) => [nameOf(file), file]));
  const loaded = new Map<string, ModuleFile>();
  const load = async (name: string, dependents: readonly string[]): Promise<void> => {
    if (loaded.has(name) || isBuiltin.has(name)) return;
    const path = paths.get(name);
    if (path === undefined)
      throw runtimeFailed(`the guest's kernel has no module ${[...dependents, name].join(" → ")}`);
    if (dependents.includes(name)) throw runtimeFailed(`the module ${name} depends on itself`);
    const content = await readFile(join(directory, "kernel", path));
    for (const needed of dependenciesOf(content)) await load(needed, [...dependents, name]);
    loaded.set(name, { name, content: withoutSignature(content) });
  };
  for (const name of names) await load(name, []);
  return [...loaded.values()];
}

/**
 * Checking the signatures takes the kernel 0.1 s of a boot under emulation. It would load the modules without them, too,
 * and the initrd has a checksum of its own.
 */
function withoutSignature(module: Buffer): Buffer {
  if (!module.subarray(-signatureMark.length).equals(signatureMark)) return module;
  const lengthEnd = module.length - signatureMark.length;
  const length = module.readUInt32BE(lengthEnd - 4);
  return module.subarray(0, lengthEnd - signatureInfoBytes - length);
}

function dependenciesOf(module: Buffer): readonly string[] {
  const [, list = ""] = /(?:^|\0)depends=([^\0]*)/.exec(modinfo(module).toString("latin1")) ?? [];
  return list.split(",").filter(Boolean).map(nameOf);
}

/** The module's section with its description, as `key=value` with a zero byte after each. */
function modinfo(elf: Buffer): Buffer {
  const start = Number(elf.readBigUInt64LE(0x28));
  const size = elf.readUInt16LE(0x3a);
  const sections = Array.from({ length: elf.readUInt16LE(0x3c) }, (_, index) => {
    const header = elf.subarray(start + index * size, start + (index + 1) * size);
    const offset = Number(header.readBigUInt64LE(0x18));
    return {
      name: header.readUInt32LE(0),
      content: elf.subarray(offset, offset + Number(header.readBigUInt64LE(0x20))),
    };
  });
  const names = sections[elf.readUInt16LE(0x3e)]?.content ?? Buffer.alloc(0);
  const found = sections.find(({ name }) => names.toString("latin1", name, names.indexOf(0, name)) === ".modinfo");
  if (!found) throw runtimeFailed("a module of the guest's kernel has no description");
  return found.content;
}

/** The kernel treats `-` and `_` in names of modules as equal. */
function nameOf(path: string): string {
  return basename(path.trim(), ".ko").replaceAll("-", "_");
}
