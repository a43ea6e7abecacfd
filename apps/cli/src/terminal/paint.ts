import { styleText } from "node:util";

export type Paint = (style: "bold" | "dim" | "red" | "green" | "yellow" | "cyan", text: string) => string;

/** Applies styles for one stream. Does nothing if the stream is not a terminal or NO_COLOR is set. */
export function painter(stream: NodeJS.WritableStream): Paint {
  return (style, text) => styleText(style, text, { stream, validateStream: true });
}
