/** PATH for the system's own tools, whatever PATH this process has. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The environment of a system tool. We parse and show what tools print, so it must not depend on the host's language.
 */
export const systemEnvironment: Readonly<Record<string, string>> = { PATH: systemPath, LC_ALL: "C" };
