import { parseSync, type TSImportType, Visitor } from "oxc-parser";

export interface Import {
  readonly specifier: string;
  /** The import is erased at run time. */
  readonly typeOnly: boolean;
}

export interface SourceImports {
  readonly imports: readonly Import[];
  /** Reasons why imports could not be determined. */
  readonly problems: readonly string[];
}

/** Reads the imports of a source file: statements, re-exports, `import()` and the type `import("…")`. */
export function readImports(file: string, text: string): SourceImports {
  const { module, program, errors } = parseSync(file, text);
  const problems = errors.slice(0, 1).map(({ message }) => `${file}: ${message}`);
  const imports: Import[] = [
    ...module.staticImports.map(({ moduleRequest, entries }) => ({
      specifier: moduleRequest.value,
      typeOnly: entries.length > 0 && entries.every((entry) => entry.isType),
    })),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, isType }) =>
        moduleRequest ? [{ specifier: moduleRequest.value, typeOnly: isType }] : [],
      ),
    ),
  ];
  // Walking the syntax tree takes longer than parsing it, and few files have such imports.
  if (/\bimport\s*\(/.test(text)) {
    new Visitor({
      ImportExpression: ({ source }) => {
        if (source.type === "Literal" && typeof source.value === "string") {
          imports.push({ specifier: source.value, typeOnly: false });
        } else problems.push(`${file}: import() of a computed path can't be checked; import a literal path`);
      },
      TSImportType: ({ source }: TSImportType) => {
        imports.push({ specifier: source.value, typeOnly: true });
      },
    }).visit(program);
  }
  return { imports, problems };
}
