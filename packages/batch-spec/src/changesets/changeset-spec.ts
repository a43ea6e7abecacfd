import { z } from "zod";
import { branchNameProblem } from "./branch-name.ts";

/** The longest title that all code hosts take. */
const maximumTitle = 255;
const maximumBody = 65_536;
const branchPrefix = "refs/heads/";

const reference = z.string().superRefine((value, context) => {
  const problem = value.startsWith(branchPrefix)
    ? branchNameProblem(value.slice(branchPrefix.length))
    : `must begin with "${branchPrefix}"`;
  if (problem) context.addIssue({ code: "custom", message: problem });
});

const oneLine = z
  .string()
  .min(1, "must not be empty")
  .regex(/^[^\p{Cc}<>]*$/u, "must not contain control characters, < or >");

const base64 = z.string().regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "is not base64");

const commitFields = {
  message: z.string().regex(/\S/, "must not be empty").max(maximumBody, `is longer than ${maximumBody} characters`),
  authorName: oneLine,
  authorEmail: oneLine,
};

const commit = z.union([
  z.strictObject({ version: z.literal(2), ...commitFields, diff: base64 }),
  z.strictObject({ version: z.literal(1).optional(), ...commitFields, diff: z.string() }),
]);

const newChangeset = z
  .strictObject({
    version: z.int().optional(),
    baseRepository: z.string().min(1, "must not be empty"),
    baseRef: reference,
    baseRev: z.string().regex(/^(?:[\da-f]{40}|[\da-f]{64})$/, "is not a full commit id"),
    headRepository: z.string().min(1, "must not be empty"),
    headRef: reference,
    title: z.string().regex(/\S/, "must not be empty").max(maximumTitle, `is longer than ${maximumTitle} characters`),
    body: z.string().max(maximumBody, `is longer than ${maximumBody} characters`),
    fork: z.boolean().optional(),
    commits: z.tuple([commit]),
    published: z.union([z.boolean(), z.literal("draft")]).nullish(),
  })
  .refine(({ baseRepository, headRepository }) => baseRepository === headRepository, {
    path: ["headRepository"],
    message: "must be the same as baseRepository",
  })
  .refine(({ baseRef, headRef }) => baseRef !== headRef, {
    path: ["headRef"],
    message: "must not be the branch that the changeset is merged into",
  });

const importedChangeset = z.strictObject({
  version: z.int().optional(),
  baseRepository: z.string().min(1, "must not be empty"),
  externalID: z.string().min(1, "must not be empty"),
});

export type NewChangesetSpec = z.infer<typeof newChangeset>;
export type ImportedChangesetSpec = z.infer<typeof importedChangeset>;
export type ChangesetSpec = NewChangesetSpec | ImportedChangesetSpec;

export type ParsedChangesetSpec =
  | { readonly spec: ChangesetSpec; readonly problems?: undefined }
  | { readonly spec?: undefined; readonly problems: readonly string[] };

/** Checks a changeset spec. With `externalID` it tracks an existing changeset, else it describes a new one. */
export function parseChangesetSpec(value: unknown): ParsedChangesetSpec {
  const isImport = typeof value === "object" && value !== null && "externalID" in value;
  const parsed = (isImport ? importedChangeset : newChangeset).safeParse(value);
  if (parsed.success) return { spec: parsed.data };
  return { problems: parsed.error.issues.flatMap((issue) => describe(issue, [])) };
}

function describe(issue: z.core.$ZodIssue, base: readonly PropertyKey[]): string[] {
  const path = [...base, ...issue.path];
  if (issue.code === "invalid_union") {
    // Version 2 comes first. Its problems are meant if the version fits.
    const fitting = issue.errors.find((issues) => !issues.some((inner) => inner.path[0] === "version"));
    if (fitting) return fitting.flatMap((inner) => describe(inner, path));
  }
  const field = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .slice(1);
  return [field ? `${field}: ${issue.message}` : issue.message];
}

/** Sentences about branches that two specs of one repository want to have. */
export function findDuplicateBranches(specs: readonly ChangesetSpec[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const spec of specs) {
    if (!("headRef" in spec)) continue;
    const key = JSON.stringify([spec.baseRepository, spec.headRef]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].flatMap(([key, count]) => {
    if (count < 2) return [];
    const [repository, branch] = JSON.parse(key) as [string, string];
    return [
      `${count} changesets of ${repository} have the branch ${branch}: put something of the workspace into \`branch\``,
    ];
  });
}
