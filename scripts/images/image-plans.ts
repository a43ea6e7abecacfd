import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildPodAgent } from "@airlock/runtime/kubernetes";
import { copyDebianFiles, type DebianPackage } from "./debian-files.ts";
import { dindLayer } from "./dind-image.ts";
import { FileTree, imageUser } from "./file-tree.ts";
import { type NpmPackage, npmPackagesOf } from "./npm-packages.ts";
import { type Image, type Layer, layerOf } from "./oci-layout.ts";

export interface PlannedImage {
  readonly name: "airlock-instance" | "airlock-executor" | "airlock-helper" | "airlock-executor-dind";
  readonly image: Image;
  readonly debian: readonly DebianPackage[];
  readonly npm: readonly NpmPackage[];
}

const compileMs = 120_000;
const programs = "/opt/airlock";
const user = `${imageUser}:${imageUser}`;

/**
 * What instance and executor run: git within limits that a shell sets, `du` and `cp` for checkouts, and `setpriv` for
 * PostgreSQL.
 */
const hostPrograms = [
  ...["/usr/bin/git", "/usr/bin/dash", "/usr/bin/du", "/usr/bin/cp", "/usr/bin/setpriv"],
  ...["/usr/lib/git-core/git-remote-http", "/usr/lib/git-core/git-http-fetch"],
];

export interface ImagesOptions {
  /** Airlock's release. */
  readonly version: string;
  /** Whether to make the executor with a Docker engine, too. */
  readonly dind: boolean;
}

/**
 * Makes the images from the programs in `dist`, which `npm run build` has written.
 * @throws {Error} that says what is missing.
 */
export async function planImages(dist: string, { version, dind }: ImagesOptions): Promise<readonly PlannedImage[]> {
  if (!existsSync(path.join(dist, "executor.mjs"))) throw new Error(`${dist} has no programs: run npm run build first`);
  const postgres = path.join(dist, "postgres/bin");
  // PostgreSQL brings its own libraries. It takes those of C and C++ from the system.
  const foreign = [process.execPath, path.join(postgres, "initdb"), path.join(postgres, "postgres")].filter(existsSync);
  const base = new FileTree();
  const debian = await copyDebianFiles(base, [...hostPrograms, ...foreign]);
  addAccount(base);
  addGit(base);
  const node = new FileTree();
  node.file("/usr/bin/node", await readFile(process.execPath), 0o755);
  const shared = [await layerOf(base), await layerOf(node)];
  const executor = await executorImage(dist, shared, debian);
  const images = [await instanceImage(dist, shared, debian), executor, await helperImage()];
  if (dind) images.push(await dindImage(dist, executor));
  return images.map((planned) => ({ ...planned, image: labeled(planned.image, planned.name, version) }));
}

/** The account without rights that owns the data. PostgreSQL needs a name for it. */
function addAccount(tree: FileTree): void {
  tree.file("/etc/passwd", `root:x:0:0:root:/nonexistent:/bin/false\nairlock:x:${user}:airlock:/tmp:/bin/false\n`);
  tree.file("/etc/group", `root:x:0:\nairlock:x:${imageUser}:\n`);
  tree.file("/etc/nsswitch.conf", "hosts: files dns\n");
  tree.directory("/tmp", { mode: 0o1777 });
}

function addGit(tree: FileTree): void {
  tree.link("/usr/bin/sh", "dash");
  // Git finds the programs of its transports by these names.
  tree.link("/usr/lib/git-core/git-remote-https", "git-remote-http");
  for (const name of ["git", "git-upload-pack"]) tree.link(`/usr/lib/git-core/${name}`, "../../bin/git");
  tree.link("/usr/bin/git-upload-pack", "git");
  tree.directory("/usr/share/git-core/templates");
}

async function instanceImage(
  dist: string,
  shared: readonly Layer[],
  debian: readonly DebianPackage[],
): Promise<PlannedImage> {
  const tree = new FileTree();
  await copyPrograms(tree, dist, ["instance", "airlock"]);
  await tree.copyTree(path.join(dist, "web"), `${programs}/web`);
  const isNeeded = (file: string) => !file.endsWith(".a") && !file.startsWith("include/");
  if (existsSync(path.join(dist, "postgres"))) {
    await tree.copyTree(path.join(dist, "postgres"), `${programs}/postgres`, isNeeded);
  }
  tree.link("/usr/bin/airlock", `${programs}/airlock.mjs`);
  tree.directory("/var/lib/airlock", { mode: 0o700, user: imageUser });
  const config = {
    User: user,
    // See docs/running.md about the semi-space.
    Entrypoint: ["/usr/bin/node", "--max-semi-space-size=4", `${programs}/instance.mjs`],
    Env: [...commonEnvironment, "AIRLOCK_LISTEN=0.0.0.0:7080", "AIRLOCK_DATA_DIR=/var/lib/airlock"],
    WorkingDir: "/tmp",
    ExposedPorts: { "7080/tcp": {} },
  };
  const npm = await npmPackagesOf(["apps/instance", "apps/cli", "apps/web"]);
  const image = { config, layers: [...shared, await layerOf(tree)] };
  return { name: "airlock-instance", image, debian, npm: [nodePackage, ...npm] };
}

async function executorImage(
  dist: string,
  shared: readonly Layer[],
  debian: readonly DebianPackage[],
): Promise<PlannedImage> {
  const tree = new FileTree();
  await copyPrograms(tree, dist, ["executor", "egress-resolver"]);
  tree.directory("/var/lib/airlock-executor", { mode: 0o700, user: imageUser });
  const config = {
    User: user,
    Entrypoint: ["/usr/bin/node", `${programs}/executor.mjs`],
    Cmd: ["run"],
    Env: [
      ...commonEnvironment,
      "EXECUTOR_DATA_DIR=/var/lib/airlock-executor",
      // See docs/running.md about memory.
      ...["MALLOC_ARENA_MAX=2", "MALLOC_MMAP_THRESHOLD_=131072", "MALLOC_TRIM_THRESHOLD_=131072"],
    ],
    WorkingDir: "/tmp",
  };
  const image = { config, layers: [...shared, await layerOf(tree)] };
  return { name: "airlock-executor", image, debian, npm: [nodePackage, ...(await npmPackagesOf(["apps/executor"]))] };
}

/**
 * The executor with a Docker engine for docker-in-docker. Both containers of a pod use it: as root, because the engine and
 * the rules of networks need it.
 */
async function dindImage(dist: string, { image, debian, npm }: PlannedImage): Promise<PlannedImage> {
  const { tree, debian: more } = await dindLayer(dist);
  const config = {
    ...image.config,
    User: "0:0",
    Env: ["PATH=/usr/sbin:/usr/bin", ...envWithoutPath(image.config.Env)],
  };
  const packages = new Map([...debian, ...more].map((each) => [each.name, each]));
  const sorted = [...packages.keys()].sort().map((name) => packages.get(name) as DebianPackage);
  return {
    name: "airlock-executor-dind",
    image: { config, layers: [...image.layers, await layerOf(tree)] },
    debian: sorted,
    npm,
  };
}

function envWithoutPath(variables: readonly string[] = []): readonly string[] {
  return variables.filter((variable) => !variable.startsWith("PATH="));
}

/** Copies programs with the parts that they load when they need them. */
async function copyPrograms(tree: FileTree, dist: string, names: readonly string[]): Promise<void> {
  for (const file of await readdir(dist)) {
    const name = /^(.+?)(?:-part-.+)?\.mjs$/.exec(file)?.[1];
    if (name !== undefined && names.includes(name)) await tree.copy(path.join(dist, file), `${programs}/${file}`);
  }
}

/** The agent in the pods of jobs: one static program. */
async function helperImage(): Promise<PlannedImage> {
  const directory = await mkdtemp(path.join(tmpdir(), "airlock-helper-"));
  try {
    const output = path.join(directory, "agent");
    await buildPodAgent({ output, signal: AbortSignal.timeout(compileMs) });
    const tree = new FileTree();
    tree.file("/agent", await readFile(output), 0o755);
    const config = { User: user, Entrypoint: ["/agent"] };
    return { name: "airlock-helper", image: { config, layers: [await layerOf(tree)] }, debian: [], npm: [] };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const commonEnvironment = ["PATH=/usr/bin", "HOME=/tmp", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"];

const nodePackage: NpmPackage = { name: "node", version: process.versions.node, license: "MIT" };

function labeled(image: Image, title: string, version: string): Image {
  const labels = {
    "org.opencontainers.image.title": title,
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.licenses": "Apache-2.0",
  };
  return { ...image, config: { ...image.config, Labels: labels } };
}
