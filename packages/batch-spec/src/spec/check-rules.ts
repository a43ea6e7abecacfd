import type { FieldProblem } from "@airlock/yaml-source";
import { globProblem } from "../template/glob.ts";
import type { RawBatchSpec, RawHook, RawStep } from "./spec-schema.ts";

type Path = readonly (string | number)[];

/** Checks the rules that depend on several fields. The spec has the schema's shape. */
export function checkRules(spec: RawBatchSpec): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const report = (path: Path, message: string, help?: string, target: "key" | "value" = "key") => {
    problems.push({ path, target, message, ...(help === undefined ? {} : { help }) });
  };
  const version = spec.version ?? 1;

  for (const [index, rule] of (spec.on ?? []).entries()) {
    const path = ["on", index];
    if (rule.repository != null && rule.repositoriesMatchingQuery != null) {
      report(path, "has both `repository` and `repositoriesMatchingQuery`", "write two list items", "value");
    } else if (rule.repository == null && rule.repositoriesMatchingQuery == null) {
      report(path, "needs either `repository` or `repositoriesMatchingQuery`", undefined, "value");
    }
    if (rule.branch != null && rule.branches != null) {
      report([...path, "branch"], "`branch` and `branches` exclude each other", "keep `branches`");
    }
    for (const field of ["branch", "branches"] as const) {
      if (rule[field] != null && rule.repository == null) report([...path, field], `\`${field}\` needs \`repository\``);
    }
    checkDuplicates(rule.branches ?? [], (at, value) =>
      report([...path, "branches", at], `the branch ${JSON.stringify(value)} is listed twice`, undefined, "value"),
    );
  }

  for (const [index, item] of (spec.workspaces ?? []).entries()) {
    const problem = item.in == null ? undefined : globProblem(item.in);
    if (problem) report(["workspaces", index, "in"], problem, undefined, "value");
  }
  for (const [index, step] of (spec.steps ?? []).entries()) checkStep(step, ["steps", index], version, report);
  const hooks = spec.changesetHooks;
  if (hooks != null && version !== 3) {
    report(["changesetHooks"], "changeset hooks need `version: 3`", "remove them, or write `version: 3`");
  } else if (hooks != null) {
    checkHook(hooks.onCIFailure, ["changesetHooks", "onCIFailure"], report);
    checkHook(hooks.onMergeConflict, ["changesetHooks", "onMergeConflict"], report);
  }

  if ((spec.steps ?? []).length > 0 && spec.changesetTemplate == null) {
    report(["steps"], "steps need a `changesetTemplate`", "add `changesetTemplate` with title, branch and commit");
  }
  const published = spec.changesetTemplate?.published;
  if (published != null && version === 3) {
    report(["changesetTemplate", "published"], "version 3 does not allow `published`", "remove it");
  }
  if (Array.isArray(published)) {
    for (const [index, rule] of published.entries()) {
      if (Object.keys(rule).length !== 1) {
        report(["changesetTemplate", "published", index], "must have exactly one pattern", undefined, "value");
      }
      for (const key of Object.keys(rule)) {
        const problem = globProblem(key.replace(/@.*/s, ""));
        if (problem) report(["changesetTemplate", "published", index, key], problem);
      }
    }
  }
  const email = spec.changesetTemplate?.commit.author?.email;
  // Templates are checked after rendering.
  if (email !== undefined && !email.includes("${{") && !isEmail(email)) {
    report(
      ["changesetTemplate", "commit", "author", "email"],
      "is not an email address",
      "for example bot@example.com",
      "value",
    );
  }
  for (const [index, item] of (spec.importChangesets ?? []).entries()) {
    checkDuplicates((item.externalIDs ?? []).map(String), (at, value) =>
      report(["importChangesets", index, "externalIDs", at], `${value} is listed twice`, undefined, "value"),
    );
  }
  return problems;
}

type Report = (path: Path, message: string, help?: string, target?: "key" | "value") => void;

function checkStep(step: RawStep, path: Path, version: 1 | 2 | 3, report: Report): void {
  checkEnvironment(step, path, report);
  checkPaths(step, path, report);
  if (version !== 3) {
    for (const field of ["codingAgent", "buildImage", "image"] as const) {
      if (step[field] == null) continue;
      const help = field === "image" ? "write `container`" : "remove it, or write `version: 3`";
      report([...path, field], `\`${field}\` needs \`version: 3\``, help);
    }
    if (step.run == null) report([...path, "run"], "is missing: it must be text", undefined, "value");
    if (step.container == null && step.image == null) {
      report([...path, "container"], "is missing: it must be the name of an image", undefined, "value");
    }
    return;
  }
  if (step.image != null && step.container != null && step.image !== step.container) {
    report([...path, "image"], "`image` and `container` name two images", "keep `image`");
  }
  const forms = (["run", "buildImage", "codingAgent"] as const).filter((field) => step[field] != null);
  if (forms.length > 1) report([...path, forms[1] ?? "run"], `\`${forms.join("` and `")}\` exclude each other`);
  if (forms.length === 0) {
    report(path, "needs one of `run`, `buildImage` and `codingAgent`", undefined, "value");
  }
  if (step.run != null && step.image == null && step.container == null) {
    report([...path, "image"], "is missing: it must be the name of an image", undefined, "value");
  }
}

function checkHook(hook: RawHook | null | undefined, path: Path, report: Report): void {
  for (const [index, step] of (hook?.steps ?? []).entries()) {
    const at = [...path, "steps", index];
    checkEnvironment(step, at, report);
    checkPaths(step, at, report);
    if (step.run != null && step.codingAgent != null) {
      report([...at, "codingAgent"], "`run` and `codingAgent` exclude each other");
    } else if (step.run == null && step.codingAgent == null) {
      report(at, "needs one of `run` and `codingAgent`", undefined, "value");
    }
  }
}

function checkEnvironment(step: Pick<RawStep, "env">, path: Path, report: Report): void {
  if (!Array.isArray(step.env)) return;
  for (const [index, item] of step.env.entries()) {
    if (typeof item !== "string" && Object.keys(item).length !== 1) {
      report([...path, "env", index], "must be one name, or one name with one value", undefined, "value");
    }
  }
}

/** These characters would add options to the `--mount` flag of container engines, which is a line of CSV. */
function checkPaths(step: Pick<RawStep, "mount" | "files">, path: Path, report: Report): void {
  const refuse = (value: string, at: Path, target: "key" | "value") => {
    const character = /[,"\n\r\0]/.exec(value)?.[0];
    if (character !== undefined) report(at, `must not contain ${JSON.stringify(character)}`, undefined, target);
  };
  for (const [index, mount] of (step.mount ?? []).entries()) {
    refuse(mount.path, [...path, "mount", index, "path"], "value");
    refuse(mount.mountpoint, [...path, "mount", index, "mountpoint"], "value");
  }
  for (const target of Object.keys(step.files ?? {})) refuse(target, [...path, "files", target], "key");
}

function checkDuplicates(values: readonly string[], report: (index: number, value: string) => void): void {
  const seen = new Set<string>();
  for (const [index, value] of values.entries()) {
    if (seen.has(value)) report(index, value);
    seen.add(value);
  }
}

/** Loose on purpose: code hosts decide what they accept. Control characters would break the commit's header. */
function isEmail(value: string): boolean {
  return value.length <= 254 && /^[^\s@<>\p{Cc}]+@[^\s@<>\p{Cc}]+$/u.test(value);
}
