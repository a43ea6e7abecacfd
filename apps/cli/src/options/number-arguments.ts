import { InvalidArgumentError } from "commander";

/** Parses a job id. */
export function parseJobId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give the job's number, from `airlock job list`.");
}

/** Parses a whole number from 1. */
export function parsePositive(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number, 1 or more.");
}
