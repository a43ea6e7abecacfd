/** Major, minor, patch, and the number of a release candidate (infinite for a release). Compared from left to right. */
export type Version = readonly [number, number, number, number];

/**
 * Parses `2.39.5`, `1.1.5+ds1-1+deb12u1`, `v1.4.0-rc.3`. A distribution's suffix is ignored, since it says nothing
 * about the upstream version. gVisor's `release-20250407.0` and `0.0~20221219.0` are compared by date.
 */
export function parseVersion(text: string): Version | undefined {
  const day = /(?:^|[^\d])(20\d{6})(?:\.(\d+))?/.exec(text);
  if (day) return [Number(day[1]), Number(day[2] ?? 0), 0, Number.POSITIVE_INFINITY];
  const match = /(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc\.?(\d+))?/.exec(text);
  if (!match) return undefined;
  const [, major, minor, patch, candidate] = match;
  return [Number(major), Number(minor), Number(patch ?? 0), candidate ? Number(candidate) : Number.POSITIVE_INFINITY];
}

export function isOlder(version: Version, than: Version): boolean {
  const different = version.findIndex((part, index) => part !== than[index]);
  return different >= 0 && (version[different] ?? 0) < (than[different] ?? 0);
}

/**
 * Whether a version contains a fix that was released in several branches (`2.43.7`, `2.44.4`). It does if it is at
 * least its own branch's fixed release, or if its branch is newer than all of them. A branch without a fixed release
 * does not have the fix.
 */
export function isFixed(version: Version, fixedIn: readonly Version[]): boolean {
  const own = fixedIn.find(([major, minor]) => major === version[0] && minor === version[1]);
  if (own) return !isOlder(version, own);
  return fixedIn.every((fix) => isOlder(fix, version));
}
