/** As the container numbers its users. */
export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

const mostId = 65_535;

/** `null` where the image names a user that only its own files explain. */
export function numericUser(user: string): UserIds | null {
  const [, uid, gid] = /^(\d{1,5}):(\d{1,5})$/.exec(user) ?? [];
  return uid === undefined || gid === undefined ? null : within({ uid: Number(uid), gid: Number(gid) });
}

/** Prints the ids of whoever runs it, with nothing but what is built into every shell. */
export const printUser =
  'while read -r key id _; do case $key in Uid:) uid=$id ;; Gid:) echo "airlock-user $uid:$id" ;; esac; done </proc/self/status';

/** What {@link printUser} printed. The image's own shell ran it, so it may be anything. */
export function parsePrintedUser(text: string): UserIds | null {
  return numericUser(/^airlock-user (\S+)$/m.exec(text)?.[1] ?? "");
}

/** Those of other users of the machine are not a job's to give files to; a mapping ends here, too. */
function within(user: UserIds): UserIds | null {
  return user.uid <= mostId && user.gid <= mostId ? user : null;
}
