import { describe, expect, it, onTestFinished, vi } from "vitest";
import { GuestPool, type GuestPoolOptions } from "./guest-pool.ts";

const { signal } = new AbortController();

interface Guest extends AsyncDisposable {
  readonly shape: string;
  readonly ended: Promise<void>;
  end(): void;
  wake(): Promise<void>;
}

/** A pool of guests that are only counted, and what became of them. */
function openPool(changes: Partial<GuestPoolOptions<string, Guest>> = {}) {
  const made: Guest[] = [];
  const disposed: Guest[] = [];
  const problems: unknown[] = [];
  const make = async (shape: string): Promise<Guest> => {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const guest: Guest = {
      shape,
      ended,
      end,
      wake: async () => {},
      [Symbol.asyncDispose]: async () => void disposed.push(guest),
    };
    made.push(guest);
    return guest;
  };
  const pool = new GuestPool({
    size: 2,
    firstShape: "usual",
    make,
    hasMemoryFor: () => true,
    version: async () => "1",
    onProblem: (problem) => void problems.push(problem),
    settleMs: 0,
    retryMs: 0,
    ...changes,
  });
  onTestFinished(() => pool[Symbol.asyncDispose]());
  const shapes = (guests: readonly Guest[]) => guests.map(({ shape }) => shape);
  const untilReady = (count: number) => vi.waitFor(() => expect(pool.counts.ready).toBe(count));
  return { pool, made, disposed, problems, make, shapes, untilReady };
}

describe("the pool of guests", () => {
  it("holds guests of the first shape, gives each to one job, and replaces them", async () => {
    const { pool, made, disposed, untilReady } = openPool();
    await untilReady(2);
    const taken = await Promise.all([
      pool.take("usual", { signal }),
      pool.take("usual", { signal }),
      pool.take("usual", { signal }),
    ]);
    expect(taken).toEqual([made[0], made[1], null]);
    expect(pool.counts).toEqual({ ready: 0, hits: 2, misses: 1 });
    await untilReady(2);
    expect([made.length, disposed]).toEqual([4, []]);
  });

  it("follows the shapes of the last jobs", async () => {
    const { pool, shapes, disposed, untilReady } = openPool();
    await untilReady(2);
    expect(await pool.take("large", { signal })).toBeNull();
    await vi.waitFor(() => expect(shapes(disposed)).toEqual(["usual"]));
    await untilReady(2);
    expect((await pool.take("large", { signal }))?.shape).toBe("large");
    await vi.waitFor(() => expect(shapes(disposed)).toEqual(["usual", "usual"]));
    await untilReady(2);
    expect(pool.counts).toEqual({ ready: 2, hits: 1, misses: 1 });
  });

  it("makes no guest without memory, and another try when a job has ended", async () => {
    let hasMemory = false;
    const asked: string[] = [];
    const { pool, made, untilReady } = openPool({
      hasMemoryFor: (shape) => {
        asked.push(shape);
        return hasMemory;
      },
    });
    await vi.waitFor(() => expect(asked).toEqual(["usual"]));
    expect(await pool.take("usual", { signal })).toBeNull();
    await vi.waitFor(() => expect(asked.length).toBe(2));
    expect(made).toEqual([]);
    hasMemory = true;
    pool.jobEnded();
    await untilReady(2);
  });

  it("replaces a guest that has ended, and reports it", async () => {
    const { pool, made, disposed, problems, untilReady } = openPool({ size: 1 });
    await untilReady(1);
    made[0]?.end();
    await vi.waitFor(() => expect(made.length).toBe(2));
    await untilReady(1);
    expect([disposed, problems]).toEqual([
      [made[0]],
      [expect.objectContaining({ message: expect.stringContaining("ended") })],
    ]);
    const taken = await pool.take("usual", { signal });
    taken?.end();
    await untilReady(1);
    expect(problems.length).toBe(1);
  });

  it("disposes a guest that does not wake, reports it, and counts a miss", async () => {
    const { pool, made, disposed, problems, untilReady } = openPool({ size: 1 });
    await untilReady(1);
    const [guest] = made;
    if (guest) guest.wake = () => Promise.reject(new Error("it sleeps"));
    expect(await pool.take("usual", { signal })).toBeNull();
    expect([disposed, problems]).toEqual([[guest], [new Error("it sleeps")]]);
    expect(pool.counts).toMatchObject({ hits: 0, misses: 1 });
    await untilReady(1);
  });

  it("tries again after a failure, and reports it", async () => {
    const { make } = openPool({ hasMemoryFor: () => false });
    let tries = 0;
    const { problems, untilReady } = openPool({
      size: 1,
      make: async (shape) => {
        tries += 1;
        if (tries < 3) throw new Error(`try ${tries}`);
        return await make(shape);
      },
    });
    await untilReady(1);
    expect(problems).toEqual([new Error("try 1"), new Error("try 2")]);
  });

  it("gives no guest of an earlier version", async () => {
    let version = "1";
    const { pool, made, disposed, untilReady } = openPool({ version: async () => version });
    await untilReady(2);
    version = "2";
    expect(await pool.take("usual", { signal })).toBeNull();
    expect(disposed).toEqual(made.slice(0, 2));
    await untilReady(2);
    expect(await pool.take("usual", { signal })).toBe(made[2]);
  });

  it("ends what waits and what is being made when it is closed", async () => {
    const { pool, made, disposed, problems, untilReady, make } = openPool({ size: 1 });
    await untilReady(1);
    await pool[Symbol.asyncDispose]();
    expect([disposed, await pool.take("usual", { signal }), pool.counts.ready]).toEqual([made, null, 0]);
    const begun = Promise.withResolvers<void>();
    const slow = openPool({
      make: async (shape, { signal }) => {
        begun.resolve();
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        return await make(shape);
      },
    });
    await begun.promise;
    await slow.pool[Symbol.asyncDispose]();
    expect([slow.problems, problems, slow.pool.counts.ready]).toEqual([[], [], 0]);
  });
});
