import { JobSpec, type JobSpecInput } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import {
  describeIssues,
  type FieldProblem,
  formatPath,
  readYaml,
  type Span,
  type YamlDocument,
  type YamlProblem,
} from "@airlock/yaml-source";
import { ReportError } from "../context/command-error.ts";
import { codeFrame } from "./code-frame.ts";

/** A job file that passed all checks that need no instance. */
export interface JobFile {
  readonly spec: JobSpecInput;
  /** Makes an error that shows problems found by the instance, at their lines. */
  report(problems: readonly FieldProblem[]): ReportError;
}

const yamlOptions = {
  /** The instance would not accept a larger one. */
  maximumLength: 8 * 2 ** 20,
  /** Every step may share its image, variables and more with others. */
  maximumAliases: 1000,
  mergeKeys: false,
};

/**
 * Parses and checks a job file. `name` stands for the file in messages.
 * @throws {ReportError} `job-file-invalid` with all problems, each with line, column and code frame.
 */
export function parseJobFile(text: string, name: string): JobFile {
  // Some editors write a byte order mark.
  const content = text.startsWith("\ufeff") ? text.slice(1) : text;
  if (content.length > yamlOptions.maximumLength) {
    throw new ReportError(`${name}: too large for a job file (more than 8 MiB)`, {
      code: "job-file-invalid",
      isUsage: true,
    });
  }
  const source = readYaml(content, yamlOptions);
  if ("problems" in source) throw report(content, name, source.problems.map(inTermsOfJobs), true);
  const parsed = JobSpec.safeParse(source.value);
  if (!parsed.success)
    throw report(
      content,
      name,
      located(source, describeIssues(parsed.error.issues, { schema: JobSpec, input: source.value })),
      true,
    );
  return {
    // Send what was written rather than what was parsed, because the instance fills in defaults.
    spec: source.value as JobSpecInput,
    report: (problems) => report(content, name, located(source, problems)),
  };
}

function inTermsOfJobs(problem: YamlProblem): YamlProblem {
  if (problem.kind === "empty") {
    return { ...problem, message: "the file is empty", help: "a job file needs at least `steps`" };
  }
  if (problem.kind !== "second-document") return problem;
  return { ...problem, help: "a file holds one job: remove the `---` line, or split the file" };
}

interface LocatedProblem {
  readonly span: Span;
  readonly message: string;
  readonly help?: string;
}

function located(source: YamlDocument, problems: readonly FieldProblem[]): LocatedProblem[] {
  return problems.map((problem) => {
    const place = formatPath(problem.target === "key" ? problem.path.slice(0, -1) : problem.path);
    return {
      span: source.locate(problem.path, problem.target),
      message: place ? `${place}: ${problem.message}` : problem.message,
      ...(problem.help === undefined ? {} : { help: problem.help }),
    };
  });
}

const mostShown = 20;

/** Escapes messages: they quote keys and values of the file, which may be untrusted. */
function report(text: string, name: string, problems: readonly LocatedProblem[], isUsage = false): ReportError {
  const inOrder = problems.toSorted((a, b) => a.span.line - b.span.line || a.span.column - b.span.column);
  const blocks = inOrder.slice(0, mostShown).map(({ span, message, help }) => {
    const lines = [`${name}:${span.line}:${span.column}: ${plainText(message)}`, codeFrame(text, span)];
    if (help) lines.push(`    ${plainText(help)}`);
    return lines.join("\n");
  });
  if (inOrder.length > mostShown) blocks.push(`and ${inOrder.length - mostShown} more problems`);
  return new ReportError(blocks.join("\n\n"), { code: "job-file-invalid", isUsage });
}
