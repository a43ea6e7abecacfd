/**
 * Whether an OCI runtime says that its own child was killed while it made a container. That child runs inside the
 * container's memory limit already; when the kernel kills it there, what is left to read is a broken connection.
 */
export function wasKilledAtStart(message: string): boolean {
  return /reset by peer|broken pipe|EOF|signal: killed|exit status 137|OOM[- ]killed|memory limit too low/i.test(
    message,
  );
}
