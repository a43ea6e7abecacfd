import { spawnSync } from "node:child_process";
import { closeSync, lstatSync, openSync, readFileSync, readSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { diskMagic, type GuestKind, kernelMagic } from "./guest-kinds.ts";
import { type Guest, startGuest } from "./stand-in-guest.ts";
import { standInVersion } from "./stand-in-version.ts";

/** A request that Firecracker refuses. */
export class Fault extends Error {}

/** A refusal after which the process ends. */
export class FatalFault extends Fault {}

interface DriveState {
  readonly id: string;
  path: string;
  readonly isReadOnly: boolean;
}

interface NetworkState {
  readonly id: string;
  readonly tap: string;
  readonly mac: string;
}

/** What a snapshot of the stand-in holds. */
interface MachineState {
  readonly version: string;
  readonly guest: GuestKind;
  readonly bootArgs: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly drives: readonly DriveState[];
  readonly networks: readonly NetworkState[];
  readonly udsPath: string | null;
  /** What the agent had said, as base64. */
  readonly said: string;
}

const bindingFailed = "Cannot create backend for vsock device: Error binding to the host-side Unix socket";
const longestSocketPath = 107;
/** Firecracker adds an entry for each device to the kernel's command line of at most 2048 bytes. */
const maxBootArgs = 2048;

/** The state of the one machine of a stand-in for Firecracker. */
export class StandInMachine {
  state: "Not started" | "Running" | "Paused" = "Not started";
  readonly #print: (text: string) => void;
  readonly #exit: (code: number) => void;
  #isConfigured = false;
  #cpus = 1;
  #memoryMib = 128;
  #boot: { readonly kernel: string; readonly initrd: string; readonly args: string } | null = null;
  #guestKind: GuestKind | null = null;
  readonly #drives: DriveState[] = [];
  readonly #networks: NetworkState[] = [];
  #udsPath: string | null = null;
  #guest: Guest | undefined;
  #copied: { readonly memory: string; readonly said: Buffer } | null = null;

  constructor(print: (text: string) => void, exit: (code: number) => void) {
    this.#print = print;
    this.#exit = exit;
  }

  setMachine(body: { vcpu_count: number; mem_size_mib: number; smt?: boolean }): void {
    const { vcpu_count: cpus, mem_size_mib: memory, smt = false } = body;
    if (cpus < 1 || cpus > 32 || (smt && cpus > 1 && cpus % 2 !== 0)) {
      throw new Fault(
        "The vCPU number is invalid! The vCPU number can only be 1 or an even number when SMT is enabled.",
      );
    }
    if (memory === 0) throw new Fault("The memory size (MiB) is invalid.");
    // Any other size is accepted, also what the host does not have.
    this.#cpus = cpus;
    this.#memoryMib = memory;
    this.#isConfigured = true;
  }

  setBoot(body: { kernel_image_path: string; initrd_path?: string; boot_args?: string }): void {
    const { kernel_image_path: kernel, initrd_path: initrd, boot_args: args = "" } = body;
    if (args.length > maxBootArgs) throw new Fault("The kernel command line is invalid: Command line is too long.");
    open(kernel, "r", "The kernel file cannot be opened");
    if (initrd !== undefined)
      open(initrd, "r", "The initrd file cannot be opened due to invalid path or invalid permissions.");
    this.#boot = { kernel, initrd: initrd ?? "", args };
    this.#isConfigured = true;
  }

  setDrive(body: { drive_id: string; is_root_device: boolean; is_read_only?: boolean; path_on_host?: string }): void {
    const { drive_id: id, path_on_host: path, is_read_only: isReadOnly = false } = body;
    if (path === undefined) throw new Fault("Unable to create the block device: path_on_host is missing");
    open(path, isReadOnly ? "r" : "r+", "Unable to create the block device: Virtio backend error");
    const known = this.#drives.findIndex((drive) => drive.id === id);
    this.#drives.splice(known < 0 ? this.#drives.length : known, 1, { id, path, isReadOnly });
    this.#isConfigured = true;
  }

  async changeDrive(body: { drive_id: string; path_on_host?: string }): Promise<void> {
    const { drive_id: id, path_on_host: path } = body;
    const index = this.#drives.findIndex((drive) => drive.id === id);
    const drive = this.#drives[index];
    if (!drive) throw new Fault(`Unable to patch the block device: Invalid block device ID: ${id}`);
    if (path === undefined) return;
    open(path, drive.isReadOnly ? "r" : "r+", "Unable to patch the block device: Virtio backend error");
    drive.path = path;
    // Firecracker's answer means that the guest sees the new file.
    if (this.#guestKind?.kind === "emulated") await this.#guest?.setImage(index, path);
    else await this.#guest?.setDisk(index, directoryOf(path));
  }

  setNetwork(body: { iface_id: string; host_dev_name: string; guest_mac?: string }): void {
    const { iface_id: id, host_dev_name: tap, guest_mac: mac = "02:00:00:00:00:09" } = body;
    this.#openTap(tap);
    this.#networks.push({ id, tap, mac });
    this.#isConfigured = true;
  }

  setVsock({ uds_path: path }: { uds_path: string }): void {
    this.#listen(path);
    this.#isConfigured = true;
  }

  setDevice(): void {
    this.#isConfigured = true;
  }

  async start(): Promise<void> {
    if (this.state !== "Not started") {
      throw new Fault("The requested operation is not supported after starting the microVM.");
    }
    if (!this.#boot) throw new Fault("Cannot start microvm without kernel configuration.");
    this.#guestKind = kindOf(this.#boot.kernel);
    this.state = "Running";
    await this.#run();
  }

  setState(state: "Paused" | "Resumed"): void {
    this.state = state === "Paused" ? "Paused" : "Running";
  }

  async createSnapshot({
    snapshot_path: path,
    mem_file_path: memory,
  }: {
    snapshot_path: string;
    mem_file_path: string;
  }): Promise<void> {
    if (this.state !== "Paused" || !this.#guestKind || !this.#boot) {
      throw new Fault("Create snapshot error: Cannot save the microVM state: Operation not allowed: Invalid state");
    }
    const isEmulated = this.#guestKind.kind === "emulated";
    const said = isEmulated ? await this.#save(memory) : Buffer.alloc(0);
    const state: MachineState = {
      version: standInVersion,
      guest: this.#guestKind,
      bootArgs: this.#boot.args,
      cpus: this.#cpus,
      said: said.toString("base64"),
      memoryMib: this.#memoryMib,
      drives: this.#drives,
      networks: this.#networks,
      udsPath: this.#udsPath,
    };
    try {
      writeFileSync(path, JSON.stringify(state));
      if (isEmulated) return;
      writeFileSync(memory, "");
      truncateSync(memory, this.#memoryMib * 2 ** 20);
    } catch (error) {
      throw new Fault(`Create snapshot error: ${wordsOf(error)}`);
    }
  }

  async loadSnapshot(body: {
    snapshot_path: string;
    mem_backend?: { backend_path: string };
    resume_vm?: boolean;
    network_overrides?: readonly { iface_id: string; host_dev_name: string }[];
    vsock_override?: { uds_path: string };
  }): Promise<void> {
    if (this.#isConfigured) {
      throw new Fault(
        "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.",
      );
    }
    try {
      const state = JSON.parse(readFileSync(body.snapshot_path, "utf8")) as MachineState;
      if (state.version !== standInVersion) throw new Fault(`Invalid snapshot version: ${state.version}`);
      open(body.mem_backend?.backend_path ?? "", "r", "Failed to open the memory file");
      for (const drive of state.drives) open(drive.path, drive.isReadOnly ? "r" : "r+", "Virtio backend error");
      this.#drives.push(...state.drives);
      const overrides = new Map(body.network_overrides?.map((one) => [one.iface_id, one.host_dev_name]));
      for (const id of overrides.keys()) {
        if (!state.networks.some((network) => network.id === id)) throw new Fault(`Unknown Network Device: ${id}`);
      }
      for (const { id, tap } of state.networks) this.#openTap(overrides.get(id) ?? tap);
      const udsPath = body.vsock_override?.uds_path ?? state.udsPath;
      if (udsPath !== null) this.#listen(udsPath);
      this.#cpus = state.cpus;
      this.#memoryMib = state.memoryMib;
      this.#networks.push(
        ...state.networks.map((network) => ({ ...network, tap: overrides.get(network.id) ?? network.tap })),
      );
      this.#boot = { kernel: "", initrd: "", args: state.bootArgs };
      this.#guestKind = state.guest;
      this.#copied = { memory: body.mem_backend?.backend_path ?? "", said: Buffer.from(state.said, "base64") };
    } catch (error) {
      throw new FatalFault(`Load snapshot error: Failed to restore from snapshot: ${wordsOf(error)}`);
    }
    this.state = body.resume_vm ? "Running" : "Paused";
    // The stand-in's snapshot holds no memory: the copy's agent starts anew, as a real one connects anew.
    if (body.resume_vm) await this.#run();
  }

  async #run(): Promise<void> {
    const port = / -- --vsock (\d+)$/.exec(this.#boot?.args ?? "")?.[1];
    const hasConsole = !this.#boot?.args.includes("8250.nr_uarts=0");
    const isEmulated = this.#guestKind?.kind === "emulated";
    const [network = null] = this.#networks;
    this.#guest = await startGuest({
      guest: this.#guestKind as GuestKind,
      disks: isEmulated ? [] : this.#drives.map((drive) => directoryOf(drive.path)),
      machine: {
        // QEMU wants files also for a copy, whose memory has them.
        kernel: this.#boot?.kernel ?? "",
        initrd: this.#boot?.initrd ?? "",
        args: this.#boot?.args ?? "",
        cpus: this.#cpus,
        memoryMib: this.#memoryMib,
        drives: this.#drives,
        network,
        state: this.#copied?.memory ?? null,
      },
      said: isEmulated && this.#copied ? this.#copied.said : null,
      hostSocket: `${this.#udsPath}_${port}`,
      onConsole: (text) => hasConsole && this.#print(text),
      onEnd: (code) => {
        const words = code === 0 ? "Firecracker exiting successfully" : "MicroVM stopped with an error";
        this.#print(`[stand-in:main] ${words}. exit_code=${code === 0 ? 0 : 1}\n`);
        this.#exit(code === 0 ? 0 : 1);
      },
    });
  }

  async #save(path: string): Promise<Buffer> {
    try {
      // The process outside of the jail must not make the file its own.
      writeFileSync(path, "");
      return (await this.#guest?.save(path)) ?? Buffer.alloc(0);
    } catch (error) {
      throw new Fault(`Create snapshot error: ${wordsOf(error)}`);
    }
  }

  /** As root, opening a missing tap creates it. */
  #openTap(tap: string): void {
    const exists = spawnSync("ip", ["link", "show", "dev", tap]).status === 0;
    if (!exists && process.geteuid?.() !== 0) {
      throw new Fault(
        `Cannot create network device: Open tap device failed: Operation not permitted (os error 1) ${tap}`,
      );
    }
  }

  #listen(path: string): void {
    if (Buffer.byteLength(path) > longestSocketPath) {
      throw new Fault(`${bindingFailed}: path must be shorter than SUN_LEN`);
    }
    if (lstatSync(path, { throwIfNoEntry: false })) {
      throw new Fault(`${bindingFailed}: Address already in use (os error 98)`);
    }
    createServer((socket) => socket.destroy())
      .listen(path)
      .on("error", (error) => this.#print(`${bindingFailed}: ${wordsOf(error)}\n`));
    this.#udsPath = path;
  }
}

/** Firecracker boots only ELF files. */
function kindOf(kernel: string): GuestKind {
  const file = openSync(kernel, "r");
  const head = Buffer.alloc(4096);
  readSync(file, head);
  closeSync(file);
  if (head.toString("latin1", 0, 4) === "\u007fELF" && process.env.STAND_IN_QEMU) return { kind: "emulated" };
  const text = head.toString("utf8").replace(/\0+$/, "");
  if (text.startsWith(kernelMagic)) return JSON.parse(text.slice(kernelMagic.length)) as GuestKind;
  throw new Fault(
    "Cannot load kernel due to invalid memory configuration or invalid kernel image: Invalid Elf magic number",
  );
}

function open(path: string, flags: "r" | "r+", what: string): void {
  try {
    closeSync(openSync(path, flags));
  } catch (error) {
    throw new Fault(`${what}: ${wordsOf(error)} ${path}`);
  }
}

/** The directory that a disk stands for. `null`: an empty disk. */
function directoryOf(path: string): string | null {
  const start = Buffer.alloc(4096);
  const file = openSync(path, "r");
  readSync(file, start);
  closeSync(file);
  const text = start.toString("utf8");
  return text.startsWith(diskMagic) ? (text.slice(diskMagic.length).split("\n")[0] ?? null) : null;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function wordsOf(error: unknown): string {
  if (isCode(error, "ENOENT")) return "No such file or directory (os error 2)";
  if (isCode(error, "EACCES")) return "Permission denied (os error 13)";
  return error instanceof Error ? error.message : String(error);
}
