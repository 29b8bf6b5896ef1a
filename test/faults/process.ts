import { createLeader, type End, type LeaderOptions } from '../../src/controllers/leader.ts';
import type { Log } from '../../src/core/provider.ts';
import { createClient, type Transport, type TransportRequest } from '../../src/kube/request.ts';
import { createMetrics } from '../../src/obs/metrics.ts';
import { connectionError, createFaults, type Faults, type Handle } from '../../src/sandbox/api/faults.ts';
import { seededRandom } from '../../src/sandbox/api/random.ts';
import { inProcess } from '../../src/sandbox/api/transport.ts';
import { sleepOn } from '../../src/work/clock.ts';
import type { VirtualClock } from '../fake/clock.ts';
import { createGate, type Gate } from './gate.ts';
import { createWire, type Wire } from './wire.ts';

/** A controller process in this process: what signals do to a real one, done to its clock and its connections. */
export interface Process {
  readonly name: string;
  /** Between it and the API server. */
  readonly faults: Faults;
  readonly wire: Wire;
  /** Writes that the API server took from it, leases and events left out. */
  readonly writes: readonly string[];
  /** What it logged as an error, but the loss of its lease. */
  readonly errors: readonly string[];
  readonly state: 'running' | 'paused' | 'ended';
  /** How it ended; undefined while it runs, and after SIGKILL. */
  readonly end: End | Error | undefined;
  leads(): boolean;
  /** SIGSTOP: no timer fires and no answer arrives; time goes on. */
  pause(): void;
  /** SIGCONT: all that was due comes now. */
  resume(): void;
  /** SIGKILL: nothing more happens, connections break. What it has sent may still arrive. */
  kill(): void;
  /** SIGTERM. Resolves at its end, for which the clock must move. */
  terminate(): Promise<void>;
  /**
   * After SIGKILL, when nobody looks any more: what hangs in the middle of everything comes to its end, by itself and with
   * the clock. Else the runtime would keep it, and the whole world with it, for ever.
   */
  bury(): void;
  /** A signal in the middle of its next write of this kind; the function takes it back. */
  trap(trap: Trap): () => void;
  /** Its next writes of this kind take their time on the way, whatever becomes of their sender. */
  detour(detour: Detour): () => void;
}

export interface Trap {
  /** Part of the path of a write: '/ipblocks', '/status'. */
  readonly path: string;
  /** Begun but not yet sent, or done but not yet answered. */
  readonly when: 'before' | 'after';
  readonly signal: 'SIGSTOP' | 'SIGKILL';
}

export interface Detour {
  readonly path: string;
  /** Until it reaches the API server. */
  readonly ms: number;
  /** The sender's connection breaks at once, and the write arrives all the same. */
  readonly lost?: true;
  readonly times: number;
}

export interface ProcessOptions extends Pick<LeaderOptions, 'module' | 'providerConfig'> {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly handle: Handle;
  readonly seed: number;
  readonly driftCheckPeriodMs?: number;
  /** Of each request, and of each answer, on their way. */
  readonly latencyMs: () => number;
}

export const lease = {
  namespace: 'kube-system',
  name: 'fairlead-controller',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2000,
};

export function startProcess(options: ProcessOptions): Process {
  const { name, clock, handle, seed, driftCheckPeriodMs = 600_000, latencyMs, module, providerConfig } = options;
  const writes: string[] = [];
  const errors: string[] = [];
  const detours: { readonly detour: Detour; left: number }[] = [];
  const traps: Trap[] = [];
  const far = distant(calm(counted(handle, writes)), { clock, latencyMs });
  const faults = createFaults(slowed(far, detours, clock), { clock, seed });
  const reach: Handle = async (request) => {
    if (isBuried) throw connectionError('ECONNREFUSED');
    return await faults.handle(request);
  };
  const gate = createGate();
  const wire = createWire({ name, renewDeadlineMs: lease.renewDeadlineMs, monotonicMs: () => clock.monotonicMs() });
  const ownClock = gatedClock(clock, gate);
  const leader = createLeader({
    client: createClient({
      transport: watched(inProcess(calm(reach)), { gate, wire, traps, signal: (what) => signals[what]() }),
      clock: ownClock,
    }),
    clock: ownClock,
    random: seededRandom(seed),
    log: logTo(errors, () => state !== 'ended'),
    metrics: createMetrics({ provider: 'onprem' }),
    cluster: 'test',
    identity: name,
    lease,
    service: {
      defaultClass: false,
      driftCheckPeriodMs,
      deleteOrphans: false,
      takeoverFieldManagers: ['cloud-controller-manager'],
    },
    module,
    providerConfig,
  });
  const stop = new AbortController();
  let isBuried = false;
  let state: Process['state'] = 'running';
  let end: Process['end'];
  const signals = {
    SIGSTOP() {
      if (state !== 'running') return;
      state = 'paused';
      gate.shut();
    },
    SIGCONT() {
      if (state !== 'paused') return;
      state = 'running';
      gate.open();
    },
    SIGKILL() {
      if (state === 'ended') return;
      state = 'ended';
      gate.destroy();
    },
  };
  const run = leader
    .run(stop.signal)
    .then(
      (how) => {
        end = how;
      },
      (error: Error) => {
        end = error;
      },
    )
    .then(() => {
      state = 'ended';
    });
  return {
    name,
    faults,
    wire,
    writes,
    errors,
    get state() {
      return state;
    },
    get end() {
      return end;
    },
    leads: () => state === 'running' && leader.leads(),
    pause: signals.SIGSTOP,
    resume: signals.SIGCONT,
    kill: signals.SIGKILL,
    async terminate() {
      signals.SIGCONT();
      stop.abort(new Error('SIGTERM'));
      await run;
    },
    bury() {
      signals.SIGKILL();
      isBuried = true;
      stop.abort(new Error('buried'));
      gate.release();
    },
    trap: (trap) => put(traps, trap),
    detour: (detour) => put(detours, { detour, left: detour.times }),
  };
}

function put<T>(into: T[], item: T): () => void {
  into.push(item);
  return () => {
    const at = into.indexOf(item);
    if (at >= 0) into.splice(at, 1);
  };
}

function gatedClock(clock: VirtualClock, gate: Gate): LeaderOptions['clock'] {
  const own: LeaderOptions['clock'] = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, signal) => sleepOn(own, ms, signal),
    after: (ms, run) => {
      let cancelled = false;
      const cancel = clock.after(ms, () => void gate.whenOpen().then(() => cancelled || run()));
      return () => {
        cancelled = true;
        cancel();
      };
    },
  };
  return own;
}

const isWrite = ({ method }: { readonly method: string }): boolean => method !== 'GET';

/** What the API server took: the request was answered 2xx, and is a write that counts. */
function counted(handle: Handle, writes: string[]): Handle {
  return async (request) => {
    const response = await handle(request);
    if (isWrite(request) && response.status < 300 && !/\/(leases|events)\b/.test(request.path))
      writes.push(`${request.method} ${request.path} ${request.body ?? ''}`);
    return response;
  };
}

/** A body may break while nobody reads it, or after its reader left: whoever reads it then meets the error. */
function calm(handle: Handle): Handle {
  return async (request, staleBy) => {
    const answer = await handle(request, staleBy);
    answer.body.once('error', () => {});
    return answer;
  };
}

const never = new AbortController().signal;

/** Requests and answers take their time; events of a watch do not, so that they overtake the answer to the write. */
function distant(
  handle: Handle,
  { clock, latencyMs }: { readonly clock: VirtualClock; readonly latencyMs: () => number },
): Handle {
  const travel = async (): Promise<void> => {
    const ms = latencyMs();
    if (ms > 0) await clock.sleep(ms, never);
  };
  return async (request, staleBy) => {
    await travel();
    const answer = await handle(request, staleBy);
    await travel();
    return answer;
  };
}

/** A write on its way arrives, also when its sender gave up or is dead. */
function slowed(
  handle: Handle,
  detours: readonly { readonly detour: Detour; left: number }[],
  clock: VirtualClock,
): Handle {
  return async (request, staleBy) => {
    const found = isWrite(request)
      ? detours.find(({ detour, left }) => left > 0 && request.path.includes(detour.path))
      : undefined;
    if (found === undefined) return await handle(request, staleBy);
    found.left -= 1;
    const arrives = clock.sleep(found.detour.ms, never).then(() => handle({ ...request, signal: never }));
    if (found.detour.lost !== true) return await arrives;
    arrives.then(
      ({ body }) => body.destroy(),
      () => {}, // there was nobody any more, neither here nor there
    );
    throw connectionError('ECONNRESET');
  };
}

interface Watching {
  readonly gate: Gate;
  readonly wire: Wire;
  readonly traps: Trap[];
  readonly signal: (what: Trap['signal']) => void;
}

/** The process's end of its connections. */
function watched(inner: Transport, { gate, wire, traps, signal }: Watching): Transport {
  const spring = (when: Trap['when'], request: TransportRequest): void => {
    const at = isWrite(request)
      ? traps.findIndex((trap) => trap.when === when && request.path.includes(trap.path))
      : -1;
    const [sprung] = at < 0 ? [] : traps.splice(at, 1);
    if (sprung !== undefined) signal(sprung.signal);
  };
  return {
    async send(request) {
      const end = wire.begin(request);
      if (wire.isWild) signal('SIGKILL'); // or the clock would never move again
      spring('before', request);
      await gate.whenOpen();
      try {
        const { body, ...answer } = await inner.send(request);
        spring('after', request);
        await gate.whenOpen();
        end(answer.status);
        return { ...answer, body: gate.through(body) };
      } catch (error) {
        await gate.whenOpen();
        end(undefined);
        throw error;
      }
    },
    close: () => inner.close(),
  };
}

function logTo(errors: string[], isAlive: () => boolean): Log {
  return {
    debug() {},
    info() {},
    warn() {},
    error(fields, message) {
      if (!isAlive() || message === 'leadership lost') return;
      const { err, ...rest } = fields as { readonly err?: Error };
      errors.push(`${message} ${JSON.stringify(rest)} ${err?.stack ?? ''}`);
    },
  };
}
