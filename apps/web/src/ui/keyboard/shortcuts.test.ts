import { describe, expect, it, vi } from "vitest";
import { KeySequence } from "./shortcuts.ts";

describe("KeySequence", () => {
  const bindings = { "g j": vi.fn(), j: vi.fn() };

  it("matches single keys and sequences", () => {
    const keys = new KeySequence();
    expect(keys.match(bindings, "j", 0)).toBe(bindings.j);
    expect(keys.match(bindings, "g", 0)).toBeUndefined();
    expect(keys.match(bindings, "j", 500)).toBe(bindings["g j"]);
    expect(keys.match(bindings, "j", 600)).toBe(bindings.j);
  });

  it("forgets the first key after a pause or after another key", () => {
    const keys = new KeySequence();
    keys.match(bindings, "g", 0);
    expect(keys.match(bindings, "j", 5000)).toBe(bindings.j);
    keys.match(bindings, "g", 6000);
    keys.match(bindings, "x", 6100);
    expect(keys.match(bindings, "j", 6200)).toBe(bindings.j);
  });
});
