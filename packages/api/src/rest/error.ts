import { type ErrorCode, isErrorCode } from "@airlock/job";
import { z } from "zod";

/** Body of every response of the REST API that is not a success. */
export const ApiError = z.object({
  error: z.object({
    /** Stable, for programs: a code of docs/errors.md. */
    code: z.string().transform((code): ErrorCode => (isErrorCode(code) ? code : "unknown-error")),
    message: z.string(),
    /** What to do next. */
    hint: z.string().optional(),
    /** For `invalid-request`: one line per problem, starting with the path of the field. */
    issues: z.array(z.string()).optional(),
  }),
});
export type ApiError = z.output<typeof ApiError>;
