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
