// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import { describe, expect, it } from "vitest";
import { parseJobFile } from "./job-file.ts";

/** The error message for a job file. */
function complaint(text: string): string {
  try {
    parseJobFile(text, "job.yaml");
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

const step = "steps:\n  - image: alpine:3.20\n    run: ls\n";

describe("a job file", () => {
  it("describes the job that is submitted", () => {
    const { spec } = parseJobFile(
      `queue: default
repository: https://git.example.com/team/app.git
steps:
  - key: test
    image: node:24
    run: |
      npm ci
      npm test
    env: { CI: true, LEVEL: 3 }
resources: { cpus: 2, memory: 4Gi }
egress: { allow: ["registry.example.com:443"] }
timeout: 20m
`,
      "job.yaml",
    );
    expect(spec).toMatchObject({
      queue: "default",
      steps: [{ key: "test", run: "npm ci\nnpm test\n", env: { CI: true, LEVEL: 3 } }],
      resources: { cpus: 2, memory: "4Gi" },
    });
  });

  it("can be JSON, and can start with a byte order mark", () => {
    expect(parseJobFile('\ufeff{"steps":[{"image":"host","run":"ls"}]}', "job.json").spec.steps).toHaveLength(1);
  });

  it("can use anchors", () => {
    const { spec } = parseJobFile(
      "steps:\n  - { image: &image alpine:3.20, run: a }\n  - { image: *image, run: b }\n",
      "job.yaml",
    );
    expect(spec.steps[1]?.image).toBe("alpine:3.20");
  });
});

describe("a job file with an error", () => {
  it("is reported with the field, line and column, a code frame, and a suggestion", () => {
    expect(complaint("steps:\n  - key: test\n    imagee: alpine:3.20\n    run: ls\n")).toBe(
      `job.yaml:2:5: steps[0].image: is missing: it must be text
  1 | steps:
> 2 |   - key: test
    |     ^^^

job.yaml:3:5: steps[0]: unknown field "imagee"; did you mean "image"?
  1 | steps:
  2 |   - key: test
> 3 |     imagee: alpine:3.20
    |     ^^^^^^
    fields allowed here: key, image, run, commands, dir, env, secrets`,
    );
  });

  it("is shown without credentials in URLs and with its columns unchanged", () => {
    const text = 'repository: "https://ci:s3cret@git.example.com/app.git", x\nsteps: []\n';
    const shown = complaint(text);
    expect(shown).toContain("https://*********@git.example.com/app.git");
    expect(shown).not.toContain("s3cret");
  });

  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    [
      "an unknown field at the top",
      `${step}colour: red\n`,
      ['job.yaml:4:1: unknown field "colour"', "queue, repository, revision, checkout, steps"],
    ],
    ["a swapped letter", `${step}tiemout: 5m\n`, ['did you mean "timeout"?']],
    [
      "an unknown field in resources",
      `${step}resources:\n  cpu: 2\n`,
      ['job.yaml:5:3: resources: unknown field "cpu"', "cpus, memory, disk, pids"],
    ],
    [
      "an unknown field in egress",
      `${step}egress: { allowed: [] }\n`,
      ['unknown field "allowed"; did you mean "allow"?'],
    ],
    [
      "a number where text is wanted",
      "steps:\n  - image: 3\n    run: ls\n",
      ["job.yaml:2:12: steps[0].image: must be text, not the number 3", 'put it in quotes: "3"'],
    ],
    [
      "text where a number is wanted",
      `${step}priority: high\n`,
      ['job.yaml:4:11: priority: must be a number, not the text "high"'],
    ],
    ["a fraction where a whole number is wanted", `${step}priority: 1.5\n`, ["priority: must be a whole number"]],
    ["a number that is too large", `${step}priority: 5000\n`, ["priority: must be at most 1000"]],
    [
      "a map where a list is wanted",
      "steps:\n  image: alpine\n  run: ls\n",
      ["job.yaml:2:3: steps: must be a list, not a map"],
    ],
    ["text where a list is wanted", `${step}outputs: dist\n`, ['outputs: must be a list, not the text "dist"']],
    ["a list where a map is wanted", `${step}labels: [a]\n`, ["labels: must be a map of fields, not a list"]],
    ["nothing where a list is wanted", "steps:\n", ["steps: must be a list, not nothing"]],
    [
      "text where a job is wanted",
      "hello\n",
      ['must be a map of fields, not the text "hello"', "fields allowed here: queue,"],
    ],
    ["no steps at all", "queue: default\n", ["job.yaml:1:1: steps: is missing: it must be a list"]],
    ["an empty list of steps", "steps: []\n", ["steps: a job must have at least one step"]],
    [
      "both run and commands",
      "steps:\n  - image: a\n    run: ls\n    commands: [ls]\n",
      ["steps[0]: give exactly one of run and commands"],
    ],
    [
      "neither run nor commands",
      "steps:\n  - image: a\n",
      ["job.yaml:2:5: steps[0]: give exactly one of run and commands"],
    ],
    [
      "a key that names two steps",
      "steps:\n  - { key: a, image: x, run: ls }\n  - { key: a, image: x, run: ls }\n",
      ['job.yaml:3:12: steps[1].key: two steps have the name "a"'],
    ],
    ["an unknown egress mode", `${step}egress: open\n`, ['egress: must be "none", "public" or']],
    ["an invalid egress rule", `${step}egress:\n  allow:\n    - "http://x"\n`, ["job.yaml:6:7: egress.allow[0]:"]],
    ["an invalid size", `${step}resources: { memory: lots }\n`, ["resources.memory: not a size"]],
    ["a size of the wrong type", `${step}resources: { memory: true }\n`, ["resources.memory: must be", "not true"]],
    ["an invalid duration", `${step}timeout: soon\n`, ["timeout: not a duration"]],
    ["a duration without a unit", `${step}timeout: 90\n`, ["timeout: must be text, not the number 90"]],
    [
      "an invalid variable name",
      "steps:\n  - image: a\n    run: ls\n    env:\n      1A: x\n",
      ['job.yaml:5:7: steps[0].env: "1A" is not a valid environment variable name'],
    ],
    [
      "a variable that is a list",
      "steps:\n  - image: a\n    run: ls\n    env: { A: [1] }\n",
      ["steps[0].env.A: must be text or a number or true or false, not a list"],
    ],
    [
      "a path that leaves the workspace",
      "steps:\n  - image: a\n    run: ls\n    dir: ../x\n",
      ["steps[0].dir: must be a relative path inside the workspace"],
    ],
    ["a revision that is an option", `${step}revision: --upload-pack=x\n`, ["revision: not a revision"]],
    ["an invalid queue name", `${step}queue: My Queue\n`, ["queue: lower-case letters"]],
  ];
  it.each(cases)("gets a clear message: %s", (_, text, parts) => {
    const said = complaint(text);
    for (const part of parts) expect(said).toContain(part);
  });

  it("gets all its problems reported at once, in the order of the lines", () => {
    const said = complaint("colour: red\nsteps:\n  - image: 1\n    run: ls\n    dirr: x\npriority: x\n");
    expect(said.match(/job\.yaml:\d+/g)).toEqual(["job.yaml:1", "job.yaml:3", "job.yaml:5", "job.yaml:6"]);
  });

  it("gets at most twenty problems reported", () => {
    const said = complaint(Array.from({ length: 50 }, (_, index) => `x${index}: 1\n`).join(""));
    expect(said).toContain("and 31 more problems");
  });
});

describe("YAML that is not a job file", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["nothing", "", "job.yaml:1:1: the file is empty"],
    ["only comments", "# later\n", "the file is empty"],
    ["a tab as indentation", "steps:\n\t- image: a\n", "job.yaml:2:1: YAML does not allow tabs here"],
    ["a field given twice", "queue: a\nqueue: b\nsteps: []\n", "job.yaml:2:1: this field appears twice"],
    ["two documents", `${step}---\n${step}`, "job.yaml:4:1: a second document begins here"],
    ["a bracket that is not closed", "steps: [\n", "job.yaml:"],
    ["a custom tag", "steps: !ruby/object []\n", "Unresolved tag"],
    ["__proto__", "steps: []\n__proto__:\n  queue: x\n", 'job.yaml:2:1: the name "__proto__" is not allowed'],
    [
      "__proto__ as a variable",
      "steps:\n  - image: a\n    run: ls\n    env: { __proto__: x }\n",
      'the name "__proto__" is not allowed',
    ],
    ["a list as a field's name", "? [a]\n: 1\n", "a field's name must be plain text"],
    ["`<<` given twice", "<<: {}\n<<: {}\n", "job.yaml:2:1: this field appears twice"],
    [
      "a number that would be sent as another one",
      "steps:\n  - { image: a, run: ls, env: { ID: 12345678901234567890 } }\n",
      "job.yaml:2:37: this number is too large to be kept exactly",
    ],
    ["an alias without an anchor", "steps: *nothing\n", 'job.yaml:1:8: no anchor named "nothing"'],
  ];
  it.each(cases)("is refused with the position of the problem: %s", (_, text, part) => {
    expect(complaint(text)).toContain(part);
  });

  it("can't use up memory with aliases of aliases", () => {
    const levels = Array.from({ length: 30 }, (_, index) => `a${index + 1}: &a${index + 1} [*a${index}, *a${index}]\n`);
    const startedAt = performance.now();
    expect(complaint(`a0: &a0 x\n${levels.join("")}`)).toMatch(/too many aliases|unknown field/);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it("can't exhaust the stack with deep nesting", () => {
    expect(complaint(`steps: ${"[".repeat(200_000)}`)).toMatch(/nested too deeply|job\.yaml:1/);
  });

  it("does not print its control characters on the terminal", () => {
    const said = complaint('steps: []\ncolour\u009b31m: "\u001b]0;title\u0007"\n');
    expect(said).not.toMatch(/[\u001b\u0007\u009b]/);
  });

  it("is quoted near the problem, however long the line", () => {
    const said = complaint(`{ ${"x".repeat(5000)}: 1, steps: 3 }`);
    expect(Math.max(...said.split("\n").map((line) => line.length))).toBeLessThan(400);
  });
});

describe("a problem that the instance finds", () => {
  it("is shown at its line in the job file", () => {
    const file = parseJobFile(
      "queue: default\nrepository: nobody/knows\nsteps:\n  - { image: a, run: ls }\n",
      "job.yaml",
    );
    const { message } = file.report([{ path: ["repository"], target: "value", message: "no such repository" }]);
    expect(message).toContain("job.yaml:2:13: repository: no such repository");
    expect(message).toContain("> 2 | repository: nobody/knows");
  });

  it("is shown at the enclosing element if the job file has no such line", () => {
    const file = parseJobFile("steps:\n  - { image: a, run: ls }\n", "job.yaml");
    const { message } = file.report([{ path: ["steps", 0, "secrets", 0], target: "value", message: "no such secret" }]);
    expect(message).toContain("job.yaml:2:7: steps[0].secrets[0]: no such secret");
  });
});
