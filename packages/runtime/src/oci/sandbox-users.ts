import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable, FileOwner } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import type { IdRange } from "../host/id-range.ts";
import type { MappedRange, SeparateUsers } from "./separate-users.ts";

/**
 * The users of one sandbox: a range of host ids and a user namespace that maps the container's ids to it.
 *
 * Trees that several sandboxes share, as layers and checkouts, belong to the ids 0, 1, 2, … on the disk. A sandbox gets
 * them as mounts with owners from its range, so no file is changed.
 */
export class SandboxUsers implements Disposable {
  /** The place where OCI runtimes find the user namespace. */
  readonly namespacePath: string;
  readonly #mapped: MappedRange;
  readonly #separate: SeparateUsers;
  readonly #mounts: string[] = [];

  private constructor(separate: SeparateUsers, mapped: MappedRange, namespacePath: string) {
    this.#separate = separate;
    this.#mapped = mapped;
    this.namespacePath = namespacePath;
  }

  /**
   * @param directory Private to the executor. The user namespace is placed there.
   * @throws {AirlockError} reason `runtime`.
   */
  static async open(separate: SeparateUsers, directory: string, options: Abortable): Promise<SandboxUsers> {
    using undo = new DisposableStack();
    const mapped = undo.use(await separate.take(options));
    const users = new SandboxUsers(separate, mapped, join(directory, "users"));
    await writeFile(users.namespacePath, "", { mode: 0o600 });
    separate.calls.bind(`/proc/self/fd/${mapped.namespace}`, users.namespacePath, { readOnly: false });
    users.#mounts.push(users.namespacePath);
    undo.move();
    return users;
  }

  get range(): IdRange {
    return this.#mapped.range;
  }

  /** Host ids of the container's root. */
  get root(): FileOwner {
    return { uid: this.range.base, gid: this.range.base };
  }

  /** Mounts a tree read-only, with owners from this sandbox's range, until the result is disposed of. */
  mount(tree: string, target: string): Disposable {
    this.#separate.calls.bind(tree, target, { readOnly: true, userNamespace: this.#mapped.namespace });
    this.#mounts.push(target);
    return { [Symbol.dispose]: () => this.#unmount(target) };
  }

  /** Releases the range. Call it when no process of the sandbox is left. After a failure it can be called again. */
  [Symbol.dispose](): void {
    for (const mount of this.#mounts.toReversed()) this.#unmount(mount);
    this.#mapped[Symbol.dispose]();
    this.#separate.prepare();
  }

  #unmount(target: string): void {
    const index = this.#mounts.indexOf(target);
    if (index < 0) return;
    try {
      this.#separate.calls.unmount(target);
    } catch (error) {
      // A collection has unmounted it.
      if (!["EINVAL", "ENOENT"].includes(errorCode(error) ?? "")) throw error;
    }
    this.#mounts.splice(index, 1);
  }
}
