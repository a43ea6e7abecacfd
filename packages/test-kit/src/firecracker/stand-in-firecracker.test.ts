import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TemporaryDirectory, temporaryDirectory } from "../host/temporary-directory.ts";
import { type StandInPrograms, standInFirecracker, standInKernel } from "./stand-in-firecracker.ts";

describe.skipIf(process.geteuid?.() !== 0)("the stand-in for Firecracker", () => {
  let directory: TemporaryDirectory;
  let programs: StandInPrograms;
  let kernel: string;
  let count = 0;
  beforeAll(async () => {
    directory = await temporaryDirectory("fc-");
    programs = await standInFirecracker(directory.path);
    kernel = await standInKernel(join(directory.path, "kernel"), { kind: "silent" });
  });
  afterAll(async () => await directory?.[Symbol.asyncDispose]());

  const inDirectory = (name: string) => join(directory.path, name);

  const start = async () => {
    count += 1;
    const socket = inDirectory(`api-${count}`);
    const child = spawn(programs.firecracker, ["--id", "one", "--api-sock", socket], { stdio: "ignore" });
    await expect.poll(() => existsSync(socket), { timeout: 10_000 }).toBe(true);
    const send = (method: string, path: string, body?: object | string) => ask(socket, method, path, body);
    return { child, send, [Symbol.asyncDispose]: () => end(child) };
  };

  const end = async (child: ChildProcess) => {
    if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")) await once(child, "exit");
  };

  const ask = async (socketPath: string, method: string, path: string, body?: object | string) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; fault: string }>();
    const sent = request({ socketPath, method, path }, async (response) => {
      let text = "";
      for await (const part of response) text += String(part);
      resolve({ status: response.statusCode ?? 0, fault: text === "" ? "" : (JSON.parse(text).fault_message ?? text) });
    });
    sent.once("error", reject).end(typeof body === "object" ? JSON.stringify(body) : body);
    return await promise;
  };

  const machine = { vcpu_count: 1, mem_size_mib: 64 };
  const accepted = { status: 204, fault: "" };
  const refused = (fault: string) => ({ status: 400, fault: expect.stringContaining(fault) });

  it("refuses what the API's description does not have", async () => {
    await using firecracker = await start();
    const { send } = firecracker;
    expect(await send("PUT", "/machine-config", { ...machine, cpus: 1 })).toEqual(refused("unknown field `cpus`"));
    expect(await send("PUT", "/machine-config", { vcpu_count: 1 })).toEqual(refused("missing field `mem_size_mib`"));
    expect(await send("PUT", "/machine-config", { ...machine, smt: "no" })).toEqual(refused("expected a boolean"));
    expect(await send("PUT", "/machine-config", "{")).toEqual(refused("deserializing the json body"));
    expect(await send("POST", "/machine-config", machine)).toEqual(refused("Invalid request method and/or path"));
    expect(await send("PUT", "/actions", { action_type: "Stop" })).toEqual(refused("unknown variant `Stop`"));
    const drive = { drive_id: "a", is_root_device: false, path_on_host: kernel };
    expect(await send("PUT", "/drives/b", drive)).toEqual(refused("does not match the id from the body"));
    expect(await send("PUT", "/boot-source", { kernel_image_path: kernel, boot_args: "x".repeat(51_200) })).toEqual({
      status: 413,
      fault: expect.stringContaining("is larger than the limit of 51200"),
    });
  });

  it("accepts what Firecracker accepts without a word", async () => {
    await using firecracker = await start();
    const { send } = firecracker;
    expect(await send("PUT", "/machine-config", { ...machine, mem_size_mib: 10_000_000 })).toEqual(accepted);
    expect(await send("PUT", "/vsock", { guest_cid: 2, uds_path: inDirectory("cid-2") })).toEqual(accepted);
    const network = { iface_id: "net0", host_dev_name: "no-such-tap" };
    expect(await send("PUT", "/network-interfaces/net0", network)).toEqual(accepted);
    await writeFile(inDirectory("bad"), "bad");
    expect(await send("PUT", "/boot-source", { kernel_image_path: inDirectory("bad") })).toEqual(accepted);
    expect(await send("PUT", "/actions", { action_type: "InstanceStart" })).toEqual(refused("Cannot load kernel"));
  });

  it("refuses sockets that exist or have a long path, and long arguments", async () => {
    await using firecracker = await start();
    const { send } = firecracker;
    await writeFile(inDirectory("used"), "");
    const vsock = (path: string) => send("PUT", "/vsock", { guest_cid: 3, uds_path: path });
    expect(await vsock(inDirectory("used"))).toEqual(refused("Address already in use"));
    expect(await vsock(inDirectory("x".repeat(108)))).toEqual(refused("shorter than SUN_LEN"));
    const boot = { kernel_image_path: kernel, boot_args: "x".repeat(2049) };
    expect(await send("PUT", "/boot-source", boot)).toEqual(refused("too long"));
  });

  it("keeps the order of a machine's life", async () => {
    await using firecracker = await start();
    const { send } = firecracker;
    const state = (to: string) => send("PATCH", "/vm", { state: to });
    const snapshot = { snapshot_path: inDirectory("state"), mem_file_path: inDirectory("memory") };
    const early = "not supported before starting";
    expect(await state("Paused")).toEqual(refused(early));
    expect(await send("PUT", "/snapshot/create", snapshot)).toEqual(refused(early));
    expect(await send("PATCH", "/drives/a", { drive_id: "a" })).toEqual(refused(early));
    const go = () => send("PUT", "/actions", { action_type: "InstanceStart" });
    expect(await go()).toEqual(refused("without kernel configuration"));
    expect(await send("PUT", "/boot-source", { kernel_image_path: kernel })).toEqual(accepted);
    expect(await go()).toEqual(accepted);
    expect(await go()).toEqual(refused("not supported after starting"));
    expect(await send("PUT", "/machine-config", machine)).toEqual(refused("not supported after starting"));
    expect(await send("PUT", "/snapshot/create", snapshot)).toEqual(refused("Invalid state"));
    expect(await state("Paused")).toEqual(accepted);
    expect(await send("PUT", "/snapshot/create", snapshot)).toEqual(accepted);
  });

  it("loads a snapshot only when fresh, and ends when that fails", async () => {
    const load = { snapshot_path: inDirectory("missing"), mem_backend: { backend_type: "File", backend_path: kernel } };
    await using used = await start();
    await used.send("PUT", "/machine-config", machine);
    expect(await used.send("PUT", "/snapshot/load", load)).toEqual(refused("after configuring boot-specific"));
    await using fresh = await start();
    const ended = once(fresh.child, "exit");
    expect(await fresh.send("PUT", "/snapshot/load", load)).toEqual(refused("No such file or directory"));
    expect(await ended).toEqual([1, null]);
  });

  const jailer = async (args: readonly string[]) => {
    const child = spawn(programs.jailer, args, { stdio: ["ignore", "pipe", "pipe"] });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes) => {
        printed += bytes;
      });
    }
    const [code] = await once(child, "close");
    return { code, printed };
  };
  const jail = (program: string) => ["--id", "one", "--exec-file", program, "--uid", "2000000", "--gid", "2000000"];

  it("has a jailer that takes only its own arguments", async () => {
    const args = jail(programs.firecracker);
    const base = ["--chroot-base-dir", inDirectory("jails")];
    expect((await jailer([...args, "--pid-ns"])).printed).toContain("Found argument 'pid-ns'");
    expect((await jailer(args.slice(2))).printed).toContain("'id' required");
    expect((await jailer([...args, ...args])).printed).toContain("more than once");
    expect((await jailer(jail("/bin/true"))).printed).toContain("must contain");
    expect((await jailer([...args, ...base, "--resource-limit", "no-file=99999999"])).printed).toContain("set limit");
    const cgroup = [...args, ...base, "--cgroup", "nothing.max=1"];
    expect(await jailer(cgroup)).toEqual({ code: 1, printed: "Jailer error: Controller nothing is unavailable\n" });
  });

  it("has a jailer that is silent when a daemon can't be started", async () => {
    const program = inDirectory("broken-firecracker");
    await writeFile(program, "no program", { mode: 0o755 });
    const args = [...jail(program), "--chroot-base-dir", inDirectory("jails"), "--daemonize"];
    expect(await jailer(args)).toEqual({ code: 0, printed: "" });
  });
});
