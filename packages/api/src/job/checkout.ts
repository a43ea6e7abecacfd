import { z } from "zod";
import { isStorable } from "../primitives/stored-text.ts";

/** Maximum of `depth`. Jobs that need more commits can use `full`. */
export const maxCheckoutDepth = 100_000;

/** A directory or file of the repository, such as `apps/web`. Not a pattern: `*` is literal. */
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
  depth: z
    .union([z.number(), z.literal("full")], { error: wrongDepth })
    .refine(
      (depth) => depth === "full" || (Number.isInteger(depth) && depth >= 1 && depth <= maxCheckoutDepth),
      wrongDepth,
    )
    .default(1)
    .describe("Number of commits of history, including the job's own. `full` is the whole history."),
  tags: z.boolean().default(false).describe("Whether to fetch the tags that point to a commit of the fetched history."),
  paths: z
    .array(CheckoutPath)
    .max(200, "at most 200 paths")
    .default([])
    .describe("Only these directories and files are in the workspace. Empty: all."),
});
export type Checkout = z.output<typeof Checkout>;

/** The default: only the job's commit, without earlier ones. */
export const defaultCheckout: Checkout = { depth: 1, tags: false, paths: [] };

/** The paths as sparse-checkout patterns, in the syntax of `.gitignore`. Each matches its path and everything below. */
export function sparsePatterns(paths: Checkout["paths"]): string[] {
  return paths.map(
    (path) => `/${path.replace(/[\\*?[]/g, "\\$&").replace(/ +$/, (spaces) => "\\ ".repeat(spaces.length))}`,
  );
}
