import type { AirlockError } from "@airlock/job";
import { imageUnusable } from "../../contract/index.ts";
import type { LayerStack } from "../unpack/layer-stack.ts";

export interface ImageUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** Home directory from the image's `/etc/passwd`. `/` without an entry. */
  readonly home: string;
}

const maxFileBytes = 1 << 20;

/**
 * Resolves `USER[:GROUP]` of an image's configuration against the image's own `/etc/passwd` and `/etc/group`.
 * @throws {AirlockError} reason `image-invalid` when a name is unknown.
 */
export async function resolveImageUser(image: string, text: string, root: LayerStack): Promise<ImageUser> {
  const [userText = "", groupText] = text.split(":");
  const passwd = parseColons(await root.readFile("etc/passwd", maxFileBytes));
  const groups = parseColons(await root.readFile("etc/group", maxFileBytes));

  const wantedUser = userText === "" ? "0" : userText;
  const byName = passwd.find((fields) => fields[0] === wantedUser);
  const byId = passwd.find((fields) => fields[2] === wantedUser);
  const entry = byName ?? byId;
  const uid = parseId(byName?.[2] ?? wantedUser);
  if (uid === undefined) throw unknown(image, "user", userText);

  const home = entry?.[5]?.startsWith("/") ? entry[5] : "/";
  if (groupText !== undefined && groupText !== "") {
    const gid = parseId(groups.find((fields) => fields[0] === groupText)?.[2] ?? groupText);
    if (gid === undefined) throw unknown(image, "group", groupText);
    return { uid, gid, additionalGids: [], home };
  }
  const gid = parseId(entry?.[3] ?? "0") ?? 0;
  const name = entry?.[0];
  const additionalGids = groups
    .filter((fields) => name !== undefined && fields[3]?.split(",").includes(name))
    .map((fields) => parseId(fields[2] ?? ""))
    .filter((id) => id !== undefined)
    .slice(0, 1000);
  return { uid, gid, additionalGids, home };
}

function unknown(image: string, kind: "user" | "group", name: string): AirlockError {
  const file = kind === "user" ? "/etc/passwd" : "/etc/group";
  return imageUnusable(
    image,
    `runs as the ${kind} ${JSON.stringify(name)}, which is not in its ${file}`,
    "Add it to the image, or choose an existing one with USER.",
  );
}

function parseColons(file: Buffer | undefined): readonly (readonly string[])[] {
  return (file?.toString() ?? "").split("\n").map((line) => line.split(":"));
}

/** chown(2) takes 0xffffffff as "leave unchanged", so ids must be smaller. */
function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffffffff ? Number(text) : undefined;
}
