import fc from "fast-check";
import { expect, it } from "vitest";
import { assembleBpf, type BpfNode, maxInstructions } from "./bpf-program.ts";
import { searchTree } from "./search-tree.ts";
import { runFilter } from "./testing/run-filter.ts";

const actions: readonly BpfNode[] = [1, 2, 3].map((value) => ({ kind: "return", value }));
const args = [0n, 0n, 0n, 0n, 0n, 0n];
const otherwise: BpfNode = { kind: "return", value: 0 };

function actionOf(program: Buffer, number: number): number {
  return runFilter(program, { architecture: 0, number, args }).action;
}

it("finds every number in trees of every size, also where jumps are longer than one byte reaches", () => {
  const decided = fc.array(fc.tuple(fc.nat(3000), fc.constantFrom(...actions)), { maxLength: 1500, size: "max" });
  fc.assert(
    fc.property(decided, (entries) => {
      const byNumber = new Map(entries);
      const program = assembleBpf({ kind: "load", offset: 0, next: searchTree(byNumber, otherwise) });
      for (let number = 0; number <= 3002; number++) {
        const expected = byNumber.get(number) ?? otherwise;
        expect(expected.kind === "return" && expected.value === actionOf(program, number)).toBe(true);
      }
    }),
    // Shrinking a large tree takes minutes and explains nothing.
    { numRuns: 30, endOnFailure: true },
  );
});

it("shares nodes that several others lead to, however far away they are", () => {
  // A chain of alternatives. Each that does not match goes on with the next, each that matches with the same node.
  const masked: BpfNode = {
    kind: "test",
    test: "equal",
    value: 0x10,
    ifTrue: { kind: "return", value: 7 },
    ifFalse: otherwise,
  };
  const common: BpfNode = { kind: "load", offset: 4, next: { kind: "and", mask: 0xf0, next: masked } };
  const length = 1000;
  const start = Array.from({ length }, (_, value) => value).reduceRight<BpfNode>(
    (next, value) => ({
      kind: "load",
      offset: 0,
      next: { kind: "test", test: "equal", value, ifTrue: common, ifFalse: next },
    }),
    otherwise,
  );
  const program = assembleBpf(start);
  expect(program.length / 8).toBeLessThan(2 * length + 50);
  for (let number = 0; number < length; number++) {
    const action = (architecture: number) => runFilter(program, { architecture, number, args }).action;
    expect([action(0x1f), action(0x2f)]).toEqual([7, 0]);
  }
  expect(actionOf(program, length)).toBe(0);
});

it("goes on with the same node after different loads", () => {
  const [yes, no] = actions;
  if (!yes || !no) throw new Error("actions are missing");
  const next: BpfNode = { kind: "test", test: "at-least", value: 5, ifTrue: yes, ifFalse: no };
  const ifTrue: BpfNode = { kind: "load", offset: 4, next };
  const ifFalse: BpfNode = { kind: "load", offset: 16, next: { kind: "and", mask: 6, next } };
  const program = assembleBpf({
    kind: "load",
    offset: 0,
    next: { kind: "test", test: "equal", value: 9, ifTrue, ifFalse },
  });
  const action = (number: number, architecture: number, first: bigint) =>
    runFilter(program, { architecture, number, args: [first, ...args.slice(1)] }).action;
  expect([action(9, 5, 0n), action(9, 4, 7n), action(8, 5, 8n), action(8, 4, 7n)]).toEqual([1, 2, 2, 1]);
});

it("accepts as many instructions as the kernel, and no more", () => {
  const chain = (loads: number) =>
    Array.from({ length: loads }).reduce<BpfNode>((next) => ({ kind: "load", offset: 0, next }), otherwise);
  expect(assembleBpf(chain(maxInstructions - 1)).length).toBe(8 * maxInstructions);
  expect(() => assembleBpf(chain(maxInstructions))).toThrow("4097 instructions, and the kernel accepts 4096");
});
