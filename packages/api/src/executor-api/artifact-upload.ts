import { z } from "zod";
import { ArtifactName, artifactKinds } from "../job/results.ts";
import { Ordinal } from "../primitives/primitives.ts";

/**
 * `PUT queue/{queue}/artifacts` (capability `results`): the body is the artifact, `application/octet-stream`, of any
 * length. Answers 204; 409 when the attempt is not the running one; 413 past the instance's limit. The same name again
 * replaces the artifact, so an upload whose answer was lost is simply sent again.
 */
export const ArtifactUploadQuery = z.object({
  attempt: z.coerce.number().pipe(Ordinal),
  name: ArtifactName,
  kind: z.enum(artifactKinds),
});
export type ArtifactUploadQuery = z.output<typeof ArtifactUploadQuery>;
