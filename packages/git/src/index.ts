export { type ToleratedFsckClass, toleratedFsckClasses } from "./fsck-classes.ts";
export { type GitLimits, gitNotFoundExitCode, limitedGit } from "./git-command.ts";
export { type GitSettings, gitEnvironment, minimumGitVersion } from "./git-environment.ts";
export { isObjectId, type ObjectFormat, objectFormatOf } from "./object-id.ts";
