const secretParameter =
  /([?&;][\w.-]{0,100}(?:token|secret|passw|passphrase|credential|signature|api_?key)[\w.-]{0,100}=)([^&#;\s"'<>`]+)/gi;

/**
 * Replaces credentials in URLs by `***`: user names and passwords, and parameters such as `access_token`. Keeps the
 * user of an ssh URL without a password. For messages only: the result may not work as a URL.
 */
export function hideUrlCredentials(text: string, mask: (credentials: string) => string = () => "***"): string {
  return hideUserInfo(text, mask).replace(secretParameter, (_, name: string, value: string) => name + mask(value));
}

/** Like `hideUrlCredentials`, for a text that is a repository's address and may lack the scheme. */
export function hideAddressCredentials(address: string): string {
  return hideUrlCredentials(address).replace(/^[^\s/@:]*:(?!\/\/)[^\s@]*@/, "***@");
}

/** Linear: looks at each character a bounded number of times. */
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
    // `host:8080/@scope` has a port. Other text between `:` and `/` is a password whose `/` was not escaped.
    const isPath = start + authority.length < nextAt && !/:(?!\d*$)/.test(authority);
    if (isPath) continue;
    // The password may contain an unescaped `@`.
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
