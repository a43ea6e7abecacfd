/** The `src` release that executors' installers fetch. No job of this instance needs a newer one. */
export const sourceCliVersion = "4.4.0";
