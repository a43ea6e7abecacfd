import { describeIssues, formatPath, readYaml, type YamlProblem } from "@airlock/yaml-source";
import { yamlOptions } from "../yaml/yaml-options.ts";
import type {
  BatchSpec,
  ChangesetTemplate,
  EnvironmentVariable,
  OnRule,
  Publication,
  PublicationRule,
  Step,
} from "./batch-spec.ts";
import { checkRules } from "./check-rules.ts";
import { checkTemplates } from "./check-templates.ts";
import type { SpecProblem } from "./spec-problem.ts";
import { batchSpecSchema, type RawBatchSpec, type RawHook, type RawStep } from "./spec-schema.ts";

export type ParsedSpec =
  | { readonly spec: BatchSpec; readonly problems?: undefined }
  | { readonly spec?: undefined; readonly problems: readonly SpecProblem[] };

const helpOf: Readonly<Partial<Record<YamlProblem["kind"], string>>> = {
  "too-long": "move long scripts and files into an image, or mount them",
  "second-document": "remove the `---` line",
};

/** Parses a batch spec in YAML or JSON and reports all problems at once, in the order of the text. */
export function parseBatchSpec(text: string): ParsedSpec {
  const document = readYaml(text, yamlOptions);
  if ("problems" in document) {
    return {
      problems: document.problems.map(({ kind, span, message, help = helpOf[kind] }) => ({
        ...span,
        path: "",
        message,
        ...(help === undefined ? {} : { help }),
      })),
    };
  }
  const parsed = batchSpecSchema.safeParse(document.value);
  const found = parsed.success
    ? [...checkRules(parsed.data), ...checkTemplates(parsed.data)]
    : describeIssues(parsed.error.issues, { schema: batchSpecSchema, input: document.value });
  if (parsed.success && found.length === 0) return { spec: makeSpec(parsed.data) };
  const problems = found.slice(0, 100).map(({ path, target, message, help }) => ({
    ...document.locate(path, target),
    path: formatPath(path),
    message,
    ...(help === undefined ? {} : { help }),
  }));
  return { problems: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}

/** `batch.yaml:3:5: steps[0].run: is missing: it must be text (…)`. */
export function formatSpecProblem({ line, column, path, message, help }: SpecProblem, file = "batch.yaml"): string {
  return `${file}:${line}:${column}: ${path ? `${path}: ` : ""}${message}${help ? ` (${help})` : ""}`;
}

function makeSpec(raw: RawBatchSpec): BatchSpec {
  const template = raw.changesetTemplate;
  return {
    version: raw.version ?? 1,
    name: raw.name,
    description: raw.description ?? "",
    on: (raw.on ?? []).map(makeOnRule),
    workspaces: (raw.workspaces ?? []).map((item) => ({
      rootAtLocationOf: item.rootAtLocationOf,
      in: item.in ?? undefined,
      onlyFetchWorkspace: item.onlyFetchWorkspace ?? false,
    })),
    steps: (raw.steps ?? []).map(makeStep),
    groups: (raw.transformChanges?.group ?? []).map((group) => ({
      ...group,
      repository: group.repository ?? undefined,
    })),
    importChangesets: (raw.importChangesets ?? []).map((item) => ({
      repository: item.repository,
      externalIDs: (item.externalIDs ?? []).map(String),
    })),
    changesetTemplate: template == null ? undefined : makeTemplate(template),
    changesetHooks:
      raw.changesetHooks == null
        ? undefined
        : {
            onCIFailure: makeHook(raw.changesetHooks.onCIFailure),
            onMergeConflict: makeHook(raw.changesetHooks.onMergeConflict),
          },
  };
}

function makeOnRule(rule: NonNullable<RawBatchSpec["on"]>[number]): OnRule {
  if (rule.repository == null) return { kind: "query", query: rule.repositoriesMatchingQuery ?? "" };
  const branches = rule.branches ?? (rule.branch == null ? [] : [rule.branch]);
  return { kind: "repository", repository: rule.repository, branches };
}

function makeHook(hook: RawHook | null | undefined): readonly Step[] | undefined {
  return hook?.steps.map(makeStep);
}

/** A step without the fields that are absent or null. */
export function makeStep(step: RawStep | RawHook["steps"][number]): Step {
  return {
    run: step.run ?? undefined,
    container: ("container" in step ? step.container : undefined) ?? step.image ?? undefined,
    env: makeEnvironment(step.env),
    files: new Map(Object.entries(step.files ?? {})),
    outputs: new Map(
      Object.entries(step.outputs ?? {}).map(([name, { value, format }]) => [
        name,
        { value, format: format ?? undefined },
      ]),
    ),
    if: step.if ?? undefined,
    mount: step.mount ?? [],
    codingAgent: step.codingAgent ?? undefined,
    buildImage: ("buildImage" in step ? step.buildImage : undefined) ?? undefined,
    maxAttempts: ("maxAttempts" in step ? step.maxAttempts : undefined) ?? undefined,
  };
}

function makeEnvironment(env: RawStep["env"]): readonly EnvironmentVariable[] {
  if (env == null) return [];
  const items = Array.isArray(env) ? env : [env];
  return items.flatMap((item): EnvironmentVariable[] =>
    typeof item === "string"
      ? [{ name: item, value: undefined }]
      : Object.entries(item).map(([name, value]) => ({ name, value })),
  );
}

function makeTemplate(raw: NonNullable<RawBatchSpec["changesetTemplate"]>): ChangesetTemplate {
  return {
    title: raw.title,
    body: raw.body ?? "",
    branch: raw.branch,
    fork: raw.fork ?? undefined,
    commit: { message: raw.commit.message, author: raw.commit.author ?? undefined },
    published: makePublished(raw.published),
  };
}

type RawPublished = NonNullable<RawBatchSpec["changesetTemplate"]>["published"];

function makePublished(raw: RawPublished): Publication | readonly PublicationRule[] | undefined {
  if (raw == null) return undefined;
  if (!Array.isArray(raw)) return raw;
  return raw.flatMap((rule) =>
    Object.entries(rule).map(([key, value]) => {
      const at = key.indexOf("@");
      return at < 0
        ? { repository: key, branch: undefined, value }
        : { repository: key.slice(0, at), branch: key.slice(at + 1), value };
    }),
  );
}
