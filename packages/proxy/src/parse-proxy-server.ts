/** A proxy that the environment names for outgoing connections. */
export interface ProxyServer {
  /** Without credentials. Safe to show. */
  readonly url: URL;
  /** Value of the header `Proxy-Authorization`; `null`: the proxy needs no credentials. */
  readonly authorization: string | null;
  /** The address with credentials, for programs that take it in their environment. Never show it. */
  readonly secretUrl: string;
  /** The variable that names the proxy. */
  readonly variable: string;
}

/**
 * Parses a proxy's address. Without a scheme it means `http://`, as for curl and git.
 * @returns the problem, as text that follows the variable's name. It never quotes the address, which may hold a
 * password.
 */
export function parseProxyServer(variable: string, text: string): ProxyServer | string {
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!/^https?:\/\//i.test(address)) {
    return `is not a proxy with http:// or https://: "${address.split(":", 1)[0]}" proxies are not supported`;
  }
  const url = URL.parse(address);
  if (!url?.hostname) return "is not the address of a proxy: write it as http://HOST:PORT";
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    return "has a path: the address of a proxy is http://HOST:PORT (escape / ? # in a password as %2F %3F %23)";
  }
  const credentials = decodeCredentials(url);
  if (credentials === undefined) return "has a user name or a password with invalid percent-encoding";
  const { user, password } = credentials;
  if (user.includes(":")) return "has a user name with a colon, which a proxy takes for the end of the name";
  if (/\p{Cc}/u.test(user + password)) return "has a user name or a password with control characters";
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const { username: secretUser, password: secretPassword } = url;
  url.username = "";
  url.password = "";
  if (secretUser === "" && secretPassword === "") {
    return { url, authorization: null, secretUrl: `${url.protocol}//${url.hostname}:${port}`, variable };
  }
  return {
    url,
    authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
    // Name the port: curl's default for proxies is 1080.
    secretUrl: `${url.protocol}//${secretUser}:${secretPassword}@${url.hostname}:${port}`,
    variable,
  };
}

function decodeCredentials(url: URL): { readonly user: string; readonly password: string } | undefined {
  try {
    return { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  } catch {
    return undefined;
  }
}
