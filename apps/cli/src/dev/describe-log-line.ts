import { plainText } from "@airlock/terminal-text";
import { z } from "zod";

export interface LogLine {
  /** `text`: not a log record. Programs print such lines before their log is set up and when they crash. */
  readonly level: "info" | "warning" | "error" | "text";
  /** Safe text of one line. */
  readonly text: string;
}

const Record = z.looseObject({
  level: z.union([z.number(), z.string()]),
  msg: z.string().optional(),
  err: z.looseObject({ message: z.string().optional() }).optional(),
  error: z.unknown().optional(),
  problem: z.string().optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
});

/** Parses one line of a program's log: a JSON record as pino writes it, or plain text. */
export function describeLogLine(line: string): LogLine {
  const parsed = Record.safeParse(parseJson(line));
  if (!parsed.success) return { level: "text", text: plainText(line).trimEnd() };
  const { level, msg, err, error, problem, hint } = parsed.data;
  const detail = err?.message ?? (typeof error === "string" ? error : undefined) ?? problem ?? parsed.data.detail;
  const text = [msg, detail, hint].filter((part) => part !== undefined && part !== "").join(": ");
  return { level: levelOf(level), text: plainText(text || line) };
}

function levelOf(level: number | string): LogLine["level"] {
  if (typeof level === "number") return level >= 50 ? "error" : level >= 40 ? "warning" : "info";
  if (/^(?:err|fatal|crit|eror)/i.test(level)) return "error";
  return /^warn/i.test(level) ? "warning" : "info";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
