export { createAgent } from "./create-agent.ts";
export { gitProxySettings } from "./git-proxy-settings.ts";
export { isPrivateName } from "./is-private-name.ts";
export { parseProxies, readProxies } from "./parse-proxies.ts";
export { type ProxyServer, parseProxyServer } from "./parse-proxy-server.ts";
export { noProxies, type Proxies } from "./proxies.ts";
export { RoutedAgents } from "./routed-agents.ts";
