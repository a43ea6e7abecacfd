/**
 * Classes of `git fsck` that are not treated as errors. Old tools left such commits, tags and trees in many legitimate
 * histories. They mislead neither git nor a checkout. Classes that could make a checkout unsafe (`hasDotgit`,
 * `duplicateEntries`, `gitmodulesUrl`, …) remain errors.
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
