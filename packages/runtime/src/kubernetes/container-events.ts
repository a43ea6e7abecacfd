import { type CoreV1Event, type KubeConfig, Watch } from "@kubernetes/client-node";

export interface ContainerPlace {
  readonly namespace: string;
  readonly pod: string;
  /** The name of an ephemeral container. */
  readonly container: string;
}

/**
 * Follows what the kubelet reports about a container, until disposed. The pod's status has the same about ten seconds
 * later, so an executor without the right to watch events only learns it later.
 */
export function followContainerEvents(
  config: KubeConfig,
  { namespace, pod, container }: ContainerPlace,
  onEvent: (event: CoreV1Event) => void,
): Disposable {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`;
  const fieldSelector = `involvedObject.name=${pod},involvedObject.fieldPath=spec.ephemeralContainers{${container}}`;
  const over = new AbortController();
  const isEvent = (phase: string) => phase === "ADDED" || phase === "MODIFIED";
  const started = new Watch(config).watch(
    path,
    { fieldSelector },
    (phase: string, event: CoreV1Event) => {
      if (!over.signal.aborted && isEvent(phase)) onEvent(event);
    },
    () => {},
  );
  started.then(
    (watch) => {
      if (over.signal.aborted) watch.abort();
      else over.signal.addEventListener("abort", () => watch.abort(), { once: true });
    },
    () => {},
  );
  return { [Symbol.dispose]: () => over.abort() };
}
