import { pause } from "@airlock/async";
import type { Abortable, ReadyCounts } from "../contract/index.ts";

/** A guest that waits for a job. */
interface WaitingGuest extends AsyncDisposable {
  /** Settles when the guest has ended, for whatever reason. Never rejects. */
  readonly ended: Promise<unknown>;
  /** Prepares the guest for its job. A guest whose waking fails is disposed. */
  wake(options: Abortable): Promise<void>;
}

export interface GuestPoolOptions<Shape, Guest extends WaitingGuest> {
  /** Greatest number of waiting guests. */
  readonly size: number;
  /** The shape of jobs before the first one is known. */
  readonly firstShape: Shape;
  readonly make: (shape: Shape, options: Abortable) => Promise<Guest>;
  /** Whether the host has memory for another guest of this shape. */
  readonly hasMemoryFor: (shape: Shape) => boolean;
  /** Changes when guests that were made before must not be used any more. */
  readonly version: () => Promise<string>;
  /** Told of guests that could not be made or have ended. Jobs then start their own. */
  readonly onProblem: (problem: unknown) => void;
  /** How long a job has the processors for itself after it took a guest, in ms. Default: 500. */
  readonly settleMs?: number;
  /** Pause after a first failure, in ms. It doubles with each further one, up to a minute. Default: 1000. */
  readonly retryMs?: number;
}

interface Waiting<Guest> {
  readonly key: string;
  readonly guest: Guest;
}

const longestRetryMs = 60_000;

/**
 * Guests that wait for jobs. The pool has one for each of the last `size` jobs, of the shape of that job. So it follows
 * what jobs ask for, and needs no settings but its size.
 *
 * Guests are made one after the other, in the background. A job never waits for one: it takes a waiting guest or none.
 */
export class GuestPool<Shape, Guest extends WaitingGuest> implements AsyncDisposable {
  readonly #options: GuestPoolOptions<Shape, Guest>;
  readonly #closing = new AbortController();
  /** The shapes of the last jobs, newest first. */
  #wanted: Shape[];
  #waiting: Waiting<Guest>[] = [];
  #version: string | undefined;
  #hits = 0;
  #misses = 0;
  #failures = 0;
  /** The round that is due next. */
  #next: Promise<void> | null = null;
  #rounds: Promise<void> = Promise.resolve();

  /** Begins to make guests of the first shape. */
  constructor(options: GuestPoolOptions<Shape, Guest>) {
    this.#options = options;
    this.#wanted = Array.from({ length: options.size }, () => options.firstShape);
    this.#refillIn(0);
  }

  get counts(): ReadyCounts {
    return { ready: this.#waiting.length, hits: this.#hits, misses: this.#misses };
  }

  /** Takes a waiting guest of this shape, and wakes it. `null`: the pool has none that works. */
  async take(shape: Shape, { signal }: Abortable): Promise<Guest | null> {
    if (this.#closing.signal.aborted) return null;
    this.#wanted = [shape, ...this.#wanted].slice(0, this.#options.size);
    await this.#dropOutdated();
    const index = this.#waiting.findIndex(({ key }) => key === keyOf(shape));
    const [taken] = index < 0 ? [] : this.#waiting.splice(index, 1);
    this.#refillIn(this.#options.settleMs ?? 500);
    const guest = taken ? await this.#awake(taken.guest, { signal }) : null;
    if (guest) this.#hits += 1;
    else this.#misses += 1;
    if (guest) this.#failures = 0;
    return guest;
  }

  /** Tells the pool that a job has ended, so there may be memory for another guest. */
  jobEnded(): void {
    this.#refillIn(0);
  }

  /** Ends all waiting guests. Those that were taken belong to their jobs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the pool of virtual machines is closed"));
    await this.#next;
    await this.#rounds;
    await this.#drop(() => true);
  }

  async #awake(guest: Guest, { signal }: Abortable): Promise<Guest | null> {
    try {
      await guest.wake({ signal });
      return guest;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      signal.throwIfAborted();
      this.#options.onProblem(error);
      return null;
    }
  }

  #refillIn(ms: number): void {
    if (this.#next || this.#closing.signal.aborted) return;
    this.#next = pause(ms, this.#closing.signal).then((isDue) => {
      this.#next = null;
      if (isDue) this.#rounds = this.#rounds.then(() => this.#refill());
    });
  }

  async #refill(): Promise<void> {
    const { signal } = this.#closing;
    try {
      await this.#dropOutdated();
      for (let shape = await this.#nextShape(); shape !== null; shape = await this.#nextShape()) {
        const guest = await this.#options.make(shape, { signal });
        this.#add({ key: keyOf(shape), guest });
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The shape of the guest to make next. Ends guests of shapes that jobs no longer ask for. */
  async #nextShape(): Promise<Shape | null> {
    if (this.#closing.signal.aborted) return null;
    const left = this.#wanted.map(keyOf);
    await this.#drop(({ key }) => {
      const index = left.indexOf(key);
      if (index >= 0) left.splice(index, 1);
      return index < 0;
    });
    const missing = this.#wanted.find((shape) => keyOf(shape) === left[0]);
    return missing !== undefined && this.#options.hasMemoryFor(missing) ? missing : null;
  }

  #add(waiting: Waiting<Guest>): void {
    this.#waiting.push(waiting);
    void waiting.guest.ended.then(async () => {
      if (!this.#waiting.includes(waiting)) return;
      await this.#drop((other) => other === waiting);
      this.#failed(new Error("a virtual machine that waited for a job has ended"));
    });
  }

  async #dropOutdated(): Promise<void> {
    const version = await this.#options.version();
    if (version === this.#version) return;
    this.#version = version;
    await this.#drop(() => true);
  }

  async #drop(isSurplus: (waiting: Waiting<Guest>) => boolean): Promise<void> {
    const surplus = this.#waiting.filter(isSurplus);
    this.#waiting = this.#waiting.filter((waiting) => !surplus.includes(waiting));
    for (const { guest } of surplus) {
      try {
        await guest[Symbol.asyncDispose]();
      } catch (error) {
        this.#options.onProblem(error);
      }
    }
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#options.onProblem(error);
    this.#refillIn(Math.min((this.#options.retryMs ?? 1000) * 2 ** this.#failures, longestRetryMs));
    this.#failures += 1;
  }
}

function keyOf(shape: unknown): string {
  return JSON.stringify(shape);
}
