import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { batchSpecJsonSchema } from "./spec-json-schema.ts";

const validate = new Ajv({ strict: false }).compile(batchSpecJsonSchema());

test.each([exampleSpec, shortSpec(), "name: n", "name: n\nsteps: []"])(
  "the schema accepts a valid spec (%#)",
  (text) => {
    validate(parse(text));
    expect(validate.errors).toBeNull();
  },
);

test.each([
  "name: a b",
  "name: n\nx: 1",
  "name: n\non: [{}]",
  "name: n\nsteps: [{run: x, container: y}]",
  shortSpec("  - run: x\n"),
  shortSpec("    codingAgent: {type: codex, prompt: p}\n"),
  shortSpec("", "  published: drft\n"),
  shortSpec("", "  published: [{a: true, b: true}]\n"),
])("the schema refuses an invalid spec (%#)", (text) => {
  expect(validate(parse(text))).toBe(false);
});
