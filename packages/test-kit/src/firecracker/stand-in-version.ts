/** What the stand-ins for Firecracker and its jailer report. */
export const standInVersion = "1.17.0-stand-in";
