import { readFileSync } from "node:fs";
import { type Argument, type CallExpression, type Expression, parseSync, Visitor } from "oxc-parser";

const groups: ReadonlySet<string> = new Set(["describe", "describeWithEngines"]);
const tests: ReadonlySet<string> = new Set(["it", "test"]);

/**
 * The tests of a file, each as its titles from the outermost group: `["a checkout", "brings no hooks"]`. Computed parts
 * of a title appear as `…`.
 */
export function testTitles(file: string): readonly (readonly string[])[] {
  const { program, errors } = parseSync(file, readFileSync(file, "utf8"));
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message ?? "does not parse"}`);
  const found: string[][] = [];
  const open: { readonly call: CallExpression; readonly title: string }[] = [];
  new Visitor({
    CallExpression(call) {
      const name = nameOf(call.callee);
      const title = titleOf(call.arguments);
      if (name === null || title === null) return;
      if (groups.has(name)) open.push({ call, title });
      else if (tests.has(name)) found.push([...open.map((group) => group.title), title]);
    },
    "CallExpression:exit"(call) {
      if (open.at(-1)?.call === call) open.pop();
    },
  }).visit(program);
  return found;
}

/** The name `it` in `it(…)`, `it.each(…)(…)` and `` it.each`…`(…) ``. */
function nameOf(callee: Expression): string | null {
  if (callee.type === "Identifier") return callee.name;
  if (callee.type === "CallExpression") return nameOf(callee.callee);
  if (callee.type === "MemberExpression") return nameOf(callee.object);
  return null;
}

function titleOf(args: readonly Argument[]): string | null {
  for (const argument of args) {
    if (argument.type === "Literal" && typeof argument.value === "string") return argument.value;
    if (argument.type === "TemplateLiteral") {
      return argument.quasis.map(({ value }) => value.cooked ?? value.raw).join("…");
    }
  }
  return null;
}
