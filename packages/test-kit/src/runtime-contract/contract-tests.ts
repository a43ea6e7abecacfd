import type { Runtime, RuntimeDescription } from "@airlock/runtime";
import type { FixtureImage } from "../images/fixture-images.ts";
import { openWorkplace, type Workplace, type WorkplaceOptions } from "./workplace.ts";

export interface RuntimeUnderTest {
  readonly runtime: Runtime;
  /** Owner of this suite's sandboxes, used by no other suite. */
  readonly owner: string;
  readonly images: {
    /** Has `/bin/sh` and busybox's applets, runs as root, sets `FROM_IMAGE=yes`. */
    readonly shell: string;
    /** An existing image without `/bin/sh`. */
    readonly noShell: string;
    /** The same as `shell`, with `USER 1000:1000`. */
    readonly unprivileged: string;
    /** Its registry answers but does not have the image. */
    readonly unknown: string;
  };
  /** Adds an image to the runtime and returns the reference for jobs. */
  provide(image: FixtureImage, name: string): Promise<string>;
  dispose(): Promise<void>;
}

export type CreateRuntime = (options: { readonly allowHostImage: boolean }) => Promise<RuntimeUnderTest>;

/** What the parts of the contract suite share. Only tests may read the properties before `sharesKernel`. */
export interface ContractTests {
  readonly subject: RuntimeUnderTest;
  readonly enforces: RuntimeDescription["enforces"];
  /** Why the runtime offers no services here; `null`: it does. */
  readonly servicesProblem: string | null;
  /** Port of a server on all IPv4 addresses of this host. No sandbox may reach it. */
  readonly hostPort: number;
  /** `false` if a kernel in user space runs the steps. */
  readonly sharesKernel: boolean;
  /** `false` if an engine that has no network of its own for a sandbox only blocks what it sends. */
  readonly emptyNetwork: boolean;
  /** `true` if another machine runs the steps, with its own images. */
  readonly isCluster: boolean;
  /** Whether the runtime tells what a step uses. */
  readonly measuresUsage: boolean;
  readonly create: CreateRuntime;
  readonly open: (options?: Partial<WorkplaceOptions>) => Promise<Workplace>;
}

export function openSubject(
  { runtime, owner, images }: RuntimeUnderTest,
  options: Partial<WorkplaceOptions> = {},
): Promise<Workplace> {
  return openWorkplace(runtime, { owner, image: images.shell, announcesNextStep: true, ...options });
}
