export { ProgramError, type ProgramFault } from "./program-error.ts";
export type { ProgramEnd, StartOptions } from "./program-group.ts";
export { outputOf, type ProgramResult, type RunOptions, runProgram } from "./run-program.ts";
export { type RunningProgram, startProgram } from "./start-program.ts";
export { systemEnvironment, systemPath } from "./system-environment.ts";
