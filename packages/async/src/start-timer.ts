/** The longest delay of a Node timer, 24.8 days. Node fires longer ones after 1 ms. */
const longestMs = 2 ** 31 - 1;

/** Calls back once after `ms`, of any length including `Infinity`. Disposing stops the timer. */
export function startTimer(ms: number, callback: () => void): Disposable {
  let leftMs = ms;
  let timer: NodeJS.Timeout;
  const next = (): void => {
    const partMs = Math.min(leftMs, longestMs);
    leftMs -= partMs;
    timer = setTimeout(leftMs > 0 ? next : callback, partMs);
  };
  next();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
