import { InvalidArgumentError } from "commander";

/** Checks `HOST:PORT`, so that a typing error is found before programs start. Returns the text unchanged. */
export function parseListen(text: string): string {
  const [, port] = /^(?:\[[0-9a-fA-F:.%a-z]+\]|[^:\s]*):(\d{1,5})$/.exec(text) ?? [];
  if (port !== undefined && Number(port) <= 65_535) return text;
  throw new InvalidArgumentError("Write it as HOST:PORT, such as 127.0.0.1:7080 or [::1]:7080.");
}
