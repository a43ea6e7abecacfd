/**
 * Classes of `git fsck` that are not errors here. Tools of the past have left such commits, tags and trees in many honest
 * histories, and neither git nor a checkout is misled by one. What could lead a checkout astray (`hasDotgit`,
 * `duplicateEntries`, `gitmodulesUrl`, …) stays an error.
 */
export const toleratedFsckClasses = [
  "badDate",
  "badDateOverflow",
  "badEmail",
  "badFilemode",
  "badName",
  "badTagName",
  "badTimezone",
  "missingEmail",
  "missingNameBeforeEmail",
  "missingSpaceBeforeDate",
  "missingSpaceBeforeEmail",
  "missingTaggerEntry",
  "multipleAuthors",
  "nulInCommit",
  "zeroPaddedDate",
  "zeroPaddedFilemode",
] as const;
export type ToleratedFsckClass = (typeof toleratedFsckClasses)[number];
