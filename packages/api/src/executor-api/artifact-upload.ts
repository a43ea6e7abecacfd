import { z } from "zod";
import { ArtifactName, artifactKinds } from "../job/results.ts";
import { Ordinal } from "../primitives/primitives.ts";

/**
 * `PUT queue/{queue}/artifacts` (capability `results`): the body is the artifact, `application/octet-stream`, of any
 * length.
 * Responses: 204; 409 if the attempt is not the running one; 413 above the instance's limit. A second upload with the
 * same name replaces the artifact, so an upload can be repeated if the response is lost.
 */
export const ArtifactUploadQuery = z.object({
  attempt: z.coerce.number().pipe(Ordinal),
  name: ArtifactName,
  kind: z.enum(artifactKinds),
});
export type ArtifactUploadQuery = z.output<typeof ArtifactUploadQuery>;
