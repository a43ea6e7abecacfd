import { groupDiff } from "../diff/group-diff.ts";
import { changedFilesOf, type FileDiff, printDiff } from "../diff/parse-diff.ts";
import type { BatchSpec, ChangesetTemplate, Publication } from "../spec/batch-spec.ts";
import { Glob } from "../template/glob.ts";
import { renderTemplate } from "../template/render-template.ts";
import { changesetVariables, type WorkspaceFacts } from "../template/template-variables.ts";
import { branchNameProblem } from "./branch-name.ts";
import type { ImportedChangesetSpec, NewChangesetSpec } from "./changeset-spec.ts";

export interface ChangesetInput {
  /** Names, branch, search results, path and outputs of the workspace. Changed files are taken from the diff. */
  readonly workspace: Omit<WorkspaceFacts, "changedFiles">;
  /** The repository's id in the API. */
  readonly repositoryId: string;
  readonly baseRevision: string;
  readonly files: readonly FileDiff[];
  /** Used if the template has no author. */
  readonly author: { readonly name: string; readonly email: string };
}

export type BuiltChangesetSpecs =
  | { readonly specs: readonly NewChangesetSpec[]; readonly problem?: undefined }
  | { readonly specs?: undefined; readonly problem: { readonly field: string; readonly message: string } };

/** The changeset specs of one workspace: one for each branch. Without changes there are none. */
export function buildChangesetSpecs(spec: BatchSpec, input: ChangesetInput): BuiltChangesetSpecs {
  const template = spec.changesetTemplate;
  if (!template || input.files.length === 0) return { specs: [] };
  const rendered = renderChangesetTemplate(template, { ...input.workspace, changedFiles: changedFilesOf(input.files) });
  if (rendered.problem) return { problem: rendered.problem };
  const { fields } = rendered;
  const repository = input.workspace.repository.name;
  const branches = { template: template.branch, rendered: fields.branch };
  const grouped = groupDiff(input.files, spec.groups, repository, branches);
  if (grouped.problem !== undefined) return { problem: { field: "transformChanges.group", message: grouped.problem } };
  const specs: NewChangesetSpec[] = [];
  for (const { branch, files } of grouped.diffs) {
    const name = branch.replace(/^refs\/heads\//, "");
    const problem = branchNameProblem(name);
    if (problem)
      return { problem: { field: "changesetTemplate.branch", message: `${JSON.stringify(name)} ${problem}` } };
    specs.push({
      baseRepository: input.repositoryId,
      headRepository: input.repositoryId,
      baseRef: withPrefix(input.workspace.repository.branch),
      baseRev: input.baseRevision,
      headRef: withPrefix(name),
      title: fields.title,
      body: fields.body,
      ...(template.fork === undefined ? {} : { fork: template.fork }),
      commits: [
        {
          version: 2,
          message: fields.message,
          diff: toBase64(printDiff(files)),
          authorName: fields.authorName ?? input.author.name,
          authorEmail: fields.authorEmail ?? input.author.email,
        },
      ],
      published: publicationFor(template, repository, name) ?? null,
    });
  }
  return { specs };
}

/** Specs that track existing changesets. `repositoryIds` has the id of each repository by its name. */
export function importedChangesetSpecs(
  spec: BatchSpec,
  repositoryIds: ReadonlyMap<string, string>,
): { readonly specs: readonly ImportedChangesetSpec[]; readonly problems: readonly string[] } {
  const specs: ImportedChangesetSpec[] = [];
  const problems: string[] = [];
  for (const { repository, externalIDs } of spec.importChangesets) {
    const id = repositoryIds.get(repository);
    if (id === undefined) problems.push(`importChangesets: there is no repository ${JSON.stringify(repository)}`);
    else for (const externalID of externalIDs) specs.push({ baseRepository: id, externalID });
  }
  return { specs, problems };
}

/** What the template says about publication. The last rule that matches wins; `undefined` leaves it to the user. */
export function publicationFor(
  { published }: ChangesetTemplate,
  repository: string,
  branch: string,
): Publication | undefined {
  if (typeof published !== "object") return published;
  return published.findLast(
    (rule) => (rule.branch === undefined || rule.branch === branch) && new Glob(rule.repository).matches(repository),
  )?.value;
}

interface RenderedFields {
  readonly title: string;
  readonly body: string;
  readonly branch: string;
  readonly message: string;
  readonly authorName: string | undefined;
  readonly authorEmail: string | undefined;
}

type RenderedTemplate =
  | { readonly fields: RenderedFields; readonly problem?: undefined }
  | { readonly fields?: undefined; readonly problem: { readonly field: string; readonly message: string } };

/** Renders the template's fields without the white space around them. */
function renderChangesetTemplate(template: ChangesetTemplate, facts: WorkspaceFacts): RenderedTemplate {
  const variables = changesetVariables(facts);
  const { author, message } = template.commit;
  const texts = {
    title: template.title,
    body: template.body,
    branch: template.branch,
    message,
    authorName: author?.name,
    authorEmail: author?.email,
  };
  const paths = {
    title: "title",
    body: "body",
    branch: "branch",
    message: "commit.message",
    authorName: "commit.author.name",
    authorEmail: "commit.author.email",
  };
  const rendered: Partial<Record<keyof typeof texts, string>> = {};
  for (const name of Object.keys(texts) as (keyof typeof texts)[]) {
    const text = texts[name];
    if (text === undefined) continue;
    const result = renderTemplate(text, variables);
    const field = `changesetTemplate.${paths[name]}`;
    if (result.problem) return { problem: { field, message: result.problem.message } };
    rendered[name] = result.text.trim();
    if (rendered[name] === "" && name !== "body") return { problem: { field, message: "is empty after rendering" } };
  }
  const { title = "", body = "", branch = "", message: commitMessage = "", authorName, authorEmail } = rendered;
  return { fields: { title, body, branch, message: commitMessage, authorName, authorEmail } };
}

function withPrefix(branch: string): string {
  return branch.startsWith("refs/heads/") ? branch : `refs/heads/${branch}`;
}

const chunk = 0x8000;

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < bytes.length; start += chunk) {
    binary += String.fromCharCode(...bytes.subarray(start, start + chunk));
  }
  return btoa(binary);
}
