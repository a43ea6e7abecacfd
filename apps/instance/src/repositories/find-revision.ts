import type { BareMirror } from "./bare-mirror.ts";

/** The commit that a revision names, with warnings about other possible readings. */
export interface FoundRevision {
  readonly commit: string;
  /** One sentence per other reading of the revision. */
  readonly warnings: readonly string[];
}

/** Text that git forbids in names of branches and tags, except for the steps to parents that follow a name. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: git forbids control characters in names, too
const forbiddenInNames = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{/;
/** `~2`, `^`, `^2`, `^{commit}`, `^{}`: steps from a commit to its parents, or from a tag to its commit. */
const stepsAtTheEnd = /(?:~\d{0,6}|\^\d{0,3}|\^\{(?:commit)?\})*$/;

/**
 * Finds the commit of a branch, a tag, `HEAD` or a commit id, which may be abbreviated or in the format of `git
 * describe`. A full name such as `refs/heads/main` means only that reference. A tag wins over a branch of the same
 * name, as in git, and both win over an abbreviated id. Returns `null` if the mirror has no such commit.
 */
export async function findRevision(mirror: BareMirror, revision: string): Promise<FoundRevision | null> {
  const steps = stepsAtTheEnd.exec(revision)?.[0] ?? "";
  const name = revision.slice(0, revision.length - steps.length);
  if (name === "" || forbiddenInNames.test(name)) return null;
  if (await mirror.isFullId(name)) return found(await mirror.resolve(`${name}${steps}`));
  if (name.startsWith("refs/")) {
    // Names below refs/airlock/ are internal to the mirror.
    const [reference] = /^refs\/(?:heads|tags)\//.test(name) ? await mirror.existingReferences([name]) : [];
    return found(reference === undefined ? null : await mirror.resolve(`${reference}${steps}`));
  }
  const head = name === "HEAD" || name === "@" ? ["HEAD"] : [];
  const shortened = /^(?:heads|tags)\//.test(name) ? [`refs/${name}`] : [];
  const candidates = [...shortened, `refs/tags/${name}`, `refs/heads/${name}`];
  const existing = [...head, ...(await mirror.existingReferences(candidates))];
  const [first] = existing;
  const id = abbreviatedId(name);
  if (first === undefined) return found(id === null ? null : await mirror.resolve(`${id}${steps}`));
  const commit = await mirror.resolve(`${first}${steps}`);
  if (commit === null) return null;
  const ids = id === name ? await mirror.commitsBeginningWith(id) : [];
  return { commit, warnings: ambiguity(name, [...existing, ...ids]) };
}

/** The warning for a job's submitter when a revision has several readings. */
function ambiguity(name: string, readings: readonly string[]): string[] {
  const [first = "", ...others] = readings.map(described);
  if (others.length === 0) return [];
  return [
    `the revision "${name}" could mean ${[first, ...others].join(" or ")}; the job runs ${first}. Use the full name to choose another one.`,
  ];
}

function described(reading: string): string {
  if (reading.startsWith("refs/tags/")) return `the tag ${reading}`;
  if (reading.startsWith("refs/heads/")) return `the branch ${reading}`;
  return reading === "HEAD" ? "the repository's HEAD" : `the commit ${reading}`;
}

function found(commit: string | null): FoundRevision | null {
  return commit === null ? null : { commit, warnings: [] };
}

/** Extracts the id from `1a2b3c4` or from the format of `git describe`: `v1.0-3-g1a2b3c4`. */
function abbreviatedId(name: string): string | null {
  return /(?:^|-\d+-g)([0-9a-f]{4,63})$/.exec(name)?.[1] ?? null;
}
