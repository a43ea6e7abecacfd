import type { SeccompRule } from "../../../isolation/seccomp-profile.ts";
import type { BpfNode } from "./bpf-program.ts";

type ArgumentTest = NonNullable<SeccompRule["args"]>[number];

const word = 0xffffffffn;

/** Offset of the first argument in `struct seccomp_data`. Each argument has 8 bytes, the lower word first. */
const argumentsOffset = 16;

/**
 * Goes on with `then` if all conditions hold, otherwise with `orElse`. In 32-bit calls the upper word of an argument
 * is ignored, because the kernel ignores it too.
 * @throws {RangeError} when a condition is not an equality.
 */
export function argumentsMatch(
  conditions: readonly ArgumentTest[],
  argumentBits: 32 | 64,
  then: BpfNode,
  orElse: BpfNode,
): BpfNode {
  // OCI runtimes treat such conditions as alternatives.
  if (new Set(conditions.map(({ index }) => index)).size < conditions.length) {
    throw new RangeError("the seccomp profile has a rule with several conditions on one argument");
  }
  return conditions.reduceRight((next, condition) => {
    const { mask, value } = maskAndValue(condition);
    const offset = argumentsOffset + 8 * condition.index;
    const upper =
      argumentBits === 32 ? next : wordMatches(offset + 4, Number(mask >> 32n), Number(value >> 32n), next, orElse);
    return wordMatches(offset, Number(mask & word), Number(value & word), upper, orElse);
  }, then);
}

function maskAndValue({ index, op, value, valueTwo = 0 }: ArgumentTest): { mask: bigint; value: bigint } {
  if (!Number.isInteger(index) || index < 0 || index > 5) {
    throw new RangeError(`the seccomp profile has a condition on argument ${index}, and calls have arguments 0 to 5`);
  }
  for (const number of [value, valueTwo]) {
    if (!Number.isSafeInteger(number) || number < 0) {
      throw new RangeError(`the seccomp profile compares an argument with ${number}, which is not a safe integer`);
    }
  }
  switch (op) {
    case "SCMP_CMP_EQ":
      return { mask: (word << 32n) | word, value: BigInt(value) };
    case "SCMP_CMP_MASKED_EQ":
      // Bits outside the mask do not count, also if the profile sets them.
      return { mask: BigInt(value), value: BigInt(valueTwo) & BigInt(value) };
    default:
      throw new RangeError(`the seccomp profile has the unsupported comparison ${op}`);
  }
}

function wordMatches(offset: number, mask: number, value: number, then: BpfNode, orElse: BpfNode): BpfNode {
  if (mask === 0) return then;
  const compare: BpfNode = { kind: "test", test: "equal", value, ifTrue: then, ifFalse: orElse };
  return { kind: "load", offset, next: mask === Number(word) ? compare : { kind: "and", mask, next: compare } };
}
