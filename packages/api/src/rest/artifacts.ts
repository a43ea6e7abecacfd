import { z } from "zod";
import { artifactKinds } from "../job/results.ts";

/** Download it with `GET /api/v1/jobs/{id}/artifacts/{artifactId}`. */
export const ArtifactView = z.object({
  id: z.int(),
  attempt: z.int(),
  name: z.string(),
  kind: z.enum(artifactKinds),
  bytes: z.int(),
  /** 64 hexadecimal digits. */
  sha256: z.string(),
  createdAt: z.iso.datetime(),
});
export type ArtifactView = z.output<typeof ArtifactView>;

/** `GET /api/v1/jobs/{id}/artifacts`: the artifacts of all attempts, ordered by attempt and name. */
export const ArtifactList = z.object({ artifacts: z.array(ArtifactView) });
export type ArtifactList = z.output<typeof ArtifactList>;

/** An entry of an archive. Names are as the job wrote them: they may be hostile. */
export const ArchiveEntry = z.object({
  path: z.string(),
  kind: z.enum(["file", "directory", "link", "other"]),
  bytes: z.number().nonnegative(),
  linkTarget: z.string().optional(),
});
export type ArchiveEntry = z.output<typeof ArchiveEntry>;

/** `GET /api/v1/jobs/{id}/artifacts/{artifactId}/files`: what is in an archive. */
export const ArchiveListing = z.object({
  /** `null`: the artifact is not an archive that can be listed. */
  format: z.enum(["zip", "tar", "tar.gz"]).nullable(),
  entries: z.array(ArchiveEntry),
  /** Why further entries are missing, in words. `null`: the list is complete. */
  problem: z.string().nullable(),
});
export type ArchiveListing = z.output<typeof ArchiveListing>;
