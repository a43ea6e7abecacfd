/** 0–7 the standard colours, 8–15 the bright ones, 16–255 the fixed palette of xterm; or a 24-bit colour `#rrggbb`. */
export type TerminalColor = number | `#${string}`;

/** The look of a piece of text. Absent members have the default. */
export interface TextStyle {
  readonly color?: TerminalColor;
  readonly background?: TerminalColor;
  readonly bold?: true;
  readonly dim?: true;
  readonly italic?: true;
  readonly underline?: true;
  readonly strike?: true;
  readonly inverse?: true;
}

export const plainStyle: TextStyle = {};

/**
 * The style after one SGR sequence (`ESC [ … m`, ECMA-48 §8.3.117 and the colour extensions of xterm). `parameters` is
 * the part between `[` and `m`. Unknown codes are ignored, and so is concealed text, because a log must not hide
 * anything.
 */
export function applySgr(style: TextStyle, parameters: string): TextStyle {
  const codes = parameters.split(/[;:]/).map((text) => (text === "" ? 0 : Number(text)));
  let next: { -readonly [K in keyof TextStyle]: TextStyle[K] } = { ...style };
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4 || code === 21) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) {
      delete next.bold;
      delete next.dim;
    } else if (code === 23) delete next.italic;
    else if (code === 24) delete next.underline;
    else if (code === 27) delete next.inverse;
    else if (code === 29) delete next.strike;
    else if (code >= 30 && code <= 37) next.color = code - 30;
    else if (code >= 90 && code <= 97) next.color = code - 90 + 8;
    else if (code === 39) delete next.color;
    else if (code >= 40 && code <= 47) next.background = code - 40;
    else if (code >= 100 && code <= 107) next.background = code - 100 + 8;
    else if (code === 49) delete next.background;
    else if (code === 38 || code === 48) {
      const extended = extendedColor(codes, index + 1);
      index += extended.consumed;
      if (extended.color === undefined) continue;
      if (code === 38) next.color = extended.color;
      else next.background = extended.color;
    }
  }
  return Object.keys(next).length === 0 ? plainStyle : next;
}

/** Parses `5;N` or `2;R;G;B` after a 38 or 48. */
function extendedColor(codes: readonly number[], start: number): { color?: TerminalColor; consumed: number } {
  const byte = (offset: number): number | undefined => {
    const value = codes[start + offset];
    return value !== undefined && Number.isInteger(value) && value >= 0 && value <= 255 ? value : undefined;
  };
  if (codes[start] === 5) {
    const color = byte(1);
    return color === undefined ? { consumed: 2 } : { color, consumed: 2 };
  }
  if (codes[start] === 2) {
    const [red, green, blue] = [byte(1), byte(2), byte(3)];
    if (red === undefined || green === undefined || blue === undefined) return { consumed: 4 };
    const hex = [red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("");
    return { color: `#${hex}`, consumed: 4 };
  }
  return { consumed: 1 };
}

export function sameStyle(a: TextStyle, b: TextStyle): boolean {
  return (
    a === b ||
    (a.color === b.color &&
      a.background === b.background &&
      a.bold === b.bold &&
      a.dim === b.dim &&
      a.italic === b.italic &&
      a.underline === b.underline &&
      a.strike === b.strike &&
      a.inverse === b.inverse)
  );
}

/** The SGR sequence that switches from any style to this one. */
export function sgrOf(style: TextStyle): string {
  const codes: (number | string)[] = [0];
  if (style.bold) codes.push(1);
  if (style.dim) codes.push(2);
  if (style.italic) codes.push(3);
  if (style.underline) codes.push(4);
  if (style.inverse) codes.push(7);
  if (style.strike) codes.push(9);
  if (style.color !== undefined) codes.push(colorCodes(style.color, 30));
  if (style.background !== undefined) codes.push(colorCodes(style.background, 40));
  return `\u001b[${codes.join(";")}m`;
}

/** `base`: 30 for text, 40 for background. */
function colorCodes(color: TerminalColor, base: 30 | 40): string {
  if (typeof color === "string") {
    const channels = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
    return `${base + 8};2;${channels.join(";")}`;
  }
  if (color < 8) return `${base + color}`;
  return color < 16 ? `${base + 60 + color - 8}` : `${base + 8};5;${color}`;
}
