import { afterEach, expect, it, vi } from "vitest";
import { describeWithEngines } from "../engines/engines.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { findGo } from "./find-go.ts";

afterEach(() => void vi.unstubAllEnvs());

describeWithEngines(["kubernetes"], "Go for the test cluster", () => {
  it("is downloaded once on a machine that has none", async () => {
    await using cache = await temporaryDirectory("go-");
    vi.stubEnv("XDG_CACHE_HOME", cache.path);
    const first = await findGo({ directories: [] });
    vi.stubEnv("PIP_INDEX_URL", "http://127.0.0.1:1");

    expect(await findGo({ directories: [] })).toEqual(first);
    expect(first.path.startsWith(cache.path)).toBe(true);
    expect(first.version).toMatch(/^go1\./);
  });
});
