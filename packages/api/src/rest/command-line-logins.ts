import { z } from "zod";
import { PlainText } from "../primitives/stored-text.ts";
import { CreateAccessTokenRequest, CreatedAccessToken } from "./accounts.ts";

/** Letters and digits that nobody confuses when reading them to another screen. */
const codeAlphabet = "BCDFGHJKLMNPQRSTVWXZ23456789";
const codePattern = new RegExp(`^[${codeAlphabet}]{8}$`);

/** A code as a person types it: in any case, with or without its hyphen. */
export const ShortCode = z
  .string()
  .max(40)
  .transform((text) => text.toUpperCase().replace(/[\s-]/g, ""))
  .refine((text) => codePattern.test(text), "must be a code of 8 letters and digits, such as KRTB-72WX");

/** Eight characters of the alphabet from random bytes, of which each must be less than 252. */
export const shortCodeAlphabet = codeAlphabet;

/** Writes a code as people read it. */
export function shownCode(code: string): string {
  return `${code.slice(0, 4)}-${code.slice(4)}`;
}

/** `POST /api/v1/command-line-logins`: a command line asks for an access token. */
export const BeginCommandLineLogin = z.strictObject({
  /** Name of the machine, which the person recognizes. */
  host: PlainText.trim().min(1).max(100),
});
export const BegunCommandLineLogin = z.object({
  /** Proves to the instance that the same command line asks again. Not shown to anybody. */
  secret: z.string(),
  /** The command line and the page both show it, so that the person confirms the right login. */
  code: z.string(),
  /** Address of the page, relative to the instance's. */
  page: z.string(),
  expiresAt: z.iso.datetime(),
});

/** `GET /api/v1/account/command-line-logins/CODE`: the login that a person is asked to confirm. */
export const CommandLineLoginView = z.object({
  code: z.string(),
  host: z.string(),
  /** Address that the command line's request came from. */
  address: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
});
export type CommandLineLoginView = z.output<typeof CommandLineLoginView>;

/** `POST /api/v1/account/command-line-logins/CODE`: the token that the command line gets. */
export const ConfirmCommandLineLogin = CreateAccessTokenRequest;
export const ConfirmedCommandLineLogin = z.object({
  /** Shown only to the person who confirmed, who types it into the command line. */
  confirmationCode: z.string(),
  expiresAt: z.iso.datetime(),
});

/** `POST /api/v1/command-line-logins/token`: the command line proves that the person who confirmed uses it. */
export const FinishCommandLineLogin = z.strictObject({
  secret: z.string().min(1).max(100),
  confirmationCode: ShortCode,
});
export const FinishedCommandLineLogin = CreatedAccessToken;
