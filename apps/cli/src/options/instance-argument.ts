import { AirlockError } from "@airlock/job";
import { InvalidArgumentError } from "commander";
import { parseInstanceUrl } from "../instance/connection-values.ts";

/** Parses the address of an instance. */
export function parseInstanceAddress(text: string): URL {
  try {
    return parseInstanceUrl(text, "the address");
  } catch (error) {
    if (error instanceof AirlockError) throw new InvalidArgumentError(`It must be like https://airlock.example.com.`);
    throw error;
  }
}

/** Parses the name or the address of an instance of `airlock login`. */
export function parseInstanceChoice(text: string): string {
  if (text.trim() !== "") return text;
  throw new InvalidArgumentError("Give a name from `airlock instance list`.");
}
