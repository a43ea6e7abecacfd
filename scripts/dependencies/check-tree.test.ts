import { describe, expect, it } from "vitest";
import { checkPackage, type PackageRules } from "./check-tree.ts";

const rules: PackageRules = { source: "apps/x/src", mayImport: ["job"] };

/** Files of a package by their paths relative to its sources. */
function tree(files: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(files).map(([file, text]) => [`apps/x/src/${file}`, text]));
}

function check(files: Readonly<Record<string, string>>): readonly string[] {
  return checkPackage(tree(files), rules);
}

describe("folders of a package", () => {
  it("may import each other only in one direction", () => {
    const files = {
      "main.ts": 'import { a } from "./queues/a.ts"; export const b = a;',
      "queues/a.ts": 'import { c } from "../store/c.ts"; export const a = c;',
      "store/c.ts": "export const c = 1;",
    };
    expect(check(files)).toEqual([]);
  });

  it.each([
    ["value", 'import { c } from "../store/c.ts"; export const a = c;'],
    ["type", 'import type { C } from "../store/c.ts"; export type A = C;'],
    ["named type", 'import { type C } from "../store/c.ts"; export type A = C;'],
    ["re-export", 'export { c } from "../store/c.ts";'],
    ["re-export of everything", 'export * from "../store/c.ts";'],
    ["re-export of a type", 'export type { C } from "../store/c.ts";'],
    ["import()", 'export const a = async () => (await import("../store/c.ts")).c;'],
    ["the type import()", 'export type A = import("../store/c.ts").C;'],
    ["typeof import()", 'export type A = typeof import("../store/c.ts");'],
    ["side effect", 'import "../store/c.ts";'],
  ])("must not form a circle, even through a %s", (_kind, text) => {
    const files = {
      "queues/a.ts": text,
      "store/c.ts": "export const c = 1; export type C = 1;",
      "store/d.ts": 'import type { E } from "../queues/e.ts"; export type D = E;',
      "queues/e.ts": "export type E = 1;",
    };
    expect(check(files)).toEqual([
      [
        "apps/x/src: folders form a circle: queues → store → queues",
        "    apps/x/src/queues/a.ts imports apps/x/src/store/c.ts",
        "    apps/x/src/store/d.ts imports apps/x/src/queues/e.ts",
      ].join("\n"),
    ]);
  });

  it("that form a circle of three are reported once", () => {
    const files = {
      "a/a.ts": 'import type { B } from "../b/b.ts"; export type A = B;',
      "b/b.ts": 'import type { C } from "../c/c.ts"; export type B = C;',
      "c/c.ts": 'import type { D } from "../a/d.ts"; export type C = D;',
      "a/d.ts": "export type D = 1;",
    };
    expect(check(files)).toHaveLength(1);
    expect(check(files)[0]).toContain("a → b → c → a");
  });

  it("that form a circle are reported even if a folder outside the circle imports one of them", () => {
    const files = {
      "main.ts": 'import { b } from "./b/b.ts"; export const main = b;',
      "b/b.ts": 'import type { C } from "../c/c.ts"; export const b: C = 1;',
      "b/d.ts": "export type D = 1;",
      "c/c.ts": 'import type { D } from "../b/d.ts"; export type C = D;',
    };
    expect(check(files)[0]).toContain("folders form a circle: b → c → b");
  });

  it("count separately when one folder contains another", () => {
    const files = {
      "http/server.ts": 'import { route } from "./routes/route.ts"; export const server = route;',
      "http/answer.ts": "export type Answer = 1;",
      "http/routes/route.ts": 'import type { Answer } from "../answer.ts"; export const route: Answer = 1;',
    };
    expect(check(files)[0]).toContain("folders form a circle: http → http/routes → http");
  });

  it("must not import the file that assembles the package", () => {
    const files = { "main.ts": "export type Options = 1;", "a/a.ts": 'import type { Options } from "../main.ts";' };
    expect(check(files)).toEqual([
      "apps/x/src/a/a.ts: imports apps/x/src/main.ts, which stands above all folders; move what folders share into a folder",
    ]);
  });
});

describe("tests of a package", () => {
  it("belong to no folder and may start the whole package", () => {
    const files = {
      "main.ts": 'import { a } from "./a/a.ts"; export const main = a;',
      "a/a.ts": "export const a = 1;",
      "a/a.test.ts": 'import { main } from "../main.ts"; import { helper } from "../testing/helper.ts"; main + helper;',
      "testing/helper.ts": 'import { main } from "../main.ts"; export const helper = main;',
    };
    expect(check(files)).toEqual([]);
  });

  it("are not imported by any file, and their helpers are not imported by production code", () => {
    const files = {
      "a/a.ts": 'import { helper } from "../testing/helper.ts"; export const a = helper;',
      "a/b.ts": 'import { c } from "./c.test.ts"; export const b = c;',
      "a/c.test.ts": "export const c = 1;",
      "testing/helper.ts": "export const helper = 1;",
    };
    expect(check(files)).toEqual([
      "apps/x/src/a/a.ts: imports ../testing/helper.ts, which is for tests",
      "apps/x/src/a/b.ts: imports the test ./c.test.ts",
    ]);
  });

  it("may import the test kit, unlike all other files", () => {
    const text = 'import { startEngines } from "@airlock/test-kit"; startEngines;';
    expect(check({ "a.test.ts": text, "testing/a.ts": text })).toEqual([]);
    expect(check({ "a.ts": text })).toEqual(["apps/x/src/a.ts: imports @airlock/test-kit; apps/x/src may import job"]);
  });
});

describe("imports of a package", () => {
  it("stay inside the package and use only the packages that it may import", () => {
    const files = {
      "a.ts": 'import "@airlock/job"; import "@airlock/api";',
      "b.ts": 'import "../../y/src/b.ts";',
      "c.ts": 'import type { D } from "apps/y/src/d.ts"; export type C = D;',
      "d.ts": 'export const d = () => import("@airlock/api");',
    };
    expect(check(files)).toEqual([
      "apps/x/src/a.ts: imports @airlock/api; apps/x/src may import job",
      "apps/x/src/b.ts: ../../y/src/b.ts leaves apps/x/src",
      "apps/x/src/c.ts: apps/y/src/d.ts reaches into an application",
      "apps/x/src/d.ts: imports @airlock/api; apps/x/src may import job",
    ]);
  });

  it("must not form a circle of files at run time, but types may", () => {
    const circle = (word: string) => ({
      "a/a.ts": `import ${word} { b } from "./b.ts"; export const a = 1 as typeof b;`,
      "a/b.ts": `import ${word} { a } from "./a.ts"; export const b = 1 as typeof a;`,
    });
    expect(check(circle(""))).toEqual([
      "files form a circle: apps/x/src/a/a.ts → apps/x/src/a/b.ts → apps/x/src/a/a.ts",
    ]);
    expect(check(circle("type"))).toEqual([]);
  });

  it("must be readable: a computed import() and a file that does not parse are refused", () => {
    expect(check({ "a.ts": "export const a = (name: string) => import(name);" })).toEqual([
      "apps/x/src/a.ts: import() of a computed path can't be checked; import a literal path",
    ]);
    expect(check({ "a.ts": "export const a = ;" })[0]).toMatch(/^apps\/x\/src\/a.ts: /);
  });
});
