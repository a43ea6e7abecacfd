export { describeExecutorApi } from "./conformance/executor-api-conformance.ts";
export { describeExecutor, type ExecutorTarget, type ExecutorUnderTest } from "./conformance/executor-conformance.ts";
export type { ExecutorApiTarget } from "./conformance/executor-peer.ts";
export { InstanceProcess, type InstanceProcessOptions } from "./conformance/instance-process.ts";
export { createDatabase, type TestDatabase } from "./engines/create-database.ts";
export { type DebianFixture, debianFixture } from "./engines/debian-fixture.ts";
export { debianImages } from "./engines/debian-image.ts";
export { describeWithEngines, type EngineName, type Engines, engines } from "./engines/engines.ts";
export { clusterHookMs, kubernetesCluster } from "./engines/kubernetes-cluster.ts";
export { type PostgresEngine, startPostgresEngine } from "./engines/postgres-engine.ts";
export { type PrivateRegistry, type RegistryUser, startPrivateRegistry } from "./engines/private-registry.ts";
export { startEngines } from "./engines/start-engines.ts";
export type { GuestKind } from "./firecracker/guest-kinds.ts";
export {
  type StandInPrograms,
  standInDisk,
  standInFirecracker,
  standInKernel,
} from "./firecracker/stand-in-firecracker.ts";
export { type FuzzParameters, fuzzParameters } from "./fuzz-parameters.ts";
export { asUser } from "./host/as-user.ts";
export { commandLines } from "./host/command-lines.ts";
export { compileCacheEnvironment } from "./host/compile-cache.ts";
export { type TemporaryDirectory, temporaryDirectory } from "./host/temporary-directory.ts";
export {
  buildImage,
  busyboxImage,
  busyboxLayer,
  dockerArchive,
  type FixtureImage,
  type ImageConfig,
  type LayerEntry,
  loadArchive,
  loadImage,
  loadImageDirectory,
  pushImage,
  shellLessImage,
  writeOciLayout,
} from "./images/fixture-images.ts";
export { buildCluster } from "./kubernetes/build-cluster.ts";
export { findGo } from "./kubernetes/find-go.ts";
export { goModule } from "./kubernetes/go-module.ts";
export { helm } from "./kubernetes/helm.ts";
export {
  type ClusterAccess,
  importArchive,
  importImage,
  kubectl,
  startCluster,
  trustRegistry,
} from "./kubernetes/start-cluster.ts";
export { loginHeader, startOidcProvider, type TestOidcProvider } from "./oidc/start-oidc-provider.ts";
export { TestBrowser } from "./oidc/test-browser.ts";
export {
  type FlawedRepository,
  makeFlawedRepository,
  type RepositoryFlaw,
} from "./repositories/flawed-repositories.ts";
export {
  type HostileRepositoryName,
  hostileRepositoryNames,
  makeHostileRepository,
} from "./repositories/hostile-repositories.ts";
export {
  type FixtureRepository,
  makeRepository,
  type RepositoryCommit,
  type RepositoryFile,
} from "./repositories/make-repository.ts";
export { publishedRepository } from "./repositories/published-repository.ts";
export { runGit } from "./repositories/run-git.ts";
export { sharedRepository } from "./repositories/shared-repository.ts";
export type { RuntimeUnderTest } from "./runtime-contract/contract-tests.ts";
export { describeRuntime } from "./runtime-contract/runtime-contract.ts";
export {
  type Finished,
  openWorkplace,
  type StartOptions,
  type Workplace,
  type WorkplaceOptions,
  workspacesOfTests,
} from "./runtime-contract/workplace.ts";
export {
  type ForwardingProxy,
  type ForwardingProxyOptions,
  forwardingProxy,
  startForwardingProxy,
} from "./servers/forwarding-proxy.ts";
export { LoopbackServer } from "./servers/loopback-server.ts";
export { serveGit } from "./servers/serve-git.ts";
export { makeCertificates, type TestCertificates } from "./servers/test-certificates.ts";
