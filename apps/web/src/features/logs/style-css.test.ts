import { describe, expect, it } from "vitest";
import { cssOfStyle } from "./style-css.ts";

describe("cssOfStyle", () => {
  it("lets the theme choose the shade of a named colour", () => {
    expect(cssOfStyle({ color: 1, bold: true })).toEqual({ color: "var(--ansi-1)", fontWeight: 700 });
  });

  it("keeps palette and 24-bit colours legible on the theme's background", () => {
    expect(cssOfStyle({ color: 208 }).color).toContain("oklch(from #ff8700 ");
    expect(cssOfStyle({ color: 244 }).color).toContain("#808080");
    expect(cssOfStyle({ color: "#0a0b0c" }).color).toContain("#0a0b0c");
  });

  it("shows the foreground and background colours as the terminal does", () => {
    expect(cssOfStyle({ color: 0, background: 7 })).toEqual({ color: "#000000", backgroundColor: "#e5e5e5" });
    expect(cssOfStyle({ background: 1 }).color).toBe("#ffffff");
    expect(cssOfStyle({ background: 11 }).color).toBe("#000000");
  });

  it("swaps the colours of inverse text", () => {
    expect(cssOfStyle({ color: 2, inverse: true }).backgroundColor).toBe("#00cd00");
    expect(cssOfStyle({ inverse: true })).toEqual({
      color: "var(--log-background)",
      backgroundColor: "var(--log-text)",
    });
  });

  it("returns nothing for the default style", () => {
    expect(cssOfStyle({})).toEqual({});
  });
});
