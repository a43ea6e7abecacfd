import { z } from "zod";
import { batchSpecSchema } from "./spec-schema.ts";

/** The JSON Schema of batch specs, for editors: completion, descriptions and errors in place. */
export function batchSpecJsonSchema(): object {
  const schema = z.toJSONSchema(batchSpecSchema, { target: "draft-07", io: "input", reused: "inline" });
  return {
    ...schema,
    title: "Batch spec",
    description: "A batch change: steps that change files in many repositories, and the changesets that result.",
    allOf: [
      {
        if: { required: ["version"], properties: { version: { const: 3 } } },
        else: {
          properties: {
            steps: { items: { required: ["run", "container"], properties: { codingAgent: false, buildImage: false } } },
            changesetHooks: false,
          },
        },
      },
    ],
    dependencies: {
      steps: { anyOf: [{ properties: { steps: { maxItems: 0 } } }, { required: ["changesetTemplate"] }] },
    },
  };
}
