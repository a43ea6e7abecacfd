import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Bandwidth } from "./connect-guest.ts";
import type { EgressEngine, GuestAttachment } from "./egress-engine.ts";
import { createEgressEngine } from "./nftables-engine.ts";
import * as frames from "./testing/frames.ts";
import { type GuestDevice, openGuestDevice } from "./testing/guest-device.ts";
import { echoPort, publicIpv4, publicIpv6, startTestNetwork, type TestNetwork } from "./testing/test-network.ts";

const { etherTypes, protocols } = frames;
const { signal } = new AbortController();
const links = z.array(
  z.object({
    ifname: z.string(),
    ifalias: z.string().optional(),
    stats64: z.object({ rx: z.object({ packets: z.int(), bytes: z.int() }) }),
  }),
);
/** What a device may send at once beyond its rate, with what waits in its queue. */
const burst = 256 * 1024;
const unlimited = { ingress: null, egress: null };

/** Addresses of the attacking guest and of another one. */
interface Scene {
  readonly own: string;
  readonly own6: string;
  readonly gateway: string;
  readonly gateway6: string;
  readonly other: string;
  readonly other6: string;
}

describeWithEngines(["network"], "the link of a guest", () => {
  const cleanup = new AsyncDisposableStack();
  let network: TestNetwork;
  let engine: EgressEngine;
  let scene: Scene;
  let attachment: GuestAttachment;
  let device: GuestDevice;

  const attach = (sandboxId: string, bandwidth: Bandwidth = unlimited) =>
    engine.attachGuest({ sandboxId, policy: { kind: "public" }, onDenied: () => {}, bandwidth, signal });

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    engine = createEgressEngine({
      owner: `guest-link-${randomBytes(4).toString("hex")}`,
      networkNamespace: network.hostPath,
      upstreams: [],
    });
    cleanup.defer(() => engine.close());
    attachment = cleanup.use(await attach("guest"));
    const other = cleanup.use(await attach("other"));
    device = cleanup.use(await openGuestDevice(attachment));
    scene = {
      own: attachment.address,
      own6: attachment.ipv6Address ?? "",
      gateway: attachment.gateway,
      gateway6: attachment.ipv6Gateway ?? "",
      other: other.address,
      other6: other.ipv6Address ?? "",
    };
  });
  afterAll(() => cleanup.disposeAsync());

  /** What the host has received from a guest's link. */
  async function arrived(sandboxId = "guest"): Promise<{ readonly packets: number; readonly bytes: number }> {
    const all = links.parse(JSON.parse(await network.onHost("ip", "-json", "-statistics", "link", "show")));
    const link = all.find(({ ifalias }) => ifalias === `airlock:${sandboxId}`);
    if (!link) throw new Error(`no link of ${sandboxId}`);
    return link.stats64.rx;
  }

  /** Sends a datagram to the internet and waits for the answer. */
  async function ask(
    family: 4 | 6 = 4,
    mac: Pick<frames.EthernetOptions, "source" | "destination"> = {},
  ): Promise<void> {
    const offset = device.received().length;
    device.send(family === 4 ? datagram(scene, mac) : datagram6(scene, mac));
    await device.waitFor(family === 4 ? `${publicIpv4} <- ` : `${publicIpv6} <- `, offset);
  }

  it.each([4, 6] as const)(
    "carries what the guest sends with its address over IPv%i, and the answers",
    async (family) => {
      const before = await arrived();
      await ask(family);
      const { packets } = await arrived();
      expect(packets - before.packets).toBe(1);
    },
  );

  it("carries packets whatever Ethernet addresses the guest writes", async () => {
    for (const address of ["ff:ff:ff:ff:ff:ff", "02:a1:0c:00:00:07", "01:80:c2:00:00:00", "00:00:00:00:00:00"]) {
      const before = await arrived();
      await ask(4, { source: address, destination: address });
      expect((await arrived()).packets - before.packets).toBe(1);
    }
  });

  it("gives the guest nothing but packets for its addresses", async () => {
    await ask(4);
    await ask(6);
    for (const frame of framesOf(device.received())) {
      expect(frame.subarray(0, 12).toString("hex")).toBe("020000000001020000000002");
      const type = frame.readUInt16BE(12);
      const to = type === etherTypes.ipv4 ? frame.subarray(30, 34) : frame.subarray(38, 54);
      expect(to).toEqual(frames.addressBytes(type === etherTypes.ipv4 ? scene.own : scene.own6));
    }
  });

  describe("keeps from the host", () => {
    it.each(Object.entries(forgeries))("%s", async (_what, forge) => {
      const before = await arrived();
      for (let count = 0; count < 3; count += 1) device.send(forge(scene));
      await ask();
      expect((await arrived()).packets - before.packets).toBe(1);
    });

    it("100,000 forged neighbours", async () => {
      const before = await arrived();
      for (let count = 0; count < 50_000; count += 1) {
        const tail = [count >> 8, count & 255];
        const [sender, sender6] = [`10.7.${tail.join(".")}`, `fe80::${count.toString(16)}`];
        device.send(frames.ethernet(frames.arp(1, sender, scene.gateway), { type: etherTypes.arp }));
        device.send(solicitation(sender6, scene.gateway6));
      }
      await ask();
      expect((await arrived()).packets - before.packets).toBe(1);
      const neighbours = await network.onHost("ip", "neighbour", "show", "nud", "all");
      expect(neighbours).not.toMatch(/10\.7\.|fe80::[0-9a-f]+ .*ak/);
    });
  });

  it("limits what the guest sends and receives to bytes per second", async () => {
    const [ingress, egress] = [400_000, 200_000];
    await using limited = await attach("limited", { ingress, egress });
    await using hostile = await openGuestDevice(limited);
    const frame = datagram({ ...scene, own: limited.address }, { data: "x".repeat(1400) });
    await network.host.ask({ op: "flood", hosts: [limited.address], port: 9, atOnce: 50, size: 1400 });
    const begin = performance.now();
    const seconds = () => (performance.now() - begin) / 1000;
    const [sentBefore, receivedBefore] = [await arrived("limited"), hostile.received().length];
    while (seconds() < 3) {
      for (let count = 0; count < 100; count += 1) hostile.send(frame);
      await setImmediate();
    }
    const [sent, received] = [await arrived("limited"), hostile.received().length];
    const time = seconds();
    await network.host.ask({ op: "end-flood" });
    for (const [bytes, rate] of [
      [sent.bytes - sentBefore.bytes, egress],
      [received - receivedBefore, ingress],
    ] as const) {
      expect(bytes).toBeLessThan(rate * time + burst);
      expect(bytes).toBeGreaterThan(rate * time * 0.5);
    }
  });

  it("is removed with everything that belongs to it", async () => {
    const third = await attach("third");
    await third[Symbol.asyncDispose]();
    expect(await network.onHost("ip", "link", "show")).not.toContain("airlock:third");
    await expect(openGuestDevice(third)).rejects.toThrow("ENOENT");
  });
});

type Macs = Pick<frames.EthernetOptions, "source" | "destination">;
type DatagramOptions = Macs & { readonly data?: string };

function datagram(
  { own, source = own }: Scene & { readonly source?: string },
  { data = "hello", ...macs }: DatagramOptions = {},
): Buffer {
  const ends = { source, destination: publicIpv4 };
  const packet = frames.ipv4(frames.udp(data, ends, echoPort), { ...ends, protocol: protocols.udp });
  return frames.ethernet(packet, { ...macs, type: etherTypes.ipv4 });
}

function datagram6({ own6, source = own6 }: Scene & { readonly source?: string }, macs: Macs = {}): Buffer {
  const ends = { source, destination: publicIpv6 };
  const packet = frames.ipv6(frames.udp("hello", ends, echoPort), { ...ends, nextHeader: protocols.udp });
  return frames.ethernet(packet, { ...macs, type: etherTypes.ipv6 });
}

/** A datagram in an IPv4 packet that is unusual in some way. */
function unusual(scene: Scene, changes: Partial<frames.Ipv4Options>): Buffer {
  const ends = { source: scene.own, destination: publicIpv4 };
  const packet = frames.ipv4(frames.udp("hello", ends, echoPort), { ...ends, protocol: protocols.udp, ...changes });
  return frames.ethernet(packet, { type: etherTypes.ipv4 });
}

/** A datagram behind an extension header. */
function extended({ own6 }: Scene, nextHeader: number, header: readonly number[]): Buffer {
  const ends = { source: own6, destination: publicIpv6 };
  const payload = Buffer.concat([Buffer.from(header), frames.udp("hello", ends, echoPort)]);
  return frames.ethernet(frames.ipv6(payload, { ...ends, nextHeader }), { type: etherTypes.ipv6 });
}

function neighbourMessage(type: number, source: string, destination: string, rest: Buffer): Buffer {
  const ends = { source, destination };
  const packet = frames.ipv6(frames.icmpv6(type, rest, ends), { ...ends, nextHeader: protocols.icmpv6, hopLimit: 255 });
  return frames.ethernet(packet, { type: etherTypes.ipv6 });
}

function solicitation(source: string, target: string): Buffer {
  const option = Buffer.concat([Buffer.from([1, 1]), frames.macBytes("02:00:00:00:00:01")]);
  return neighbourMessage(135, source, target, Buffer.concat([Buffer.alloc(4), frames.addressBytes(target), option]));
}

/** An error message about a packet from the internet to a sandbox. */
function icmpError(scene: Scene, about: string, bytes = 28): Buffer {
  const ends = { source: publicIpv4, destination: about };
  const inner = frames.ipv4(frames.udp("answer", ends, 4000), { ...ends, protocol: protocols.udp });
  const message = frames.icmp(3, Buffer.concat([Buffer.from([0, 0, 5, 0]), inner.subarray(0, bytes)]));
  return unusualPayload(scene, message, protocols.icmp);
}

function unusualPayload({ own }: Scene, payload: Buffer, protocol: number): Buffer {
  return frames.ethernet(frames.ipv4(payload, { source: own, destination: publicIpv4, protocol }), {
    type: etherTypes.ipv4,
  });
}

function tagged(frame: Buffer, type: number, tag: number): Buffer {
  return Buffer.concat([frame.subarray(0, 12), frames.uint16(type), frames.uint16(tag), frame.subarray(12)]);
}

const forgeries: Readonly<Record<string, (scene: Scene) => Buffer>> = {
  "the address of another guest": (scene) => datagram({ ...scene, source: scene.other }),
  "the address of another guest over IPv6": (scene) => datagram6({ ...scene, source: scene.other6 }),
  "the address of its gateway": (scene) => datagram({ ...scene, source: scene.gateway }),
  "the address of its gateway over IPv6": (scene) => datagram6({ ...scene, source: scene.gateway6 }),
  "an address of the internet": (scene) => datagram({ ...scene, source: publicIpv4 }),
  "an address of the host": (scene) => datagram({ ...scene, source: "192.168.77.2" }),
  "the loopback address": (scene) => datagram({ ...scene, source: "127.0.0.1" }),
  "no address": (scene) => datagram({ ...scene, source: "0.0.0.0" }),
  "no address over IPv6": (scene) => datagram6({ ...scene, source: "::" }),
  "another address of its own subnet": (scene) =>
    datagram({ ...scene, source: scene.own.replace(/\d+$/, (n) => `${Number(n) + 1}`) }),
  "another address of its own subnet over IPv6": (scene) => datagram6({ ...scene, source: `${scene.own6}0` }),
  "a link-local address": (scene) => datagram6({ ...scene, source: "fe80::1" }),
  "ARP requests": ({ own, gateway }) => frames.ethernet(frames.arp(1, own, gateway), { type: etherTypes.arp }),
  "ARP answers for the gateway": ({ own, gateway }) =>
    frames.ethernet(frames.arp(2, gateway, own), { type: etherTypes.arp, destination: "ff:ff:ff:ff:ff:ff" }),
  "neighbour solicitations": ({ own6, gateway6 }) => solicitation(own6, gateway6),
  "neighbour solicitations with a link-local address": ({ gateway6 }) => solicitation("fe80::7", gateway6),
  "neighbour advertisements": ({ own6, gateway6 }) =>
    neighbourMessage(136, own6, gateway6, Buffer.concat([Buffer.from([0xe0, 0, 0, 0]), frames.addressBytes(gateway6)])),
  "router advertisements": ({ own6 }) =>
    neighbourMessage(134, own6, "ff02::1", Buffer.from([64, 0, 7, 8, ...Buffer.alloc(8)])),
  redirects: ({ own6, gateway6 }) => neighbourMessage(137, own6, gateway6, Buffer.alloc(36)),
  "listener reports": ({ own6 }) => neighbourMessage(143, own6, "ff02::16", Buffer.alloc(4)),
  "VLAN tags": (scene) => tagged(datagram(scene), etherTypes.vlan, 7),
  "priority tags": (scene) => tagged(datagram(scene), etherTypes.vlan, 0),
  "double VLAN tags": (scene) => tagged(tagged(datagram(scene), etherTypes.vlan, 7), etherTypes.serviceVlan, 8),
  "other protocols than IP": () => frames.ethernet(Buffer.alloc(60), { type: 0x88cc }),
  "frames of a spanning tree": () =>
    frames.ethernet(Buffer.from([0x42, 0x42, 3, ...Buffer.alloc(35)]), { type: 38, destination: "01:80:c2:00:00:00" }),
  "IPv6 in a frame for IPv4": (scene) => frames.ethernet(datagram6(scene).subarray(14), { type: etherTypes.ipv4 }),
  "the first fragment of a packet": (scene) => unusual(scene, { fragment: 0x2000 }),
  "the last fragment of a packet": (scene) => unusual(scene, { fragment: 0x00b9 }),
  "IPv4 options": (scene) => unusual(scene, { options: Buffer.from([0x83, 7, 4, 10, 99, 0, 2, 0]) }),
  tunnels: (scene) => unusualPayload(scene, Buffer.alloc(40), protocols.gre),
  "group messages": (scene) => unusualPayload(scene, Buffer.from([0x16, 0, 0, 0, 224, 0, 0, 99]), protocols.igmp),
  "hop-by-hop options": (scene) => extended(scene, 0, [protocols.udp, 0, 5, 2, 0, 0, 1, 0]),
  "a routing header": (scene) => extended(scene, 43, [protocols.udp, 2, 0, 1, 0, 0, 0, 0, ...Buffer.alloc(16)]),
  "IPv6 fragments": (scene) => extended(scene, 44, [protocols.udp, 0, 0, 1, 0, 0, 0, 7]),
  "destination options": (scene) => extended(scene, 60, [protocols.udp, 0, 1, 4, 0, 0, 0, 0]),
  "pings behind an extension header": ({ own6 }) => {
    const ends = { source: own6, destination: publicIpv6 };
    const ping = frames.icmpv6(128, Buffer.alloc(4), ends);
    const payload = Buffer.concat([Buffer.from([protocols.icmpv6, 0, 1, 4, 0, 0, 0, 0]), ping]);
    return frames.ethernet(frames.ipv6(payload, { ...ends, nextHeader: 60 }), { type: etherTypes.ipv6 });
  },
  "error messages about a connection of another guest": (scene) => icmpError(scene, scene.other),
  "error messages that are cut off": (scene) => icmpError(scene, scene.own, 12),
  "redirects over IPv4": (scene) => unusualPayload(scene, frames.icmp(5, Buffer.alloc(32)), protocols.icmp),
  "giant frames": (scene) => {
    const ends = { source: scene.own, destination: publicIpv4 };
    const packet = frames.ipv4(frames.udp("x".repeat(60_000), ends, echoPort), { ...ends, protocol: protocols.udp });
    return frames.ethernet(packet, { type: etherTypes.ipv4 });
  },
  "frames without a packet": () => frames.ethernet(Buffer.alloc(0), { type: etherTypes.ipv4 }),
  "a packet that is cut off": (scene) => datagram(scene).subarray(0, 40),
  "a packet over IPv6 that is cut off": (scene) => datagram6(scene).subarray(0, 60),
  "half a header": (scene) => datagram(scene).subarray(0, 30),
};

/** Divides what a tap has received. The ends of frames follow from their packets' lengths. */
function framesOf(bytes: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const frame = bytes.subarray(at);
    const length = frame.readUInt16BE(12) === etherTypes.ipv4 ? frame.readUInt16BE(16) : 40 + frame.readUInt16BE(18);
    found.push(frame.subarray(0, 14 + length));
    at += 14 + length;
  }
  return found;
}
