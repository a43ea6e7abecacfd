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

const example = { code: "not-found", message: "job 7 not found" };

/** {@link ApiError} as the instance writes it, for the API description. */
export const ApiErrorDocument = z
  .object({
    error: z.object({
      code: z.string().describe("Stable, for programs: a code of docs/errors.md"),
      message: z.string(),
      hint: z.string().optional().describe("What to do next"),
      issues: z
        .array(z.string())
        .optional()
        .describe("For `invalid-request`: one line per problem, starting with the path of the field"),
    }),
  })
  .meta({ examples: [{ error: example }] });

/** Media type of {@link ProblemDetails}. */
export const problemMediaType = "application/problem+json";

/** The same error in the form of RFC 9457, for requests whose `Accept` names its media type. */
export const ProblemDetails = z
  .object({
    type: z.string().describe("urn:airlock:error: and the code"),
    title: z.string().describe("The meaning of the code, the same for all errors with it"),
    status: z.int(),
    detail: z.string().describe("What happened this time"),
    code: z.string(),
    hint: z.string().optional(),
    issues: z.array(z.string()).optional(),
  })
  .meta({
    examples: [
      {
        type: "urn:airlock:error:not-found",
        title: "What the request names does not exist, or is not visible to the caller.",
        status: 404,
        detail: example.message,
        code: example.code,
      },
    ],
  });
export type ProblemDetails = z.output<typeof ProblemDetails>;
