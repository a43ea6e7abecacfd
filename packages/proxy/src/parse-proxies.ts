import { AirlockError } from "@airlock/job";
import { parseDirectHosts } from "./direct-hosts.ts";
import { type ProxyServer, parseProxyServer } from "./parse-proxy-server.ts";
import { createProxies, type Proxies } from "./proxies.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that name proxies, in upper case. Each also counts in lower case, which wins. */
const proxyVariables = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] as const;
type ProxyVariable = (typeof proxyVariables)[number];

interface Given {
  readonly variable: string;
  readonly value: string;
}

/** An empty variable counts as not set. */
function find(env: Environment, name: ProxyVariable): Given | undefined {
  for (const variable of [name.toLowerCase(), name]) {
    const value = env[variable]?.trim();
    // A web server passes a request's header `Proxy` to a CGI program as HTTP_PROXY, and sets REQUEST_METHOD.
    if (variable === "HTTP_PROXY" && env.REQUEST_METHOD) continue;
    if (value) return { variable, value };
  }
  return undefined;
}

/**
 * Reads the proxies of the environment. A problem is a sentence that begins with the variable's name and holds no
 * credentials.
 */
export function parseProxies(env: Environment): { readonly proxies: Proxies; readonly problems: readonly string[] } {
  const problems = new Set<string>();
  const server = (found: Given | undefined): ProxyServer | null => {
    if (!found) return null;
    const parsed = parseProxyServer(found.variable, found.value);
    if (typeof parsed !== "string") return parsed;
    problems.add(`${found.variable} ${parsed}`);
    return null;
  };
  const all = find(env, "ALL_PROXY");
  const https = server(find(env, "HTTPS_PROXY") ?? all);
  const http = server(find(env, "HTTP_PROXY") ?? all);
  const except = find(env, "NO_PROXY");
  const direct = parseDirectHosts(except?.value ?? "");
  for (const problem of direct.problems) problems.add(`${except?.variable}: ${problem}`);
  return { proxies: createProxies({ http, https }, direct.hosts, given(env)), problems: [...problems] };
}

function given(env: Environment): Record<string, string> {
  const names = proxyVariables.flatMap((name) => [name, name.toLowerCase()]);
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

/** @throws {AirlockError} `invalid-configuration`, one line per problem. */
export function readProxies(env: Environment): Proxies {
  const { proxies, problems } = parseProxies(env);
  if (problems.length === 0) return proxies;
  throw new AirlockError(`wrong setting: ${problems.join("; ")}`, {
    code: "invalid-configuration",
    hint: "Correct the environment variable, or unset it.",
  });
}
