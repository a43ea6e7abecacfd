import { type IpRange, includes } from "../addresses/ip-range.ts";
import { ForwardingRecord, type ForwardingSetting } from "./forwarding-record.ts";
import { notesOnHostFirewalls } from "./host-firewalls.ts";
import type { HostNetwork, HostRoute, HostState } from "./host-network.ts";

export interface ForwardingState {
  /** Whether sandboxes can have IPv6. */
  readonly ipv6: boolean;
  readonly notes: readonly string[];
  /** Notes about the host's firewall, which may drop packets of networks that it does not know. */
  readonly firewallNotes: readonly string[];
}

const defaultMtu = 1500;

/**
 * Makes the host forward packets between sandboxes and its uplinks only. For IPv4 that is a setting of each interface.
 * For IPv6 it is one since Linux 6.17 (`force_forwarding`). Before that, it is a setting of the whole host, which stops
 * the host from learning its own routes. The executor must not change that one.
 */
export class Forwarding {
  readonly #network: HostNetwork;
  readonly #record: ForwardingRecord;
  readonly #prepared = new Set<string>();

  constructor(network: HostNetwork) {
    this.#network = network;
    this.#record = new ForwardingRecord(network);
  }

  async inspect(state: HostState): Promise<ForwardingState> {
    const notes: string[] = [];
    const [ipv4 = "", ipv6 = "", perInterface = ""] = await this.#network.readSysctls(
      "ipv4/ip_forward",
      "ipv6/conf/all/forwarding",
      "ipv6/conf/default/force_forwarding",
    );
    const uplinks = defaultDevices(state.routes, 4);
    if (uplinks.length === 0)
      notes.push("The host has no IPv4 default route: jobs can only reach addresses for which it has a route.");
    if (ipv4 !== "1" && uplinks.length > 0) {
      notes.push(`IPv4 forwarding is turned on for ${uplinks.join(", ")} when the first job with a network starts.`);
    }
    const hasRoute = defaultDevices(state.routes, 6).length > 0;
    const canForward = ipv6 === "1" || perInterface !== "";
    if (hasRoute && !canForward) {
      notes.push(
        "Sandboxes have no IPv6. To enable it, set net.ipv6.conf.all.forwarding=1 (and accept_ra=2 on the uplink).",
      );
    }
    return { ipv6: hasRoute && canForward, notes, firewallNotes: await notesOnHostFirewalls(this.#network) };
  }

  /** MTU of the uplinks, so that no packet is too large for them. */
  uplinkMtu(state: HostState): number {
    const devices = defaultDevices(state.routes, 4);
    const mtus = state.links.filter(({ name }) => devices.includes(name)).map(({ mtu }) => mtu);
    return Math.min(defaultMtu, ...mtus);
  }

  /**
   * Turns on forwarding for the interfaces that lead to the internet and to allow-listed ranges, because answers arrive
   * there.
   */
  async prepareUplinks(state: HostState, destinations: readonly IpRange[], hasIpv6: boolean): Promise<void> {
    const devices = new Set([
      ...defaultDevices(state.routes, 4),
      ...(hasIpv6 ? defaultDevices(state.routes, 6) : []),
      ...destinations.flatMap((range) => deviceTowards(state.routes, range) ?? []),
    ]);
    const fresh = [...devices].filter((device) => device !== "lo" && !this.#prepared.has(device));
    if (fresh.length === 0) return;
    for (const device of fresh) this.#prepared.add(device);
    const wanted = fresh.flatMap((device): ForwardingSetting[] => [
      { family: "ipv4", device },
      ...(hasIpv6 ? [{ family: "ipv6", device } as const] : []),
    ]);
    const values = await this.#network.readSysctls(...wanted.map(pathOf));
    const off = wanted.filter((_, index) => values[index] === "0");
    // Record the change before making it, because the executor may be killed in between.
    await this.#record.add(off);
    await this.#network.writeSysctls(Object.fromEntries(off.map((setting) => [pathOf(setting), "1"])));
  }

  /**
   * Turns off what this executor or an earlier one turned on. Skips this if the whole host forwards meanwhile, for
   * another program.
   */
  async restore(): Promise<void> {
    this.#prepared.clear();
    const turnedOn = await this.#record.read();
    if (turnedOn.length === 0) return;
    const [ipv4, ipv6] = await this.#network.readSysctls("ipv4/ip_forward", "ipv6/conf/all/forwarding");
    const ours = turnedOn.filter(({ family }) => (family === "ipv4" ? ipv4 : ipv6) !== "1");
    await this.#network.writeSysctls(Object.fromEntries(ours.map((setting) => [pathOf(setting), "0"])));
    await this.#record.clear();
  }

  async prepareInterface(name: string, hasIpv6: boolean): Promise<void> {
    await this.#network.writeSysctls({
      [pathOf({ family: "ipv4", device: name })]: "1",
      ...(hasIpv6 ? { [pathOf({ family: "ipv6", device: name })]: "1" } : {}),
      // Answers ARP only for this link's own address.
      [`ipv4/conf/${name}/arp_ignore`]: "1",
      [`ipv4/conf/${name}/rp_filter`]: "1",
      [`ipv6/conf/${name}/accept_ra`]: "0",
      // No other machine can have this address. Duplicate address detection would leave a bridge unusable for its first
      // seconds.
      [`ipv6/conf/${name}/accept_dad`]: "0",
      [`ipv6/conf/${name}/dad_transmits`]: "0",
    });
  }
}

/** Path relative to `/proc/sys/net`. */
function pathOf({ family, device }: ForwardingSetting): string {
  return family === "ipv4" ? `ipv4/conf/${device}/forwarding` : `ipv6/conf/${device}/force_forwarding`;
}

function defaultDevices(routes: readonly HostRoute[], family: 4 | 6): readonly string[] {
  const devices = routes.filter((route) => route.range === null && route.family === family);
  return [...new Set(devices.flatMap(({ device }) => device ?? []))];
}

function deviceTowards(routes: readonly HostRoute[], range: IpRange): string | null {
  const [best] = routes
    .filter((route) => route.range !== null && route.device !== null && includes(route.range, range))
    .sort((a, b) => (b.range?.bits ?? 0) - (a.range?.bits ?? 0));
  return best?.device ?? null;
}
