/**
 * Whether an OCI runtime's message tells that its child was killed while it created a container. That child already
 * runs inside the container's memory limit. When the kernel kills it, the runtime only reports a broken connection.
 */
export function wasKilledAtStart(message: string): boolean {
  return /reset by peer|broken pipe|EOF|signal: killed|exit status 137|OOM[- ]killed|memory limit too low/i.test(
    message,
  );
}
