import type { Page } from "playwright-core";

/**
 * Processor time of the page's main thread for a frame, in ms, for each of `count` times that `act` changes the page: the
 * mean of the few frames until the change is shown. Processor time, because other processes of a busy machine must not
 * count.
 */
export async function frameCosts(page: Page, count: number, act: () => Promise<void>): Promise<number[]> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const busyMs = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN);
  };
  const frames = await page.evaluateHandle(() => {
    const counter = { count: 0 };
    const tick = () => {
      counter.count += 1;
      requestAnimationFrame(tick);
    };
    tick();
    return counter;
  });
  const frameCount = () => frames.evaluate((counter) => counter.count);
  const costs: number[] = [];
  for (let time = 0; time < count; time += 1) {
    const [before, first] = [await busyMs(), await frameCount()];
    await act();
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const [after, last] = [await busyMs(), await frameCount()];
    costs.push((after - before) / (last - first));
  }
  await session.detach();
  return costs;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
