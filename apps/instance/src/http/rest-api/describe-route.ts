import { jsonSchemaTransform } from "fastify-type-provider-zod";
import { z } from "zod";
import { bodyExamples } from "./body-examples.ts";

type Transform = typeof jsonSchemaTransform;

/**
 * Describes a route for the OpenAPI document, with an example of its body.
 * @throws if the example does not match the body's schema, so a stale example fails the test of the document.
 */
export const describeRoute: Transform = (input) => {
  const described = jsonSchemaTransform(input);
  const { route, schema } = input;
  const example = bodyExamples[`${String(route.method)} ${input.url}`];
  const body: unknown = schema?.body;
  if (example === undefined || !(body instanceof z.ZodType)) return described;
  body.parse(example);
  return {
    ...described,
    schema: { ...described.schema, body: { ...(described.schema.body ?? {}), examples: [example] } },
  };
};
