import { expect, it } from "vitest";
import { webUiSources } from "./build-web-ui.ts";

it("builds the web UI again when any package that it uses has changed", () => {
  expect(webUiSources()).toEqual(
    expect.arrayContaining(["api", "job", "terminal-text"].map((name) => `packages/${name}/src/**/*.ts`)),
  );
});
