/** A node of the decision graph that a classic BPF program runs through. Nodes may share successors, without cycles. */
export type BpfNode =
  | { readonly kind: "return"; readonly value: number }
  /** Loads the 32-bit word at an offset of `struct seccomp_data` into the accumulator. */
  | { readonly kind: "load"; readonly offset: number; readonly next: BpfNode }
  | { readonly kind: "and"; readonly mask: number; readonly next: BpfNode }
  | {
      readonly kind: "test";
      /** How the accumulator is compared with the value. Both are unsigned. */
      readonly test: "equal" | "at-least";
      readonly value: number;
      readonly ifTrue: BpfNode;
      readonly ifFalse: BpfNode;
    };

/** The kernel's BPF_MAXINSNS. */
export const maxInstructions = 4096;

/** Codes of `struct sock_filter`: BPF_RET, BPF_LD|BPF_W|BPF_ABS, BPF_ALU|BPF_AND, BPF_JMP with BPF_JA, JEQ and JGE. */
const codes = { return: 0x06, load: 0x20, and: 0x54, jump: 0x05, equal: 0x15, "at-least": 0x35 } as const;

const bytesPerInstruction = 8;

/** Largest distance of a conditional jump, which has one byte for it. */
const maxJump = 255;

interface Instruction {
  readonly code: number;
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly value: number;
}

/**
 * Assembles the program for a decision graph: instructions of 8 bytes, as seccomp(2) takes them.
 * @throws {RangeError} when the program has more instructions than the kernel accepts.
 */
export function assembleBpf(start: BpfNode): Buffer {
  // BPF jumps only forward, so the program is built from its end.
  const reversed: Instruction[] = [];
  const positions = new Map<BpfNode, number>();
  const push = (instruction: Instruction) => reversed.push(instruction) - 1;

  /** How many instructions the next one must skip to reach the node. */
  const distanceTo = (node: BpfNode) => reversed.length - 1 - (positions.get(node) ?? Number.NaN);

  const followedBy = (node: BpfNode) => {
    if (distanceTo(node) > 0) push({ code: codes.jump, value: distanceTo(node) });
  };

  /** Makes sure that a conditional jump reaches the node, even from one instruction further away. */
  const bringIntoReach = (node: BpfNode) => {
    if (distanceTo(node) < maxJump) return;
    // A copy of a return is as short as a jump to it.
    const isReturn = node.kind === "return";
    const near = isReturn ? returnOf(node.value) : { code: codes.jump, value: distanceTo(node) };
    positions.set(node, push(near));
  };

  const emit = (node: BpfNode): number => {
    switch (node.kind) {
      case "return":
        return push(returnOf(node.value));
      case "load":
        followedBy(node.next);
        return push({ code: codes.load, value: node.offset });
      case "and":
        followedBy(node.next);
        return push({ code: codes.and, value: node.mask });
      case "test": {
        bringIntoReach(node.ifFalse);
        bringIntoReach(node.ifTrue);
        const [ifTrue, ifFalse] = [distanceTo(node.ifTrue), distanceTo(node.ifFalse)];
        return push({ code: codes[node.test], ifTrue, ifFalse, value: node.value });
      }
    }
  };

  for (const node of successorsFirst(start)) positions.set(node, emit(node));
  if (reversed.length > maxInstructions) {
    throw new RangeError(
      `the seccomp filter has ${reversed.length} instructions, and the kernel accepts ${maxInstructions}`,
    );
  }
  return encode(reversed.reverse());
}

/** Each node once, after all its successors. Not recursive, because a profile can make paths of any length. */
function successorsFirst(start: BpfNode): Iterable<BpfNode> {
  const done = new Set<BpfNode>();
  const path = [start];
  for (let node = path.at(-1); node; node = path.at(-1)) {
    const next = successors(node).find((successor) => !done.has(successor));
    if (next) path.push(next);
    else {
      done.add(node);
      path.pop();
    }
  }
  return done;
}

function successors(node: BpfNode): readonly BpfNode[] {
  if (node.kind === "return") return [];
  return node.kind === "test" ? [node.ifTrue, node.ifFalse] : [node.next];
}

const returnOf = (value: number): Instruction => ({ code: codes.return, value });

/** Classic BPF has the byte order of the machine. All architectures with a filter are little-endian. */
function encode(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * bytesPerInstruction);
  instructions.forEach(({ code, ifTrue = 0, ifFalse = 0, value }, index) => {
    const offset = index * bytesPerInstruction;
    program.writeUInt16LE(code, offset);
    program.writeUInt8(ifTrue, offset + 2);
    program.writeUInt8(ifFalse, offset + 3);
    program.writeUInt32LE(value, offset + 4);
  });
  return program;
}
