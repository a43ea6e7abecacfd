const secretParameter =
  /([?&;][\w.-]{0,100}(?:token|secret|passw|passphrase|credential|signature|api_?key)[\w.-]{0,100}=)([^&#;\s"'<>`]+)/gi;

/**
 * A text with `***` in place of credentials in URLs: user names and passwords, and parameters such as `access_token`.
 * The user of an ssh URL stays where it has no password. For messages, not for addresses that are still to be used.
 */
export function hideUrlCredentials(text: string, mask: (credentials: string) => string = () => "***"): string {
  return hideUserInfo(text, mask).replace(secretParameter, (_, name: string, value: string) => name + mask(value));
}

/** The same for a text that is one address of a repository, where the scheme may have been forgotten. */
export function hideAddressCredentials(address: string): string {
  return hideUrlCredentials(address).replace(/^[^\s/@:]*:(?!\/\/)[^\s@]*@/, "***@");
}

/** Looks at each character a bounded number of times, whatever the text. */
function hideUserInfo(text: string, mask: (credentials: string) => string): string {
  let shown = "";
  let done = 0;
  let nextAt = -1;
  let nextEnd = -1;
  for (const match of text.matchAll(/\b([a-z][a-z0-9+.-]{0,20}):\/\//gi)) {
    const start = match.index + match[0].length;
    if (start < done) continue;
    if (nextAt < start) nextAt = indexOrEnd(text, /@/g, start);
    if (nextEnd < start) nextEnd = indexOrEnd(text, /[\s"'<>`]/g, start);
    if (nextAt >= nextEnd) continue;
    const authority = text.slice(start, nextAt).split(/[/?#]/, 1)[0] ?? "";
    // `host:8080/@scope` has a port. Anything else before the `/` is a password that was not written as URLs want it.
    const isPath = start + authority.length < nextAt && !/:(?!\d*$)/.test(authority);
    if (isPath) continue;
    // The password may contain an `@`.
    const rest = /^@[^\s/?#"'<>`]*@/.exec(text.slice(nextAt, indexOrEnd(text, /[\s/?#"'<>`]/g, nextAt)));
    const end = nextAt + (rest?.[0].length ?? 1) - 1;
    const credentials = text.slice(start, end);
    if (credentials === "" || (/^(?:git\+)?ssh$/i.test(match[1] ?? "") && !credentials.includes(":"))) continue;
    shown += text.slice(done, start) + mask(credentials);
    done = end;
  }
  return shown + text.slice(done);
}

function indexOrEnd(text: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? text.length;
}
