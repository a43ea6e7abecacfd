export { plainText } from "./plain-text.ts";
export { TerminalParser, type TerminalSink } from "./terminal-parser.ts";
export { plainStyle, sameStyle, sgrOf, type TerminalColor, type TextStyle } from "./text-style.ts";
export { replaceUnprintable } from "./unprintable.ts";
