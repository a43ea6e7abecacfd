import type { Proxies } from "@airlock/proxy";
import type { Config } from "../../config/options.ts";
import type { Check } from "./check.ts";

/** Reports the way to each server that the configuration names. The check of the runtime reports those to registries. */
export function checkProxies({ proxies, instance, workspace: { submodules, lfs } }: Config): Check {
  return {
    name: "proxies",
    run: async ({ note }) => {
      if (proxies.servers.length === 0) return "none";
      note(wayTo(proxies, "the instance", instance.url));
      if (submodules.fetch !== "none") {
        for (const host of submodules.allowedHosts) note(wayTo(proxies, "submodules", new URL(`https://${host}`)));
      }
      if (lfs.fetch) {
        for (const host of lfs.allowedHosts) note(wayTo(proxies, "Git LFS", new URL(`https://${host}`)));
      }
      return proxies.servers.map(({ variable, url }) => `${variable} ${url.origin}`).join(", ");
    },
  };
}

/** Reports the ways to the registries that the configuration names, for the runtimes that pull images themselves. */
export function registryWays({ proxies, runtime: { images }, job }: Config, runtimeName: string): readonly string[] {
  if (proxies.servers.length === 0) return [];
  if (runtimeName === "docker") {
    return [
      "The Docker engine pulls images by its own proxy settings, not by the variables of this executor; docker info shows them.",
    ];
  }
  if (runtimeName === "kubernetes")
    return ["The cluster's nodes pull images by their own proxy settings, not by the variables of this executor."];
  const registries = new Set(["registry-1.docker.io", ...Object.keys(job.registryCredentials)]);
  registries.delete("docker.io");
  const urls = [...images.mirrors, ...[...registries].flatMap((host) => URL.parse(`https://${host}`) ?? [])];
  return urls.map((url) => wayTo(proxies, "registry", url));
}

function wayTo(proxies: Proxies, what: string, url: URL): string {
  const proxy = proxies.forUrl(url);
  return `${what} ${url.origin}: ${proxy ? `through the proxy ${proxy.url.origin} (${proxy.variable})` : "directly"}`;
}
