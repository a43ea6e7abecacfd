/** A disk has no room for what should be written to it. */
export class DiskFullError extends Error {
  override readonly name: string = "DiskFullError";

  constructor(lacking: "blocks" | "files") {
    super(lacking === "blocks" ? "the disk is full" : "the disk can't hold more files");
  }
}
