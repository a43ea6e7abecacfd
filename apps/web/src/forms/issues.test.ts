import { describe, expect, it } from "vitest";
import { issuesByField } from "./issues.ts";

describe("issuesByField", () => {
  const fields = ["queue", "steps[0].image", "steps[0].env", "steps[1].image", "egress.allow", "resources"];

  it("assigns each issue to its field, and an issue of a nested value to the field that contains it", () => {
    const issues = issuesByField(
      [
        "steps[0].image: not an image reference",
        "steps[0].env.1X: not a name",
        "egress.allow[2]: not a rule",
        "resources.memory: not a size",
        "resources.cpus: too small",
      ],
      fields,
    );
    expect(Object.fromEntries(issues.fields)).toEqual({
      "steps[0].image": "not an image reference",
      "steps[0].env": "1X: not a name",
      "egress.allow": "[2]: not a rule",
      resources: "memory: not a size; cpus: too small",
    });
    expect(issues.others).toEqual([]);
  });

  it("returns issues without a field separately, even if their path only starts like a field's", () => {
    const lines = ["queues: unknown", "steps[10].image: bad", "give exactly one of run and commands"];
    expect(issuesByField(lines, fields)).toEqual({ fields: new Map(), others: lines });
  });
});
