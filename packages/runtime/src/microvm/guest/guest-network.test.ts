import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GuestNetwork, methods } from "./guest-agent.ts";
import { PayloadWriter } from "./payload-writer.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);
const network: GuestNetwork = {
  mtu: 1400,
  gatewayMac: "02:00:00:00:00:02",
  addresses: [
    { address: "198.18.0.2", prefixLength: 32, gateway: "198.18.0.1" },
    { address: "fd00::2", prefixLength: 128, gateway: "fd00::1" },
  ],
};
const ethernet = Buffer.from("020000000002", "hex");

describe.skipIf(process.geteuid?.() !== 0)("the network of a guest", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal, { hasNetwork: true });

  it("has the addresses, gateways and MTU of the host's call, for steps without a network of their own", async () => {
    await using booted = await boot();
    await booted.agent.setNetwork(network, signal);
    const script = "ip address; ip route; ip -6 route; ip neigh";
    const { stdout } = await runCollected(booted.agent, shell(script, { ownNetwork: false }), signal);
    expect(stdout).toMatch(/lo: <[^>]*\bUP\b/);
    expect(stdout).toMatch(/eth0@?\S*: <[^>]*\bUP\b[^>]*> mtu 1400/);
    expect(stdout).toContain("inet 198.18.0.2/32");
    expect(stdout).toContain("inet6 fd00::2/128");
    expect(stdout).not.toContain("fe80:");
    expect(stdout).toContain("default via 198.18.0.1 dev eth0");
    expect(stdout).toContain("default via fd00::1 dev eth0");
    for (const gateway of ["198.18.0.1", "fd00::1"]) {
      expect(stdout).toMatch(new RegExp(`^${gateway} dev eth0 lladdr 02:00:00:00:00:02 .*PERMANENT`, "m"));
    }
  });

  it("can't be changed by root of a step, and is not seen by a step with a network of its own", async () => {
    await using booted = await boot();
    await booted.agent.setNetwork(network, signal);
    const changes = "ip address add 10.0.0.1/8 dev eth0 && echo changed; ip link set eth0 down && echo changed";
    const changed = await runCollected(booted.agent, shell(changes, { ownNetwork: false }), signal);
    expect(changed.stdout).toBe("");
    const other = await runCollected(booted.agent, shell("ip address; ip route"), signal);
    expect(other.stdout).not.toMatch(/eth0|default/);
  });

  it("works without IPv6, and is set once", async () => {
    await using booted = await boot();
    const [first] = network.addresses;
    const onlyIpv4 = { ...network, addresses: first ? [first] : [] };
    await booted.agent.setNetwork(onlyIpv4, signal);
    await expect(booted.agent.setNetwork(onlyIpv4, signal)).rejects.toMatchObject({ code: "invalid" });
    const { stdout } = await runCollected(booted.agent, shell("ip address", { ownNetwork: false }), signal);
    expect(stdout).toContain("inet 198.18.0.2/32");
    expect(stdout).not.toContain("inet6 fd00");
  });

  it("is an error of the guest when the kernel refuses it", async () => {
    await using booted = await boot();
    const [first] = network.addresses;
    // A machine is not its own gateway.
    const addresses = first ? [{ ...first, gateway: first.address }] : [];
    await expect(booted.agent.setNetwork({ ...network, addresses }, signal)).rejects.toMatchObject({ code: "system" });
  });

  it.each([
    ["no address", (call: PayloadWriter) => call.uint16(1500).bytes(ethernet)],
    ["a small MTU", (call: PayloadWriter) => ipv4(call.uint16(1279).bytes(ethernet), 32)],
    ["a long prefix", (call: PayloadWriter) => ipv4(call.uint16(1500).bytes(ethernet), 33)],
    ["two IPv4 addresses", (call: PayloadWriter) => ipv4(ipv4(call.uint16(1500).bytes(ethernet), 32), 32)],
    ["another family", (call: PayloadWriter) => call.uint16(1500).bytes(ethernet).uint8(5).bytes(Buffer.alloc(9))],
    ["half a gateway", (call: PayloadWriter) => call.uint16(1500).bytes(ethernet).uint8(4).bytes(Buffer.alloc(7))],
  ])("is refused with %s", async (_what, write) => {
    await using booted = await boot();
    const payload = write(new PayloadWriter().uint8(methods.network)).toBuffer();
    const refused = booted.agent.connection.call(payload, { signal, stallMs: 10_000 });
    await expect(refused).rejects.toMatchObject({ code: "invalid" });
  });
});

function ipv4(call: PayloadWriter, prefixLength: number): PayloadWriter {
  return call
    .uint8(4)
    .bytes(Buffer.of(198, 18, 0, 2))
    .uint8(prefixLength)
    .bytes(Buffer.of(198, 18, 0, 1));
}
