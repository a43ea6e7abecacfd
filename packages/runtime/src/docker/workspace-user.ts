import type { AirlockError } from "@airlock/job";
import { imageUnusable, refusedByPolicy } from "../contract/index.ts";

/** A user and group, by their ids inside the container. */
export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** Largest id that the engine accepts. With user remapping, a container only has the ids of one range. */
const mostId = { plain: 2 ** 31 - 1, remapped: 65_535 };

/** Parses `UID:GID`. `null` if the image gives a name, which only its own files can resolve. */
export function numericUser(user: string): UserIds | null {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(user) ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

/** Shell script that prints the ids of the user running it. Uses only builtins of every shell. */
export const printUser =
  'while read -r key id _; do case $key in Uid:) uid=$id ;; Gid:) echo "airlock-user $uid:$id" ;; esac; done </proc/self/status';

/** Parses the output of {@link printUser}. The image's own shell ran it, so the text can't be trusted. */
export function parsePrintedUser(text: string): UserIds | null {
  return numericUser(/^airlock-user (\S+)$/m.exec(text)?.[1] ?? "");
}

/**
 * Rejects ids for which the engine has no user. Names pass.
 * @param user `USER[:GROUP]` from the image's configuration.
 * @throws {AirlockError} reason `policy`.
 */
export function checkUserIds(image: string, user: string, { remapsUsers }: { readonly remapsUsers: boolean }): void {
  const most = remapsUsers ? mostId.remapped : mostId.plain;
  const ids = user.split(":").filter((part) => /^\d+$/.test(part));
  if (ids.every((id) => Number(id) <= most)) return;
  throw refusedByPolicy(
    `image "${image}" runs as user ${user}, but this executor's sandboxes have only the users 0 to ${most}`,
    "Use an image whose user has a smaller id.",
  );
}

/** Describes an unusable image user. `said` is the engine's answer to a command that ran as this user. */
export function unusableUser(image: string, user: string, said: string): AirlockError {
  const [, kind, name] = /unable to find (user|group) (.*?): no matching entries/.exec(said) ?? [];
  if (kind !== undefined && name !== undefined) {
    const file = kind === "user" ? "/etc/passwd" : "/etc/group";
    return imageUnusable(
      image,
      `runs as the ${kind} ${JSON.stringify(name)}, which is not in its ${file}`,
      "Add it to the image, or choose an existing one with USER.",
    );
  }
  return imageUnusable(
    image,
    `cannot run as its user ${JSON.stringify(user)}`,
    "Choose a user that exists in the image, with USER.",
    new Error(said.trim()),
  );
}
