import assert from 'node:assert/strict';
import { defineLoadBalancers } from '../../../src/core/define.ts';
import type {
  Action,
  Call,
  LoadBalancerParts,
  LoadBalancerSpec,
  LoadBalancers,
  Progress,
  Removal,
} from '../../../src/core/provider.ts';
import type { Harness } from './harness.ts';

const silent: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
/** Waits for the backend: a provider that needs more runs than this does not converge. */
const RUNS = 200;
/** Fine enough that 'done' is met at the moment when it is said. */
const STEP_MS = 10;
/** So much of the backend's time for one call: 10 minutes. */
const STEPS = 60_000;

/** One harness, driven as the controller drives a provider, with its writes counted and crashed. */
export class Rig {
  readonly applied: Action[] = [];
  /** True once the crash that was asked for has happened. */
  crashed = false;
  #harness: Harness<unknown, unknown, Action>;
  #crash: { readonly write: number; readonly moment: 'before' | 'after' } | undefined;
  #count = 0; // writes since crashAt
  loadBalancers: LoadBalancers;

  constructor(harness: Harness<unknown, unknown, Action>) {
    this.#harness = harness;
    this.loadBalancers = defineLoadBalancers(this.#wrap(harness.parts));
  }

  get writes(): number {
    return this.applied.length;
  }

  forget(): void {
    this.applied.length = 0;
  }

  call(signal: AbortSignal = new AbortController().signal): Call {
    return { signal, log: silent, limit: (fn) => fn() };
  }

  /** Ensures until it is ready, with the waits that the provider asks for. */
  async ensured(spec: LoadBalancerSpec): Promise<Extract<Progress, { state: 'ready' }>> {
    for (let run = 0; run < RUNS; run += 1) {
      const progress = await this.drive(this.loadBalancers.ensure(spec, this.call()));
      if (progress.state === 'ready') return progress;
      assert.ok(progress.retryAfterMs > 0, `pending without a time: ${progress.reason}`);
      await this.advance(progress.retryAfterMs);
    }
    throw new assert.AssertionError({ message: `ensure was not ready after ${RUNS} runs` });
  }

  /** Removes until it is done; the backend must then be as in `left`, at once. */
  async removed(spec: LoadBalancerSpec, left?: unknown): Promise<void> {
    for (let run = 0; run < RUNS; run += 1) {
      const removal: Removal = await this.drive(this.loadBalancers.remove(spec, this.call()));
      if (removal.done) {
        if (left !== undefined) assert.deepEqual(await this.snapshot(), left, 'done, although something is left');
        return;
      }
      assert.ok(removal.retryAfterMs > 0, `not done without a time: ${removal.reason}`);
      await this.advance(removal.retryAfterMs);
    }
    throw new assert.AssertionError({ message: `remove was not done after ${RUNS} runs` });
  }

  /** Resolves with the rejection. */
  async fails(run: Promise<unknown>, what = 'the call'): Promise<unknown> {
    return await this.drive(
      run.then(
        (value) => {
          throw new assert.AssertionError({ message: `${what} did not fail but gave ${JSON.stringify(value)}` });
        },
        (error: unknown) => error,
      ),
    );
  }

  /** Waits for a call, letting the backend's time pass while it is not done. */
  async drive<T>(run: Promise<T>): Promise<T> {
    let isDone = false;
    const end = (): void => {
      isDone = true;
    };
    run.then(end, end);
    for (let step = 0; step < STEPS; step += 1) {
      for (let turn = 0; turn < 3 && !isDone; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      if (isDone) return await run;
      await this.advance(STEP_MS);
    }
    throw new assert.AssertionError({ message: `a call took more than ${(STEPS * STEP_MS) / 1000} s` });
  }

  crashAt(write: number, moment: 'before' | 'after'): void {
    this.#crash = { write, moment };
    this.#count = 0;
  }

  async restart(): Promise<void> {
    this.#crash = undefined;
    this.crashed = false;
    const parts = (await this.#harness.restart?.()) ?? this.#harness.parts;
    this.loadBalancers = defineLoadBalancers(this.#wrap(parts));
  }

  /** The backend once everything that was begun has happened. */
  async settled(): Promise<unknown> {
    await this.advance(60_000);
    return await this.snapshot();
  }

  async snapshot(): Promise<unknown> {
    return structuredClone(await this.#harness.snapshot());
  }

  async foreign(): Promise<void> {
    await this.#harness.foreign();
  }

  failReads(on: boolean): void {
    this.#harness.failReads(on);
  }

  async advance(ms: number): Promise<void> {
    await this.#harness.advance(ms);
  }

  async close(): Promise<void> {
    await this.#harness.close?.();
  }

  #wrap(parts: LoadBalancerParts<unknown, unknown, Action>): LoadBalancerParts<unknown, unknown, Action> {
    const { selfCleaning } = parts;
    return {
      ...(selfCleaning === undefined ? {} : { selfCleaning }),
      plan: (spec) => parts.plan(spec),
      observe: (service, call) => parts.observe(service, call),
      observeAll: (call) => parts.observeAll(call),
      diff: (desired, observed) => parts.diff(desired, observed),
      progress: (desired, observed) => parts.progress(desired, observed),
      apply: (action, call) => this.#apply(parts, action, call),
    };
  }

  async #apply(parts: LoadBalancerParts<unknown, unknown, Action>, action: Action, call: Call): Promise<void> {
    const crash = this.#crash;
    const write = this.#count++;
    // A process that has ended sends nothing more.
    if (this.crashed && crash !== undefined) throw new Error('the process has ended');
    const isHere = crash?.write === write;
    if (isHere && crash.moment === 'before') {
      this.crashed = true;
      throw new Error(`crash before write ${write}`);
    }
    this.applied.push(action);
    await parts.apply(action, call);
    if (isHere) {
      this.crashed = true;
      throw new Error(`crash after write ${write}`);
    }
  }
}
