/** The longest time that one timer of Node waits, 24.8 days. Node fires a longer one after 1 ms. */
const longestMs = 2 ** 31 - 1;

/** Calls back once after any time, `Infinity` included. Disposing stops the timer. */
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
