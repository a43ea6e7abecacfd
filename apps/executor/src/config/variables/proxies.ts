import { z } from "zod";

const proxy = z.string().optional();
const address = "`http://HOST:PORT` or `https://HOST:PORT`, with or without `USER:PASSWORD@`";

/**
 * Proxies for the executor's own connections. `parseProxies` of `@airlock/proxy` parses the values, because the names
 * also count in lower case.
 */
export const proxyVariableSchemas = {
  HTTPS_PROXY: proxy.meta({
    description:
      "The proxy for addresses with https: the instance, git, Git LFS, and the registries of the oci and microvm runtimes. The docker engine pulls images by its own settings. Steps get no proxy from this. Also in lower case, which wins.",
    values: address,
  }),
  HTTP_PROXY: proxy.meta({ description: "The same for addresses with http.", values: address }),
  ALL_PROXY: proxy.meta({ description: "The proxy where the two above are not set.", values: address }),
  NO_PROXY: proxy.meta({
    description:
      "Hosts that are contacted directly, with their subdomains. This machine itself (localhost, 127.0.0.0/8, ::1) and Unix sockets always are.",
    values:
      "hosts, `.DOMAIN`, addresses, ranges, each of the first three with or without `:PORT`, separated by commas; `*`: all",
  }),
};
