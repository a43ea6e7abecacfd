/** The login page's URL, with the page to return to after the login. */
export function loginPath(from: { readonly pathname: string; readonly search: string; readonly hash: string }): string {
  // Several requests of a page are refused when the session ends. The later ones keep the page to return to.
  if (from.pathname === "/login") return `/login${from.search}`;
  const next = `${from.pathname}${from.search}${from.hash}`;
  return next === "/" || next === "/jobs" ? "/login" : `/login?${new URLSearchParams({ next })}`;
}

/** The page to go to after the login. Always a page of this instance, to prevent open redirects. */
export function returnPath(search: URLSearchParams, origin: string): string {
  const next = search.get("next") ?? "";
  const home = "/jobs";
  if (!next.startsWith("/")) return home;
  try {
    const url = new URL(next, origin);
    if (url.origin !== origin || ["/login", "/setup"].includes(url.pathname) || url.pathname.startsWith("//"))
      return home;
    return `${url.pathname}${url.search}${url.hash}`;
  } catch {
    return home;
  }
}
