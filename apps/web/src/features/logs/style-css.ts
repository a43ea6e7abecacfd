import type { TerminalColor, TextStyle } from "@airlock/terminal-text";
import type { CSSProperties } from "react";

/** The 16 named colours as in xterm. Used when a background is set, so that the pair keeps its contrast. */
const named = [
  "#000000",
  "#cd0000",
  "#00cd00",
  "#cdcd00",
  "#0000ee",
  "#cd00cd",
  "#00cdcd",
  "#e5e5e5",
  "#7f7f7f",
  "#ff0000",
  "#00ff00",
  "#ffff00",
  "#5c5cff",
  "#ff00ff",
  "#00ffff",
  "#ffffff",
] as const;

/**
 * CSS of a terminal style. A text colour without background follows the theme: variables of the style sheet keep it
 * legible in light and dark. A text colour with a background looks as in the terminal.
 */
export function cssOfStyle(style: TextStyle): CSSProperties {
  const css: CSSProperties = {};
  let { color, background } = style;
  if (style.inverse) {
    if (color === undefined && background === undefined) {
      css.color = "var(--log-background)";
      css.backgroundColor = "var(--log-text)";
    } else [color, background] = [background, color];
  }
  if (background !== undefined) {
    const rgb = hexOf(background);
    css.backgroundColor = rgb;
    css.color = color === undefined ? (isDark(rgb) ? "#ffffff" : "#000000") : hexOf(color);
  } else if (color !== undefined) {
    css.color =
      typeof color === "number" && color < 16
        ? `var(--ansi-${color})`
        : `oklch(from ${hexOf(color)} clamp(var(--log-lightness-min), l, var(--log-lightness-max)) c h)`;
  }
  if (style.bold) css.fontWeight = 700;
  if (style.dim) css.opacity = 0.7;
  if (style.italic) css.fontStyle = "italic";
  const lines = [style.underline && "underline", style.strike && "line-through"].filter(Boolean);
  if (lines.length > 0) css.textDecoration = lines.join(" ");
  return css;
}

/** `#rrggbb` of any terminal colour. 16–231 are a 6×6×6 cube, 232–255 are greys. */
function hexOf(color: TerminalColor): string {
  if (typeof color === "string") return color;
  if (color < 16) return named[color] ?? "#000000";
  if (color >= 232) return rgbHex([8, 8, 8].map((base) => base + (color - 232) * 10));
  const cube = color - 16;
  return rgbHex(
    [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((level) => (level === 0 ? 0 : 55 + level * 40)),
  );
}

function rgbHex(channels: readonly number[]): string {
  return `#${channels.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

function isDark(hex: string): boolean {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue < 140;
}
