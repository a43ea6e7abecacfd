import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { outputOf } from "@airlock/process";
import { imageInvalid } from "../contract/index.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { VolumeDirectory } from "../images/places/image-places.ts";
import type { PreparedImage } from "../images/store/image-store.ts";
import { latin1, onDisk } from "../images/unpack/layer-stack.ts";
import { etcFiles } from "../isolation/etc-files.ts";
import type { Owner } from "../isolation/hand-over-workspace.ts";
import type { OciMount } from "./bundle-config.ts";
import type { StepPlaces } from "./step-places.ts";

/** The parts of a step's root file system. */
export interface StepRoot {
  readonly image: PreparedImage;
  readonly layersDirectory: string;
  readonly mounts: readonly OciMount[];
}

export interface RootfsOptions {
  readonly hostname: string;
  readonly resolvConf: string;
  /** Options of overlay mounts besides the directories; `null` without overlayfs. */
  readonly overlayOptions: readonly string[] | null;
  readonly setuidWorks: boolean;
  /** Changes the owner of a file that the executor created to the container's root user. */
  readonly giveToRoot: (path: string) => void;
  /** The container's root user in ids of the host; `null`: the user of this process. */
  readonly rootOwner: Owner | null;
  readonly onCopied: (directory: string) => Promise<void>;
}

/** Creates a root file system for one step. Resolves to its mount options, or to `null` when it is a copy. */
export async function makeRootfs(
  { layer, rootfs }: StepPlaces,
  root: StepRoot,
  options: RootfsOptions,
): Promise<{ readonly options: string } | null> {
  const { hostname, resolvConf, overlayOptions, giveToRoot } = options;
  const etc = etcFiles(hostname, resolvConf);
  if (overlayOptions === null) {
    const copy = join(layer, "rootfs");
    // Use cp instead of Node's copy. It preserves owners, sparse files and links, and shares blocks where the file
    // system can.
    const source = join(root.layersDirectory, root.image.layers[0] ?? "");
    await outputOf(["cp", "-a", "--reflink=auto", "--", source, copy]);
    await options.onCopied(copy);
    makeVolumeDirectories(copy, root.image.volumeDirectories, options);
    await mkdir(join(copy, "etc"), { recursive: true });
    for (const [name, text] of Object.entries(etc)) {
      await removeTree(join(copy, "etc", name));
      await writeFile(join(copy, "etc", name), text, { mode: 0o644 });
      giveToRoot(join(copy, "etc", name));
    }
    return null;
  }
  const upper = join(layer, "upper");
  // Files in the upper layer replace the image's files, including links. They are created synchronously, because the
  // kernel answers from memory. Switching to the thread pool and back would take most of a step's preparation.
  for (const path of [upper, join(upper, "etc")]) {
    mkdirSync(path);
    chmodSync(path, 0o755);
  }
  for (const [name, text] of Object.entries(etc)) writeFileSync(join(upper, "etc", name), text, { mode: 0o644 });
  giveToRoot(upper);
  makeVolumeDirectories(upper, root.image.volumeDirectories, options);
  mkdirSync(join(layer, "work"), { mode: 0o700 });
  if (rootfs.startsWith(`${layer}/`)) mkdirSync(rootfs, { mode: 0o755 });
  const from = (path: string) => relative(root.layersDirectory, path);
  const text = [
    `lowerdir=${root.image.layers.join(":")}`,
    `upperdir=${from(upper)}`,
    `workdir=${from(join(layer, "work"))}`,
    "nodev",
    ...(options.setuidWorks ? [] : ["nosuid"]),
    ...overlayOptions,
  ].join(",");
  if (Buffer.byteLength(text) > 4000) throw imageInvalid("image", "has more layers than can be mounted");
  return { options: text };
}

/**
 * Creates directories that the image's layers lack. In an upper layer, their parents hide the parents of the layers
 * below, so they get the same mode and owner.
 */
function makeVolumeDirectories(
  root: string,
  directories: readonly VolumeDirectory[],
  { rootOwner }: RootfsOptions,
): void {
  for (const { path, mode, owner } of directories) {
    const place = onDisk(join(latin1(root), path));
    // Already present in a copy of the image, and for `/etc`.
    if (existsSync(place)) continue;
    mkdirSync(place);
    chmodSync(place, mode);
    const { uid, gid } = owner ?? rootOwner ?? lstatSync(place);
    chownSync(place, uid, gid);
  }
}
