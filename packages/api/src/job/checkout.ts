import { z } from "zod";
import { isStorable } from "../primitives/stored-text.ts";

/** Whoever needs more commits asks for all of them. */
export const maxCheckoutDepth = 100_000;

/** A directory or file of the repository, such as `apps/web`. Not a pattern: `*` is a character of its name. */
const CheckoutPath = z
  .string()
  .max(1000)
  .transform((path) => path.replace(/^(?:\.\/+)+|\/+$/g, ""))
  .refine((path) => path !== "" && path !== ".", "must name a directory or a file of the repository")
  .refine(
    (path) => !path.startsWith("/") && path.split("/").every((part) => part !== "" && part !== "." && part !== ".."),
    "must be a relative path inside the repository",
  )
  .refine((path) => isStorable(path) && !/\p{Cc}/u.test(path), "must not contain control characters");

const wrongDepth = `must be a number of commits from 1 to ${maxCheckoutDepth}, or full`;

/** How much of a repository a job's workspace gets. */
export const Checkout = z.strictObject({
  /** Commits of history, the job's own included; `full`: all of them. */
  depth: z
    .union([z.number(), z.literal("full")], { error: wrongDepth })
    .refine(
      (depth) => depth === "full" || (Number.isInteger(depth) && depth >= 1 && depth <= maxCheckoutDepth),
      wrongDepth,
    )
    .default(1),
  /** Whether tags come along: those that lead to a commit of the history. */
  tags: z.boolean().default(false),
  /** Only these directories and files; empty: all. */
  paths: z.array(CheckoutPath).max(200, "at most 200 paths").default([]),
});
export type Checkout = z.output<typeof Checkout>;

/** What a job without `checkout` gets: its commit, and nothing before it. */
export const defaultCheckout: Checkout = { depth: 1, tags: false, paths: [] };

/** The paths as patterns of a sparse checkout, in the language of `.gitignore`. Each matches that path and all below it. */
export function sparsePatterns(paths: Checkout["paths"]): string[] {
  return paths.map(
    (path) => `/${path.replace(/[\\*?[]/g, "\\$&").replace(/ +$/, (spaces) => "\\ ".repeat(spaces.length))}`,
  );
}
