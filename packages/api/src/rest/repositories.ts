import { z } from "zod";
import { Namespace } from "../job/job-spec.ts";

/**
 * A repository's name: path segments such as `github.com/owner/name`. No segment starts with `.` or `-`, or ends in
 * `.git` or `.lock`.
 */
export const RepositoryName = z
  .string()
  .max(255)
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/,
    "path segments of letters, digits, '.', '_' and '-'",
  )
  .refine(
    (name) => !name.split("/").some((part) => part.endsWith(".lock") || part.endsWith(".git")),
    "no segment may end in .git or .lock",
  );

/** The organizations whose members see a repository; `null`: every user. */
const Organizations = z.array(Namespace).max(1000).nullable();

export const AddRepositoryRequest = z.strictObject({
  /** Default: derived from the URL, `https://github.com/owner/name.git` → `github.com/owner/name`. */
  name: RepositoryName.optional(),
  /**
   * An https, http, ssh, git or file URL, or `user@host:path`. Also a local path if the instance allows it (dev mode).
   */
  url: z.string().min(1).max(4096),
  organizations: Organizations.optional(),
});
export type AddRepositoryRequest = z.input<typeof AddRepositoryRequest>;

/** `PATCH /api/v1/repositories/{name}` */
export const UpdateRepositoryRequest = z.strictObject({ organizations: Organizations });

export const RepositoryView = z.object({
  name: z.string(),
  /** Without credentials. */
  url: z.string(),
  state: z.enum(["cloning", "ready", "failed"]),
  /** Why the last fetch failed. */
  error: z.string().nullable(),
  head: z.string().nullable(),
  fetchedAt: z.iso.datetime().nullable(),
  sizeBytes: z.int().nullable(),
  /** The organizations that see it, of those that the caller knows; `null`: every user sees it. */
  organizations: z.array(z.string()).nullable().default(null),
});
export type RepositoryView = z.output<typeof RepositoryView>;
export const RepositoryList = z.object({ repositories: z.array(RepositoryView) });
