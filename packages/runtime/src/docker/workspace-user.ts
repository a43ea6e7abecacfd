import type { AirlockError } from "@airlock/job";
import { imageUnusable, refusedByPolicy } from "../contract/index.ts";

/** As the container numbers its users. */
export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** Largest id that the engine takes; where it remaps users, a container has the ids of one range only. */
const mostId = { plain: 2 ** 31 - 1, remapped: 65_535 };

/** `null` where the image names a user that only its own files explain. */
export function numericUser(user: string): UserIds | null {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(user) ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

/** Prints the ids of whoever runs it, with nothing but what is built into every shell. */
export const printUser =
  'while read -r key id _; do case $key in Uid:) uid=$id ;; Gid:) echo "airlock-user $uid:$id" ;; esac; done </proc/self/status';

/** What {@link printUser} printed. The image's own shell ran it, so it may be anything. */
export function parsePrintedUser(text: string): UserIds | null {
  return numericUser(/^airlock-user (\S+)$/m.exec(text)?.[1] ?? "");
}

/**
 * Refuses ids that the engine has no user for.
 * @param user of the image's configuration, `USER[:GROUP]`; names pass.
 * @throws {AirlockError} reason `policy`.
 */
export function checkUserIds(image: string, user: string, { remapsUsers }: { readonly remapsUsers: boolean }): void {
  const most = remapsUsers ? mostId.remapped : mostId.plain;
  const ids = user.split(":").filter((part) => /^\d+$/.test(part));
  if (ids.every((id) => Number(id) <= most)) return;
  throw refusedByPolicy(
    `image "${image}" runs as user ${user}, and this executor's sandboxes have the users 0 to ${most}`,
    "Use a user of the image with a smaller number.",
  );
}

/** The image's user can't be used; `said`: what the engine answered to a command of that user. */
export function unusableUser(image: string, user: string, said: string): AirlockError {
  const [, kind, name] = /unable to find (user|group) (.*?): no matching entries/.exec(said) ?? [];
  if (kind !== undefined && name !== undefined) {
    const file = kind === "user" ? "/etc/passwd" : "/etc/group";
    return imageUnusable(
      image,
      `runs as the ${kind} ${JSON.stringify(name)}, which its ${file} does not have`,
      "Add it to the image, or let the image run as one that it has (USER).",
    );
  }
  return imageUnusable(
    image,
    `can't run as its user ${JSON.stringify(user)}`,
    "Let the image run as a user that it has (USER).",
    new Error(said.trim()),
  );
}
