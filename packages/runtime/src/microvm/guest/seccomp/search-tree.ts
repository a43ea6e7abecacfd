import type { BpfNode } from "./bpf-program.ts";

interface Range {
  readonly first: number;
  readonly decision: BpfNode;
}

/**
 * Decides about the accumulator, a system call number, by binary search. Neighbours with the same decision form one
 * range, so about 370 calls need 7 comparisons.
 */
export function searchTree(byNumber: ReadonlyMap<number, BpfNode>, otherwise: BpfNode): BpfNode {
  const ranges: Range[] = [{ first: 0, decision: otherwise }];
  const add = (first: number, decision: BpfNode) => {
    if (ranges.at(-1)?.first === first) ranges.pop();
    if (ranges.at(-1)?.decision !== decision) ranges.push({ first, decision });
  };
  for (const [number, decision] of [...byNumber].sort(([a], [b]) => a - b)) {
    add(number, decision);
    add(number + 1, otherwise);
  }
  return subtree(ranges, otherwise);
}

function subtree(ranges: readonly Range[], otherwise: BpfNode): BpfNode {
  const middle = ranges.length >> 1;
  const upper = ranges[middle];
  if (ranges.length < 2 || upper === undefined) return upper?.decision ?? otherwise;
  return {
    kind: "test",
    test: "at-least",
    value: upper.first,
    ifTrue: subtree(ranges.slice(middle), otherwise),
    ifFalse: subtree(ranges.slice(0, middle), otherwise),
  };
}
