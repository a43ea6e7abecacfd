import fc from "fast-check";

const atoms = [
  "repository.name",
  "repository.search_result_paths",
  "repository.nope",
  "previous_step.added_files",
  "previous_step.deleted_files",
  "previous_step.stdout",
  "outputs.n",
  "outputs.i",
  "outputs.half",
  "outputs.big",
  "outputs.yes",
  "outputs.nothing",
  "outputs.list",
  "outputs.obj",
  "outputs.obj.field",
  "outputs.empty",
  "outputs.name",
  "outputs.markup",
  '"text"',
  '"a/b"',
  '""',
  "`r w`",
  '"ü"',
  "0",
  "1",
  "-2",
  "2.5",
  "1e3",
  "'x'",
  "true",
  "false",
  "nil",
  ".",
  "$",
  "$v",
  ".field",
];
const functions = [
  "and",
  "or",
  "not",
  "eq",
  "ne",
  "lt",
  "le",
  "gt",
  "ge",
  "len",
  "index",
  "slice",
  "print",
  "println",
  "html",
  "js",
  "urlquery",
  "join",
  "split",
  "replace",
  "join_if",
  "printf",
  "call",
];
const formats = [
  '"%v|%s"',
  '"%d %q"',
  '"%5v|%-6s|"',
  '"%+d %x"',
  '"%.2f %.1s"',
  '"%e%g"',
  '"%T%t"',
  '"%05d%%"',
  '"%#v %#q"',
  '"%c%U"',
];

interface Parts {
  readonly nodes: string;
  readonly operand: string;
  readonly pipe: string;
}

const { nodes } = fc.letrec<Parts>((tie) => ({
  operand: fc.oneof(
    { maxDepth: 4, depthIdentifier: "template" },
    { weight: 4, arbitrary: fc.constantFrom(...atoms) },
    { weight: 1, arbitrary: tie("pipe").map((pipe) => `(${pipe})`) },
  ),
  pipe: fc
    .array(
      fc.oneof(
        fc
          .tuple(fc.constantFrom(...functions), fc.array(tie("operand"), { maxLength: 3 }))
          .map(([f, args]) => [f, ...args].join(" ")),
        fc
          .tuple(fc.constantFrom(...formats), fc.array(tie("operand"), { maxLength: 3 }))
          .map(([format, args]) => ["printf", format, ...args].join(" ")),
        tie("operand"),
      ),
      { minLength: 1, maxLength: 2 },
    )
    .map((commands) => commands.join(" | ")),
  nodes: fc
    .array(
      fc.oneof(
        { maxDepth: 4, depthIdentifier: "template" },
        fc.constantFrom("text", " \n ", "}}", "$", "${{ break }}", "${{ continue }}", "${{/* c */}}"),
        tie("pipe").map((pipe) => `\${{ ${pipe} }}`),
        tie("pipe").map((pipe) => `\${{- ${pipe} -}}`),
        tie("pipe").map((pipe) => `\${{ $v := ${pipe} }}`),
        tie("pipe").map((pipe) => `\${{ $v = ${pipe} }}`),
        fc
          .tuple(
            fc.constantFrom("if", "with", "range", "range $v :=", "range $k, $v :="),
            tie("pipe"),
            tie("nodes"),
            tie("nodes"),
          )
          .map(([kind, pipe, body, otherwise]) => `\${{ ${kind} ${pipe} }}${body}\${{ else }}${otherwise}\${{ end }}`),
      ),
      { maxLength: 4 },
    )
    .map((parts) => parts.join("")),
}));

/** Templates that mostly parse, with wrong types, wrong argument counts and missing names in them. */
export const templateArbitrary = nodes.map((text) => `\${{ $v := 1 }}${text}`);

/** Text with the characters that matter to the parser, in any order. */
export const fragmentsArbitrary = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "${{",
        "}}",
        "${{-",
        "-}}",
        "- ",
        " ",
        "(",
        ")",
        "|",
        '"',
        "`",
        "'",
        "\\",
        "$",
        ".",
        ":=",
        "=",
        ",",
        "/*",
        "*/",
      ),
      fc.constantFrom(
        "if ",
        "else ",
        "end",
        "range ",
        "with ",
        "define ",
        "block ",
        "template ",
        "nil",
        "true",
        "0x",
        "1e",
        "_",
        "\n",
        "ü",
      ),
      fc.constantFrom(...functions, ...atoms),
      fc.string({ maxLength: 3 }),
    ),
    { maxLength: 25 },
  )
  .map((parts) => parts.join(""));
