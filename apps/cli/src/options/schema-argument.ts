import { describeIssues } from "@airlock/yaml-source";
import { InvalidArgumentError } from "commander";
import type { z } from "zod";

/**
 * A parser for commander that checks a value with the schema of the API, so that the instance need not refuse it.
 * @param expected What the value must be, for example `a queue's name`.
 */
export function checkedBy(schema: z.ZodType<string>, expected: string): (text: string) => string {
  return (text) => {
    const parsed = schema.safeParse(text);
    if (parsed.success) return parsed.data;
    const [problem] = describeIssues(parsed.error.issues, { schema, input: text });
    throw new InvalidArgumentError(`It is not ${expected}: ${problem?.message ?? "not allowed"}.`);
  };
}
