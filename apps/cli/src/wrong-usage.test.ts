import { describe, expect, it } from "vitest";
import { commandLine } from "./command-line.ts";
import { runCommandLine } from "./run-command-line.ts";
import { anyText, commandTable, leafCommands, programCommands, valuedNames } from "./testing/command-table.ts";
import { rawWords } from "./testing/raw-words.ts";
import { stubInstance } from "./testing/stub-instance.ts";
import { testContext } from "./testing/test-context.ts";

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0] = {}) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

const wrong = {
  ...Object.fromEntries(Object.entries(commandTable).map(([name, entry]) => [name, entry.wrong])),
  ...programCommands,
};

it("every command, option and argument has an entry in the table of wrong values", () => {
  const commands = leafCommands(commandLine(testContext()));
  const known = Object.entries(wrong).map(([name, values]) => [name, Object.keys(values).toSorted()]);
  expect(commands.map(([name, command]) => [name, valuedNames(command).toSorted()]).toSorted()).toEqual(
    known.toSorted(),
  );
});

/** Arguments with the wrong value in the place of a valid one. */
function withValue(command: string, name: string, value: string): readonly string[] {
  const words = command.split(" ");
  const valid = commandTable[command]?.valid ?? [];
  if (name === "--file") return [...words, `--file=${value}`];
  if (name.startsWith("--")) {
    const others = name === "--image" ? valid.slice(valid.indexOf("--")) : valid;
    return [...words, `${name}=${value}`, ...others];
  }
  const position = Object.keys(wrong[command] ?? {})
    .filter((key) => !key.startsWith("--"))
    .indexOf(name);
  const isOption = (word: string) => word.startsWith("--");
  const values = valid.filter((word) => !isOption(word)).toSpliced(position, 1, value);
  return [...words, ...valid.filter(isOption), "--", ...values];
}

const wrongValues = Object.entries(wrong).map(([command, values]): [string, [string, string][]] => [
  command,
  Object.entries(values).flatMap(([name, texts]) =>
    texts === anyText ? [] : texts.map((text): [string, string] => [name, text]),
  ),
]);

describe("wrong usage", () => {
  it.each(wrongValues.filter(([, cases]) => cases.length > 0))(
    "of `airlock %s` exits with 2 for every wrong value, before any request",
    async (command, cases) => {
      await using instance = await stubInstance({});
      for (const [name, value] of cases) {
        const args = withValue(command, name, value);
        const { code, stdout, stderr } = await airlock(args, { env: instance.env, stdin: "x" });
        const said = `airlock ${args.join(" ")}\n${stderr}`;
        expect([code, stdout], said).toEqual([2, ""]);
        expect(stderr, said).toMatch(/^error: \S/);
        expect(stderr, said).not.toMatch(rawWords);
      }
      expect(instance.requests).toEqual([]);
    },
  );

  // The executor program reads its own options.
  it.each(Object.keys(wrong).filter((command) => command !== "executor"))(
    "of `airlock %s` exits with 2 for an unknown option and says where the help is",
    async (command) => {
      const { code, stderr } = await airlock([...command.split(" "), "--bogus"]);
      expect([code, stderr]).toEqual([2, expect.stringContaining(`(see \`airlock ${command} --help\`)`)]);
    },
  );
});
