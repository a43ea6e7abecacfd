/** The same as in package.json, which is not part of a bundle. */
export const version = "0.1.0";
