/** What a filter sees of a system call: `struct seccomp_data`. */
export interface FilteredCall {
  readonly architecture: number;
  readonly number: number;
  readonly args: readonly bigint[];
}

export interface FilterResult {
  readonly action: number;
  /** How many instructions ran. */
  readonly instructions: number;
}

/** Runs a seccomp filter as the kernel does. Strict: it throws at unknown instructions and at jumps out of the program. */
export function runFilter(program: Buffer, { architecture, number, args }: FilteredCall): FilterResult {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, architecture, true);
  args.forEach((argument, index) => {
    data.setBigUint64(16 + 8 * index, argument, true);
  });
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  let index = 0;
  for (let instructions = 1; ; instructions++) {
    const offset = 8 * index++;
    const value = code.getUint32(offset + 4, true);
    const branch = (taken: boolean) => {
      index += code.getUint8(offset + (taken ? 2 : 3));
    };
    const operation = code.getUint16(offset, true);
    switch (operation) {
      case 0x06:
        return { action: value, instructions };
      case 0x20:
        if (value % 4 !== 0) throw new Error(`load at offset ${value} is not aligned`);
        accumulator = data.getUint32(value, true);
        break;
      case 0x54:
        accumulator = (accumulator & value) >>> 0;
        break;
      case 0x05:
        index += value;
        break;
      case 0x15:
        branch(accumulator === value);
        break;
      case 0x25:
        branch(accumulator > value);
        break;
      case 0x35:
        branch(accumulator >= value);
        break;
      default:
        throw new Error(`instruction ${index - 1} has the unknown code 0x${operation.toString(16)}`);
    }
  }
}
