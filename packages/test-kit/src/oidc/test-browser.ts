import { loginHeader } from "./start-oidc-provider.ts";

/** What a browser does in a sign-in: keeps cookies by site and path, and follows redirects. */
export class TestBrowser {
  /** By site, then by name. */
  readonly cookies = new Map<string, Map<string, { readonly value: string; readonly path: string }>>();
  /** Sites that are really elsewhere, by their origin. */
  readonly #places: ReadonlyMap<string, string>;
  /** The account that the person uses at the provider; `null`: the person refuses. */
  login: string | null;

  constructor(places: Readonly<Record<string, string>>, login: string | null) {
    this.#places = new Map(Object.entries(places));
    this.login = login;
  }

  /** One request, without following redirects. */
  async request(address: string | URL, init: RequestInit = {}): Promise<Response> {
    const url = new URL(address);
    const jar = this.#jar(url);
    const sent = [...jar].filter(([, { path }]) => url.pathname.startsWith(path));
    const place = this.#places.get(url.origin) ?? url.origin;
    const headers = new Headers(init.headers);
    if (sent.length > 0) headers.set("cookie", sent.map(([name, { value }]) => `${name}=${value}`).join("; "));
    if (!headers.has("accept")) headers.set("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    if (this.login !== null) headers.set(loginHeader, this.login);
    const response = await fetch(place + url.pathname + url.search, { ...init, headers, redirect: "manual" });
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = cookie.split("; ");
      const name = pair.slice(0, pair.indexOf("="));
      const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? "/";
      const isGone = attributes.some((one) => /^max-age=0$|^expires=Thu, 01 Jan 1970/i.test(one));
      if (isGone) jar.delete(name);
      else jar.set(name, { value: pair.slice(name.length + 1), path });
    }
    return response;
  }

  /**
   * Follows redirects.
   * @param until Stops before it asks for an address that this accepts.
   */
  async open(
    address: string | URL,
    until: (url: URL) => boolean = () => false,
  ): Promise<{ readonly url: URL; readonly response: Response }> {
    let url = new URL(address);
    for (let hop = 0; hop < 20; hop += 1) {
      const response = await this.request(url);
      const location = response.headers.get("location");
      if (location === null) return { url, response };
      await response.body?.cancel();
      url = new URL(location, url);
      if (until(url)) return { url, response };
    }
    throw new Error(`too many redirects, the last one to ${url.href}`);
  }

  cookieOf(site: string, name: string): string | undefined {
    return this.cookies.get(new URL(site).origin)?.get(name)?.value;
  }

  #jar(url: URL): Map<string, { readonly value: string; readonly path: string }> {
    const known = this.cookies.get(url.origin);
    if (known) return known;
    const made = new Map<string, { readonly value: string; readonly path: string }>();
    this.cookies.set(url.origin, made);
    return made;
  }
}
