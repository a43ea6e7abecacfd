import { writeFile } from "node:fs/promises";
import { z } from "zod";
import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { runTool } from "./run-tool.ts";

const Routes = z.array(
  z.object({ dst: z.string(), dev: z.string().optional(), type: z.string().optional(), metric: z.int().optional() }),
);
const Links = z.array(
  z.object({
    ifname: z.string(),
    mtu: z.int(),
    ifalias: z.string().optional(),
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
    addr_info: z.array(z.object({ local: z.string().optional(), prefixlen: z.int().optional() })).default([]),
  }),
);

export interface HostRoute {
  /** `null`: the default route. */
  readonly range: IpRange | null;
  readonly family: 4 | 6;
  readonly device: string | null;
}

interface HostLink {
  readonly name: string;
  readonly mtu: number;
  readonly alias: string | null;
  /** `veth`, `bridge`, …; `null` for a physical one. */
  readonly kind: string | null;
}

/** Routes, addresses and links of the host at one moment. */
export interface HostState {
  readonly routes: readonly HostRoute[];
  readonly addresses: readonly { readonly range: IpRange; readonly device: string }[];
  readonly links: readonly HostLink[];
}

/** Writes pairs of file and value. Skips files that don't exist. */
const writeFiles = `while [ $# -gt 0 ]; do [ ! -e "$1" ] || printf %s "$2" > "$1"; shift 2; done`;
const readFiles = `for f in "$@"; do if [ -e "$f" ]; then cat "$f"; else echo; fi; done`;

/** Access to one network namespace: the executor's own, or the one of a container engine. */
export class HostNetwork {
  readonly #prefix: readonly string[];
  readonly #isOurs: boolean;

  /** @param namespacePath Absolute path. Default: the namespace of this process. */
  constructor(namespacePath?: string) {
    this.#isOurs = namespacePath === undefined;
    this.#prefix = namespacePath === undefined ? [] : ["nsenter", `--net=${namespacePath}`, "--"];
  }

  /** Returns the command line that runs a command in this network. */
  command(...command: readonly string[]): readonly string[] {
    return [...this.#prefix, ...command];
  }

  /** Runs one nftables transaction. */
  async nft(text: string): Promise<void> {
    await runTool(this.command("nft", "-f", "-"), text);
  }

  /** Returns the parsed but unvalidated output of a `list` command. */
  async nftList(...what: readonly string[]): Promise<unknown> {
    return JSON.parse(await runTool(this.command("nft", "-j", "list", ...what)));
  }

  /** Runs a program in this network and resolves to its output. */
  async run(...command: readonly string[]): Promise<string> {
    return await runTool(this.command(...command));
  }

  /** Whether a table of the family `inet` exists whose name has this prefix. */
  async hasTable(prefix: string): Promise<boolean> {
    const tables = await runTool(this.command("nft", "list", "tables", "inet"));
    return tables.split("\n").some((line) => line.startsWith(`table inet ${prefix}`));
  }

  async ip(batch: string): Promise<void> {
    await runTool(this.command("ip", "-batch", "-"), batch);
  }

  async readState(): Promise<HostState> {
    const read = async (...args: string[]): Promise<unknown> => {
      const text = await runTool(this.command("ip", "-json", "-details", ...args));
      return text.trim() === "" ? [] : JSON.parse(text);
    };
    const [routes4, routes6, links] = await Promise.all([
      read("-4", "route", "show", "table", "all"),
      read("-6", "route", "show", "table", "all"),
      read("address", "show"),
    ]);
    const parsedLinks = Links.parse(links);
    return {
      routes: [...hostRoutes(4, Routes.parse(routes4)), ...hostRoutes(6, Routes.parse(routes6))],
      addresses: parsedLinks.flatMap((link) =>
        link.addr_info.flatMap(({ local }) =>
          local === undefined ? [] : [{ range: parseRange(local), device: link.ifname }],
        ),
      ),
      links: parsedLinks.map((link) => ({
        name: link.ifname,
        mtu: link.mtu,
        alias: link.ifalias ?? null,
        kind: link.linkinfo?.info_kind ?? null,
      })),
    };
  }

  /** Keys are paths relative to `/proc/sys/net`. Skips files that this kernel does not have. */
  async writeSysctls(values: Readonly<Record<string, string>>): Promise<void> {
    const entries = Object.entries(values).map(([path, value]) => [`/proc/sys/net/${path}`, value] as const);
    if (!this.#isOurs) {
      await runTool(this.command("sh", "-c", writeFiles, "sh", ...entries.flat()));
      return;
    }
    for (const [path, value] of entries) {
      try {
        await writeFile(path, value, { flag: "r+" });
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
      }
    }
  }

  /**
   * Reads files below `/proc/sys/net`, in the given order. The value is empty for a file that this kernel does not
   * have.
   */
  async readSysctls(...paths: readonly string[]): Promise<readonly string[]> {
    const files = paths.map((path) => `/proc/sys/net/${path}`);
    const output = await runTool(this.command("sh", "-c", readFiles, "sh", ...files));
    return output.split("\n").slice(0, paths.length);
  }
}

function hostRoutes(family: 4 | 6, routes: z.output<typeof Routes>): HostRoute[] {
  return routes
    .filter(({ type }) => type === undefined || !["unreachable", "blackhole", "prohibit", "throw"].includes(type))
    .map(({ dst, dev }) => ({
      range: dst === "default" ? null : parseRange(dst),
      family,
      device: dev ?? null,
    }));
}
