import { expect, it } from "vitest";
import { stepSecrets } from "./secret-files.ts";

it("a step gets its secrets as files whose directory has a new name each time", () => {
  const secrets = [
    { step: 0, name: "TOKEN", value: "value" },
    { step: 0, name: "KEY", value: "line\n" },
  ];
  const directories = new Set<string>();
  for (let round = 0; round < 2; round++) {
    const { files, variables } = stepSecrets(secrets);
    const inside = variables.TOKEN_FILE ?? "";
    expect(inside).toMatch(/^\/airlock\/secrets\/[0-9a-f]{32}\/TOKEN$/);
    expect(variables.KEY_FILE).toBe(inside.replace(/TOKEN$/, "KEY"));
    expect(files.map(({ path, content }) => [`/airlock/${path}`, content])).toEqual([
      [inside, "value"],
      [variables.KEY_FILE, "line\n"],
    ]);
    directories.add(inside);
  }
  expect(directories.size).toBe(2);
});

it("a step without secrets gets no secret files", () => {
  expect(stepSecrets([])).toEqual({ files: [], variables: {} });
});
