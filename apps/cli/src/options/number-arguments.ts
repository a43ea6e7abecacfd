import { InvalidArgumentError } from "commander";

/** Parses a job id. */
export function parseJobId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give the job's number, from `airlock job list`.");
}

/** Parses the id of an executor token. */
export function parseTokenId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give the token's number, from `airlock executor-token list`.");
}

/** Parses the id of an access token. */
export function parseAccessTokenId(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give the token's number, from `airlock token list`.");
}

/** Parses a whole number from 1. */
export function parsePositive(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number, 1 or more.");
}

/** The instance lists at most this many at once. */
const largestPage = 200;

/** Parses the number of lines that a list may have. */
export function parsePageSize(text: string): number {
  const size = parsePositive(text);
  if (size <= largestPage) return size;
  throw new InvalidArgumentError(`It must be at most ${largestPage}; get more with --before.`);
}

/** Collects job ids. */
export function parseJobIds(text: string, previous: readonly number[] = []): readonly number[] {
  return [...previous, parseJobId(text)];
}
