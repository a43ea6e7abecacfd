// A stand-in for Firecracker's jailer: the same strict command line, layout, ids, namespaces, cgroups and leftovers.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { guestsInJail, markOfJail, spawnGuests } from "./stand-in-guest.ts";
import { standInVersion } from "./stand-in-version.ts";

const single = ["id", "exec-file", "uid", "gid", "chroot-base-dir", "netns", "cgroup-version", "parent-cgroup"];
const repeated = ["cgroup", "resource-limit"];
const flags = ["daemonize", "new-pid-ns"];

const { values, lists, set, rest } = parse(process.argv.slice(2));
const id = required("id");
if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) fail(`Invalid instance ID: ${id}`);
const program = required("exec-file");
if (!existsSync(program)) fail(`Failed to canonicalize path ${program}: No such file or directory (os error 2)`);
const name = basename(program);
if (!name.includes("firecracker")) {
  fail(`Invalid filename. The filename of \`--exec-file\` option must contain "firecracker": ${name}`);
}
const [user, group] = [number("uid"), number("gid")];
const namespace = values.get("netns");
if (namespace !== undefined && !existsSync(namespace))
  fail(`Failed to open file ${namespace}: No such file or directory`);
const root = join(values.get("chroot-base-dir") ?? "/srv/jailer", name, id, "root");

mkdirSync(root, { recursive: true });
copyFileSync(program, join(root, name));
const openFiles = limitOfFiles();
mkdirSync(join(root, "dev"), { recursive: true });
writeFileSync(join(root, markOfJail), "");
// Before this process joins a cgroup: the guest stands for the hardware.
spawnGuests({ path: join(root, guestsInJail), root, user, namespace: namespace ?? null });
joinCgroups();
const mounts = showNode();
chownSync(root, user, group);

const inside = ["chroot", `--userspec=${user}:${group}`, "--groups=", root, `/${name}`, `--id=${id}`, ...rest];
const command = [
  ...(namespace === undefined ? [] : ["nsenter", `--net=${namespace}`]),
  ...["unshare", "--mount", "--propagation", "slave", ...(set.has("new-pid-ns") ? ["--pid", "--fork"] : []), "--"],
  ...["prlimit", `--nofile=${openFiles}:${openFiles}`, "--", "sh", "-c", `${mounts} && exec "$@"`, "sh", ...inside],
];
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
const [first = "", ...others] = command;
if (set.has("new-pid-ns") || set.has("daemonize")) {
  const isSilent = set.has("daemonize");
  const child = spawn(first, others, { env, detached: isSilent, stdio: isSilent ? "ignore" : "inherit" });
  writeFileSync(join(root, `${name}.pid`), String(child.pid));
  child.unref();
  process.exit(0);
}
process.execve?.(which(first), command, env);

/** Makes Node reachable in the root, which a real Firecracker does not need: it is statically linked. */
function showNode(): string {
  const commands: string[] = ["true"];
  for (const place of ["/usr", "/lib", "/lib64", "/bin", "/sbin", dirname(process.execPath), import.meta.dirname]) {
    const stats = lstatSync(place, { throwIfNoEntry: false });
    if (!stats) continue;
    const target = join(root, place);
    mkdirSync(dirname(target), { recursive: true });
    if (stats.isSymbolicLink()) symlinkSync(readlinkSync(place), target);
    else {
      mkdirSync(target, { recursive: true });
      commands.push(`mount --bind '${place}' '${target}'`);
    }
  }
  mkdirSync(join(root, "tmp"), { recursive: true });
  chmodSync(join(root, "tmp"), 0o1777);
  return commands.join(" && ");
}

function joinCgroups(): void {
  const version = values.get("cgroup-version") ?? "1";
  if (version !== "1" && version !== "2") fail(`${version} is an invalid cgroup version specifier`);
  const parent = values.get("parent-cgroup") ?? name;
  if (parent.startsWith("/") || parent.split("/").some((part) => part === "." || part === "..")) {
    fail("Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'");
  }
  const joined = new Set<string>();
  for (const entry of lists.get("cgroup") ?? []) {
    const [file = "", value, more] = entry.split("=");
    if (value === undefined || more !== undefined || value === "") fail(`Invalid format for cgroups: ${entry}`);
    const directory = join(hierarchyOf(file.split(".")[0] ?? "", version), parent, id);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, file), value);
    const found = readFileSync(join(directory, file), "utf8").trim();
    if (found !== value) fail(`Expected value ${value} for ${file}. Current value: ${found}`);
    joined.add(directory);
  }
  const tasks = version === "1" ? "tasks" : "cgroup.procs";
  for (const directory of joined) writeFileSync(join(directory, tasks), String(process.pid));
}

function hierarchyOf(controller: string, version: string): string {
  for (const line of readFileSync("/proc/mounts", "utf8").split("\n")) {
    const [, place = "", type, options = ""] = line.split(" ");
    if (version === "1" && type === "cgroup" && options.split(",").includes(controller)) return place;
    if (version === "2" && type === "cgroup2") {
      const offered = readFileSync(join(place, "cgroup.controllers"), "utf8").trim().split(" ");
      if (offered.includes(controller)) return place;
    }
  }
  return fail(`Controller ${controller} is unavailable`);
}

function limitOfFiles(): number {
  let limit = 2048;
  for (const entry of lists.get("resource-limit") ?? []) {
    const [resource, value = ""] = entry.split("=");
    if (resource !== "no-file" && resource !== "fsize") fail(`Invalid resource argument: ${entry}`);
    if (!/^\d+$/.test(value)) fail(`Invalid format for resources limits: ${entry}`);
    if (resource === "no-file") limit = Number(value);
  }
  const most = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  if (limit > most) fail("Failed to set limit for resource: Operation not permitted (os error 1)");
  return limit;
}

function which(command: string): string {
  return spawnSync("sh", ["-c", 'command -v "$1"', "sh", command], { encoding: "utf8" }).stdout.trim();
}

function number(key: string): number {
  const value = required(key);
  return /^\d+$/.test(value) ? Number(value) : fail(`Invalid ${key}: ${value}`);
}

function required(key: string): string {
  return values.get(key) ?? refuse(`Argument '${key}' required, but not found.`);
}

function parse(args: readonly string[]) {
  const parsed = {
    values: new Map<string, string>(),
    lists: new Map<string, string[]>(),
    set: new Set<string>(),
    rest: [] as readonly string[],
  };
  for (let at = 0; at < args.length; at += 1) {
    const key = (args[at] ?? "").replace(/^--/, "");
    if (args[at] === "--") {
      parsed.rest = args.slice(at + 1);
      break;
    }
    if (key === "version") {
      process.stdout.write(`Jailer v${standInVersion}\n\n`);
      process.exit(0);
    }
    if (flags.includes(key)) {
      parsed.set.add(key);
      continue;
    }
    if (![...single, ...repeated].includes(key))
      refuse(`Found argument '${key}' which wasn't expected, or isn't valid`);
    at += 1;
    const value = args[at];
    if (value === undefined) refuse(`The argument '${key}' requires a value, but none was supplied.`);
    if (repeated.includes(key)) parsed.lists.set(key, [...(parsed.lists.get(key) ?? []), value]);
    else if (parsed.values.has(key)) refuse(`The argument '${key}' was provided more than once.`);
    else parsed.values.set(key, value);
  }
  return parsed;
}

function refuse(why: string): never {
  process.stdout.write(`Arguments parsing error: ${why} \n\nFor more information try --help.\n`);
  process.exit(1);
}

function fail(why: string): never {
  process.stderr.write(`Jailer error: ${why}\n`);
  process.exit(1);
}
