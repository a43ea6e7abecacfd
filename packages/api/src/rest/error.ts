import { z } from "zod";

/** Body of every answer of the REST API that is not a success. */
export const ApiError = z.object({
  error: z.object({
    /** Stable, for programs: `unknown-repository`, `invalid-request`, … */
    code: z.string(),
    message: z.string(),
    /** What to do next. */
    hint: z.string().optional(),
    /** For `invalid-request`: one line per problem, each beginning with the field's path. */
    issues: z.array(z.string()).optional(),
  }),
});
export type ApiError = z.output<typeof ApiError>;
