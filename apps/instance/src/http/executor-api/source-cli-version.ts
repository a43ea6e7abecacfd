/** The release of the `src` command that executors' installers are pointed to; ours runs no job that needs a newer one. */
export const sourceCliVersion = "4.4.0";
