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
    }),
  DOCKER_CONFIG: z.string().optional(),
};
