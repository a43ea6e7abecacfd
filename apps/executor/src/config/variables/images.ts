import { z } from "zod";
import { parseRegistryAuth } from "../parse-registry-auth.ts";

/** Images. */
export const imagesVariables = {
  EXECUTOR_DOCKER_AUTH_CONFIG: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const parsed = parseRegistryAuth(text);
      if (parsed === undefined)
        context.addIssue({
          code: "custom",
          message: 'is not {"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}',
        });
      return parsed ?? {};
    })
    .meta({
      description: "Credentials of image registries; a job's own win over them.",
      default: "none",
      values: '`{"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}`',
    }),
  DOCKER_CONFIG: z.string().optional().meta({
    description:
      "Directory with Docker's config.json, whose credentials are used where EXECUTOR_DOCKER_AUTH_CONFIG is not set.",
    default: "~/.docker",
    values: "a path",
  }),
};
