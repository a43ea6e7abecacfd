export { createDatabase, type TestDatabase } from "./create-database.ts";
export { type DebianFixture, debianFixture } from "./debian-fixture.ts";
export { debianImages } from "./debian-image.ts";
export { describeWithEngines, type EngineName, type Engines, engines } from "./engines.ts";
export { describeExecutorApi, type ExecutorApiTarget } from "./executor-api-conformance.ts";
export { describeExecutor, type ExecutorTarget, type ExecutorUnderTest } from "./executor-conformance.ts";
export {
  buildImage,
  busyboxImage,
  busyboxLayer,
  dockerArchive,
  type FixtureImage,
  type ImageConfig,
  type LayerEntry,
  loadImage,
  loadImageDirectory,
  pushImage,
  shellLessImage,
  writeOciLayout,
} from "./fixture-images.ts";
export { type FlawedRepository, makeFlawedRepository, type RepositoryFlaw } from "./flawed-repositories.ts";
export { type FuzzParameters, fuzzParameters } from "./fuzz-parameters.ts";
export { type HostileRepositoryName, hostileRepositoryNames, makeHostileRepository } from "./hostile-repositories.ts";
export { InstanceProcess, type InstanceProcessOptions } from "./instance-process.ts";
export {
  type FixtureRepository,
  makeRepository,
  type RepositoryCommit,
  type RepositoryFile,
} from "./make-repository.ts";
export { type PostgresEngine, startPostgresEngine } from "./postgres-engine.ts";
export { type PrivateRegistry, type RegistryUser, startPrivateRegistry } from "./private-registry.ts";
export { publishedRepository } from "./published-repository.ts";
export { runGit } from "./run-git.ts";
export { describeRuntime, type RuntimeUnderTest } from "./runtime-contract.ts";
export { sharedRepository } from "./shared-repository.ts";
export { startEngines } from "./start-engines.ts";
export { type TemporaryDirectory, temporaryDirectory } from "./temporary-directory.ts";
export {
  type Finished,
  openWorkplace,
  type StartOptions,
  type Workplace,
  type WorkplaceOptions,
  workspacesOfTests,
} from "./workplace.ts";
