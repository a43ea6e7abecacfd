import { InvalidArgumentError } from "commander";

/** A job's number on the command line. */
export function parseJobId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("A job has a number, as `airlock job list` shows it.");
}

/** A count from 1 on the command line. */
export function parsePositive(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 1.");
}
