import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EgressDenial } from "../contract/index.ts";
import { HostNetwork } from "./host/host-network.ts";
import { ownerNames } from "./host/names.ts";
import { runTool } from "./host/run-tool.ts";
import { createEgressEngine } from "./nftables-engine.ts";
import { startAgent } from "./testing/agent.ts";
import {
  allow,
  type EgressWorld,
  internet,
  lookUp,
  ownerOf,
  signal,
  startEgressWorld,
  upstreams,
  zones,
} from "./testing/egress-world.ts";
import { resolverPid } from "./testing/resolver-pid.ts";
import {
  echoPort,
  nameServer,
  publicIpv4,
  publicIpv6,
  startNamespace,
  startTestNetwork,
} from "./testing/test-network.ts";

describeWithEngines(["network"], "egress engine", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("life");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  describe("in every situation", () => {
    it("cuts open connections that a new, stricter policy does not allow", async () => {
      await using sandbox = await world.startSandbox(internet);
      expect(await sandbox.agent.try({ op: "hold", name: "held", host: publicIpv4, port: 443 })).toBe("open");
      expect(await sandbox.agent.try({ op: "echo", name: "held" })).toMatch(/^open/);
      await sandbox.attachment.replacePolicy(allow("10.99.0.2"));
      expect(await sandbox.agent.try({ op: "echo", name: "held" })).not.toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
      expect(await lookUp(sandbox, "public.example.com")).toEqual(["REFUSED"]);
    });

    it("enforces the policy before the first packet", async () => {
      await using undo = new AsyncDisposableStack();
      const namespace = undo.use(await startNamespace());
      const agent = undo.use(await startAgent(namespace.path));
      await world.network.internet.ask({ op: "arrivals" });
      await agent.ask({ op: "flood", hosts: ["10.99.0.2", publicIpv4], port: echoPort });
      const sandbox = { sandboxId: "first-packet", policy: internet, onDenied: () => {}, signal };
      undo.use(await world.engine.attachNamespace({ ...sandbox, namespacePath: namespace.path }));
      const arrived = new Set<string>();
      const collect = async () => {
        for (const arrival of await world.network.internet.ask({ op: "arrivals" })) arrived.add(arrival);
        return arrived.size;
      };
      await expect.poll(collect, { timeout: 20_000 }).toBeGreaterThan(0);
      await agent.ask({ op: "end-flood" });
      await collect();
      expect([...arrived]).toEqual([expect.stringMatching(`^udp ${publicIpv4} <- 192.168.77.2`)]);
    });

    it("keeps its rules when the executor is killed, and the next executor removes them", async () => {
      await using undo = new AsyncDisposableStack();
      const program = `
        import { createEgressEngine } from ${JSON.stringify(new URL("./nftables-engine.ts", import.meta.url).href)};
        const engine = createEgressEngine(${JSON.stringify({ owner: ownerOf("crash"), networkNamespace: world.network.hostPath, upstreams })});
        const attachment = await engine.attachNamespace({
          sandboxId: "orphan", policy: { kind: "public" }, onDenied() {}, signal: new AbortController().signal,
        });
        console.log(JSON.stringify({ path: attachment.namespacePath, resolvConf: attachment.resolvConf }));
        setInterval(() => {}, 1000);
      `;
      const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(child, "exit");
      const next = world.makeEngine("crash");
      undo.defer(async () => {
        child.kill("SIGKILL");
        await exited;
        await next.collect({ keep: new Set(), signal });
        await next.close();
      });
      const [line] = await Promise.race([once(child.stdout, "data"), exited.then(() => ["{}"])]);
      const { path, resolvConf } = JSON.parse(String(line)) as { path: string; resolvConf: string };
      const agent = undo.use(await startAgent(path));
      const attachment = { resolvConf };
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual([`A ${publicIpv4}`]);
      child.kill("SIGKILL");
      await exited;
      await expect
        .poll(() => lookUp({ attachment, agent }, "public.example.com"), { timeout: 20_000 })
        .not.toContain(`A ${publicIpv4}`);

      expect(await agent.try({ op: "tcp", host: "10.99.0.2", port: 80 })).toBe("ECONNREFUSED");
      expect(await agent.try({ op: "tcp", host: "192.168.77.2", port: 9100 })).toBe("ECONNREFUSED");
      expect(await next.collect({ keep: new Set(["orphan"]), signal })).toEqual([]);
      // As for a sandbox that starts while leftovers are looked for.
      const keep = new Set<string>();
      const collecting = next.collect({ keep, signal });
      await setImmediate();
      keep.add("orphan");
      expect(await collecting).toEqual([]);
      const removed = await next.collect({ keep: new Set(), signal });
      expect(removed).toEqual([
        expect.stringMatching(/^network link ak\w+ of sandbox orphan$/),
        expect.stringMatching(/^network namespace airlock-\w+-orphan$/),
      ]);
      expect(await leftovers(ownerOf("crash"))).toEqual([]);
    });

    it("restores its rules when another program flushes the host's rules", async () => {
      await using sandbox = await world.startSandbox(internet);
      await world.network.onHost("nft", "flush", "ruleset");
      await expect
        .poll(() => world.network.onHost("nft", "list", "tables"), { timeout: 20_000 })
        .toContain(ownerNames(world.owner).table);
      expect(await sandbox.agent.try({ op: "tcp", host: "10.99.0.2", port: 80 })).toBe("ECONNREFUSED");
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("starts a new resolver when the old one dies, and look-ups go on", async () => {
      await using sandbox = await world.startSandbox(internet);
      const resolver = await resolverPid(world.network);
      process.kill(resolver, "SIGKILL");
      await expect
        .poll(() => lookUp(sandbox, "public.example.com"), { timeout: 20_000, interval: 200 })
        .toEqual([`A ${publicIpv4}`]);
      expect(await resolverPid(world.network)).not.toBe(resolver);
    });

    it("parses hostile packets in a process without privileges", async () => {
      await using _sandbox = await world.startSandbox(internet);
      const status = await readFile(`/proc/${await resolverPid(world.network)}/status`, "utf8");
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^Gid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^Groups:\t *$/m);
      expect(status).toMatch(/^CapPrm:\t0+$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    });

    it("reports what it can't enforce without privileges, and then attaches no sandbox", async () => {
      const program = `
        import { createEgressEngine } from ${JSON.stringify(new URL("./nftables-engine.ts", import.meta.url).href)};
        const engine = createEgressEngine({ owner: "weak" });
        const sandbox = { sandboxId: "weak", policy: { kind: "public" }, onDenied() {}, signal: new AbortController().signal };
        const error = await engine.attachNamespace(sandbox).catch((error) => error);
        console.log(JSON.stringify({ ...(await engine.capabilities()), reason: error.reason }));
      `;
      const output = await runTool([
        ...["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", process.execPath],
        ...["--input-type=module-typescript", "--eval", program],
      ]);
      expect(JSON.parse(output)).toMatchObject({
        public: false,
        allow: false,
        notes: [expect.stringContaining("give it the capability SYS_ADMIN")],
        reason: "policy",
      });
    });

    it("gives sandboxes no IPv6 if the host has no IPv6 route to the internet", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      await other.onHost("ip", "-6", "route", "delete", "default");
      const plain = createEgressEngine({ owner: ownerOf("v4"), networkNamespace: other.hostPath, upstreams });
      undo.defer(() => plain.close());
      const sandbox = { sandboxId: "v4-only", policy: internet, onDenied: () => {}, signal };
      const attachment = undo.use(await plain.attachNamespace(sandbox));
      const agent = undo.use(await startAgent(attachment.namespacePath));
      expect(attachment.ipv6Address).toBeNull();
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      expect(await agent.try({ op: "tcp", host: publicIpv6, port: 80 })).toBe("ENETUNREACH");
      const inside = await runTool(new HostNetwork(attachment.namespacePath).command("ip", "-6", "address", "show"));
      expect(inside).not.toContain("eth0");
    });

    it("reaches the internet over IPv6 alone if the host has no IPv4 route", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      await other.onHost("ip", "-4", "route", "delete", "default");
      await other.internet.ask({ op: "name-server", address: nameServer, zones });
      // Many kernels don't support forwarding for a single interface.
      await new HostNetwork(other.hostPath).writeSysctls({ "ipv6/conf/all/forwarding": "1" });
      const plain = createEgressEngine({ owner: ownerOf("v6"), networkNamespace: other.hostPath, upstreams });
      undo.defer(() => plain.close());
      const sandbox = { sandboxId: "v6-only", policy: internet, onDenied: () => {}, signal };
      const attachment = undo.use(await plain.attachNamespace(sandbox));
      const agent = undo.use(await startAgent(attachment.namespacePath));
      expect(await agent.try({ op: "tcp", host: publicIpv6, port: 443 })).toMatch(/^open/);
      expect(await lookUp({ attachment, agent }, "public.example.com", "AAAA")).toEqual([`AAAA ${publicIpv6}`]);
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 443 })).not.toMatch(/^open/);
      expect(await agent.try({ op: "tcp", host: "fd99::1", port: 443 })).toBe("ECONNREFUSED");
    });

    it("applies the same rules to a bridge of a container engine", async () => {
      await using undo = new AsyncDisposableStack();
      const denials: EgressDenial[] = [];
      const bridge = undo.use(
        await world.engine.prepareBridge({
          sandboxId: "bridged",
          policy: internet,
          onDenied: (denial) => denials.push(denial),
          signal,
        }),
      );
      const namespace = undo.use(await startNamespace());
      const host = new HostNetwork(world.network.hostPath);
      undo.defer(() => host.ip(`link delete ${bridge.bridgeName}\n`));
      await host.ip(`
link add ${bridge.bridgeName} type bridge
address add ${bridge.gateway}/29 dev ${bridge.bridgeName}
link set ${bridge.bridgeName} up
link add vethtest type veth peer name eth0 netns ${namespace.path}
link set vethtest master ${bridge.bridgeName} up
`);
      await bridge.activate();
      await new HostNetwork(namespace.path).ip(
        `address add ${bridge.address}/29 dev eth0\nlink set eth0 up\nroute add default via ${bridge.gateway}\n`,
      );
      const agent = undo.use(await startAgent(namespace.path));
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      const question = { op: "dns", server: bridge.gateway, name: "public.example.com", type: "A" } as const;
      expect(await agent.ask(question)).toEqual([`A ${publicIpv4}`]);
      for (const address of ["10.99.0.2", "169.254.169.254", "192.168.77.2", bridge.gateway]) {
        expect(await agent.try({ op: "tcp", host: address, port: 9100 }), address).toBe("ECONNREFUSED");
      }
      await bridge.reportDenied();
      expect(denials).toHaveLength(4);
    });

    it("turns off the forwarding that it turned on, unless another program needs it by then", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      const forwarding = () => other.onHost("cat", "/proc/sys/net/ipv4/conf/tn0/forwarding");
      for (const [global, after] of [
        ["0", "0\n"],
        ["1", "1\n"],
      ] as const) {
        const own = createEgressEngine({ owner: ownerOf("forward"), networkNamespace: other.hostPath, upstreams });
        expect(await forwarding()).toBe("0\n");
        const sandbox = { sandboxId: "forwarding", policy: internet, onDenied: () => {}, signal };
        const attachment = await own.attachNamespace(sandbox);
        expect(await forwarding()).toBe("1\n");
        await new HostNetwork(other.hostPath).writeSysctls({ "ipv4/ip_forward": global });
        await attachment[Symbol.asyncDispose]();
        await own.close();
        expect(await forwarding()).toBe(after);
      }
    });

    it("turns off the forwarding that a killed executor turned on", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      const forwarding = () => other.onHost("cat", "/proc/sys/net/ipv4/conf/tn0/forwarding");
      const options = { owner: ownerOf("heir"), networkNamespace: other.hostPath, upstreams };
      const program = `
        import { createEgressEngine } from ${JSON.stringify(new URL("./nftables-engine.ts", import.meta.url).href)};
        const engine = createEgressEngine(${JSON.stringify(options)});
        await engine.attachNamespace({
          sandboxId: "heirloom", policy: { kind: "public" }, onDenied() {}, signal: new AbortController().signal,
        });
        process.kill(process.pid, "SIGKILL");
      `;
      expect(await forwarding()).toBe("0\n");
      await expect(
        runTool([process.execPath, "--input-type=module-typescript", "--eval", program]),
      ).rejects.toMatchObject({ signal: "SIGKILL" });
      expect(await forwarding()).toBe("1\n");

      const next = createEgressEngine(options);
      await next.collect({ keep: new Set(), signal });
      await next.close();
      expect(await forwarding()).toBe("0\n");
      expect(await other.onHost("nft", "list", "tables")).toBe("");
    });

    it.each(["iptables", "iptables-legacy"])(
      "explains what to change in a host firewall that drops forwarded packets, and works after that change: %s",
      async (firewall) => {
        await using undo = new AsyncDisposableStack();
        const other = undo.use(await startTestNetwork());
        // The policy that Docker sets.
        await other.onHost(firewall, "-P", "FORWARD", "DROP");
        const notesOf = async () => {
          const asking = createEgressEngine({ owner: ownerOf("asking"), networkNamespace: other.hostPath, upstreams });
          const { linkNotes } = await asking.capabilities();
          await asking.close();
          return linkNotes;
        };
        const own = createEgressEngine({ owner: ownerOf("walled"), networkNamespace: other.hostPath, upstreams });
        undo.defer(() => own.close());
        const sandbox = { sandboxId: "walled", policy: internet, onDenied: () => {}, signal };
        const attachment = undo.use(await own.attachNamespace(sandbox));
        const agent = undo.use(await startAgent(attachment.namespacePath));
        const reach = () => agent.try({ op: "tcp", host: publicIpv4, port: 443 });
        expect(await reach()).toBe("timeout");

        const [note = ""] = await notesOf();
        const commands = note.slice(note.indexOf(": ") + 2).split("; ");
        expect(commands).toHaveLength(2);
        for (const command of commands) await other.onHost(...command.split(" "));
        expect(await reach()).toMatch(/^open/);
        expect(await notesOf()).toEqual([]);
        // Closed destinations stay closed.
        expect(await agent.try({ op: "tcp", host: "10.99.0.2", port: 443 })).toBe("ECONNREFUSED");
      },
    );

    it("leaves nothing behind when it is canceled while attaching a sandbox", async () => {
      const own = world.makeEngine("cancel");
      const controller = new AbortController();
      const attaching = own.attachNamespace({
        sandboxId: "canceled",
        policy: internet,
        onDenied: () => {},
        signal: controller.signal,
      });
      await own.capabilities();
      controller.abort(new Error("no longer wanted"));
      await expect(attaching).rejects.toThrow("no longer wanted");
      await own.close();
      expect(await leftovers(ownerOf("cancel"))).toEqual([]);
    });

    it("leaves nothing behind when it ends", async () => {
      const own = world.makeEngine("end");
      const sandboxes = await Promise.all(
        ["one", "two", "three"].map((sandboxId) =>
          own.attachNamespace({ sandboxId, policy: internet, onDenied: () => {}, signal }),
        ),
      );
      expect(await leftovers(ownerOf("end"))).toHaveLength(7);
      await Promise.all(sandboxes.map((sandbox) => sandbox[Symbol.asyncDispose]()));
      await own.close();
      expect(await leftovers(ownerOf("end"))).toEqual([]);
    });
  });
  async function leftovers(name: string): Promise<readonly string[]> {
    const { interfacePrefix, namespacePrefix, table } = ownerNames(name);
    const links = await world.network.onHost("ip", "-brief", "link", "show");
    const tables = await world.network.onHost("nft", "list", "tables");
    return [
      ...links.split("\n").filter((line) => line.startsWith(interfacePrefix)),
      ...(await readdir("/run/netns")).filter((file) => file.startsWith(namespacePrefix)),
      ...tables.split("\n").filter((line) => line.endsWith(table)),
    ];
  }
});
