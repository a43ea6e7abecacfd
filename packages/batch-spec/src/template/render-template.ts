import { defaultTemplateLimits, type TemplateLimits } from "./budget.ts";
import { executeTemplate } from "./execute-template.ts";
import { templateFunctions } from "./functions.ts";
import { parseTemplate } from "./parse-template.ts";
import { describeFailure, TemplateFailure, type TemplateProblem } from "./template-failure.ts";
import type { Value } from "./values.ts";

export type Rendered =
  | { readonly text: string; readonly problem?: undefined }
  | { readonly text?: undefined; readonly problem: TemplateProblem };

/** Names of all functions that every template can use. */
export const functionNames: ReadonlySet<string> = new Set([...templateFunctions.keys(), "and", "or"]);

/**
 * Renders a template with the semantics of Go's text/template. Unknown names are errors. Time and output are bounded,
 * so the template may come from anybody.
 */
export function renderTemplate(
  text: string,
  variables: ReadonlyMap<string, Value>,
  limits: TemplateLimits = defaultTemplateLimits,
): Rendered {
  try {
    const template = parseTemplate(text, new Set([...functionNames, ...variables.keys()]));
    return { text: executeTemplate(template, variables, limits) };
  } catch (error) {
    if (error instanceof TemplateFailure) return { problem: describeFailure(error, text) };
    throw error;
  }
}
